//! `rate_limit`, `batch`, `order_by`, `breaker`, `disable_after`, `expire_after` and the named schedules: what they come to, and
//! what is said when they are wrong.

use std::time::Duration;

use super::*;
use crate::config::{LanePolicy, OrderBy};
use crate::model::{BatchPolicy, BreakerPolicy, OnFailure, Rate, Schedule, WebhookId};

fn lane(lines: &str) -> LanePolicy {
    load(&webhook(lines)).settings.webhooks[&WebhookId::parse("a").unwrap()].lane.clone()
}

#[test]
fn every_key_of_a_lane_arrives() {
    let policy = lane(
        "rate_limit = \"600/m\"\nbatch = { max_events = 20, max_wait = \"2s\", max_size = \"64KiB\" }\n\
         breaker = { failures = 3, cool_down = \"5s\" }\ndisable_after = \"1h\"\nexpire_after = \"1d\"",
    );
    assert_eq!(policy.rate_limit, Rate::new(600, Duration::from_secs(60)));
    let batch = BatchPolicy { max_events: 20, max_wait: Duration::from_secs(2), max_size: 65_536 };
    assert_eq!(policy.batch, Some(batch));
    let breaker = BreakerPolicy { failures: 3, window: Duration::from_secs(60), cool_down: Duration::from_secs(5) };
    assert_eq!(policy.breaker, Some(breaker));
    assert_eq!(policy.disable_after, Some(Duration::from_secs(3600)));
    assert_eq!(policy.expire_after, Some(Duration::from_secs(86_400)));
    assert_eq!(policy.order, None);

    let order = lane("order_by = \"*\"").order.unwrap();
    assert_eq!((order.by, order.on_gap), (OrderBy::Webhook, OnFailure::Skip));
    let order = lane("order_by = { key = \"data.account_id\", on_gap = \"block\" }").order.unwrap();
    assert!(matches!(order.by, OrderBy::Field(path) if path.as_str() == "data.account_id"));
    assert_eq!(order.on_gap, OnFailure::Block);
    assert_eq!(lane("batch = true").batch, Some(BatchPolicy::default()));
    assert_eq!(lane("[defaults]\nbatch = true").batch, Some(BatchPolicy::default()));
    assert_eq!(lane("rate_limit = \"slack\"").rate_limit, Rate::new(1, Duration::from_secs(1)));
    assert_eq!(lane("breaker = true").breaker, Some(BreakerPolicy::default()));
}

#[test]
fn a_plain_webhook_has_no_limits_and_is_disabled_after_five_days() {
    let policy = lane("");
    let none = LanePolicy {
        rate_limit: None,
        batch: None,
        order: None,
        breaker: None,
        disable_after: Some(Duration::from_secs(5 * 86_400)),
        expire_after: None,
    };
    assert_eq!(policy, none);
}

#[test]
fn false_is_none_whatever_the_defaults_say() {
    let defaults =
        "[defaults]\nrate_limit = \"5/s\"\nbreaker = {}\ndisable_after = \"1d\"\nexpire_after = \"1d\"\norder_by = \"*\"\n";
    let inherited = lane(&format!("\n{defaults}"));
    assert!(inherited.rate_limit.is_some() && inherited.breaker.is_some() && inherited.order.is_some());
    let off = "rate_limit = false\nbreaker = false\ndisable_after = false\nexpire_after = false\norder_by = false\nbatch = {}";
    let policy = lane(&format!("{off}\n{defaults}"));
    assert!(policy.rate_limit.is_none() && policy.breaker.is_none() && policy.order.is_none());
    assert!(policy.disable_after.is_none() && policy.expire_after.is_none());
    assert_eq!(policy.batch, Some(BatchPolicy::default()));
    // An own order wins over batches that are only the default.
    let policy = lane("order_by = \"*\"\n[defaults]\nbatch = {}\n");
    assert!(policy.batch.is_none() && policy.order.is_some());
}

#[test]
fn what_is_wrong_with_a_lane_is_said() {
    expect_webhook(&[
        (
            "rate_limit = \"50\"",
            "4:14 `rate_limit`: `50` is not a rate: write a number per s, m, h or d, as in \"50/s\" or \"600/m\", or the name \"slack\" (1/s)",
        ),
        (
            "rate_limit = \"9999999999/s\"",
            "4:14 `rate_limit`: `9999999999/s` is out of range: from 1 to 1000000 per s, m, h or d",
        ),
        ("rate_limit = \"0/m\"", "4:14 `rate_limit`: `0/m` is out of range: from 1 to 1000000 per s, m, h or d"),
        ("batch = { max_events = 0 }", "4:24 `batch.max_events` must be 1 to 1000, found 0"),
        ("batch = { max_wait = \"2d\" }", "4:22 `batch.max_wait` must be 1ms to 1d, found 2d"),
        ("batch = { interval = \"2s\" }", "4:11 unknown key `interval`, did you mean `max_wait`?"),
        ("batch = 5", "4:9 `batch` must be a table such as { max_events = 100, max_wait = \"5s\" }, found the number 5"),
        (
            "batch = {}\norder_by = \"*\"",
            "4:1 `batch` and `order_by` exclude each other: a key's deliveries go one by one | keep one of the two (with an `order_by` in [defaults]: order_by = false)",
        ),
        (
            "order_by = \"body.id\"",
            "4:12 `order_by`: `body.id` begins with `body`, which an event does not have: what was published is under data, so write data.body.id",
        ),
        (
            "order_by = { on_gap = \"skip\" }",
            "4:12 `order_by` has no `key` | add key = \"data.account_id\", or \"*\" for the whole webhook",
        ),
        (
            "rate_limit = 50",
            "4:14 `rate_limit` must be a rate such as \"50/s\", found the number 50 | write the unit of time: \"50/s\"",
        ),
        (
            "order_by = 5",
            "4:12 `order_by` must be the path of a field such as \"data.account_id\", found the number 5 | write it as in \"data.account_id\"",
        ),
        ("order_by = { key = \"*\", on_gap = \"blok\" }", "4:34 `order_by.on_gap` cannot be `blok` | did you mean \"block\"?"),
        ("breaker = { failures = 0 }", "4:24 `breaker.failures` must be 1 to 1000, found 0"),
        ("breaker = { cool_down = \"1ms\" }", "4:25 `breaker.cool_down` must be 100ms to 1d, found 1ms"),
        ("disable_after = \"5s\"", "4:17 `disable_after` must be 1m to 365d, found 5s"),
        (
            "expire_after = \"forever\"",
            "4:16 `expire_after` is not a duration: `forever` | write whole numbers with ms, s, m, h or d, as in \"1d\" or \"1h30m\"",
        ),
        ("circuit_breaker = {}", "4:1 unknown key `circuit_breaker`, did you mean `breaker`?"),
    ]);
    assert_eq!(
        one("[defaults]\nbatch = {}\norder_by = \"*\""),
        "2:1 `batch` and `order_by` exclude each other: a key's deliveries go one by one | keep one of the two (with an `order_by` in [defaults]: order_by = false)"
    );
}

#[test]
fn schedules_have_names() {
    let loaded = load(&webhook("retry = { schedule = \"fluxgate\", jitter = 0 }"));
    let retry = &loaded.settings.webhooks[&WebhookId::parse("a").unwrap()].retry;
    assert_eq!(retry.schedule, Schedule::List([15, 120, 600, 3600].map(Duration::from_secs).to_vec()));
    assert_eq!(retry.jitter.share(), 0.0);
    load(&webhook("retry = { schedule = \"standard-webhooks\" }"));
    expect_webhook(&[
        (
            "retry = { schedule = \"flux-gate\" }",
            "4:22 `retry.schedule` is not a schedule that has a name: `flux-gate` | did you mean \"fluxgate\"?",
        ),
        (
            "retry = { schedule = \"15s\" }",
            "4:22 `retry.schedule` is not a schedule that has a name: `15s` | there are `fluxgate` and `standard-webhooks`; or write the delays: [\"15s\", \"2m\", \"10m\"]",
        ),
    ]);
}
