//! How a webhook's lane works: `rate_limit`, `batch`, `order_by`, `breaker`, `disable_after`, `expire_after`. Each may be
//! `false`: none, even if `[defaults]` has one.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Key, Keys, Kind};
use super::read;
use crate::config::settings::{LanePolicy, OrderBy, OrderPolicy};
use crate::config::text::report::Report;
use crate::config::text::tree::{Node, Table, Value};
use crate::model::{BatchPolicy, BreakerPolicy, OnFailure, Rate};
use crate::routing::FieldPath;

const MS: Duration = Duration::from_millis(1);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TENTH: Duration = Duration::from_millis(100);

/// Less than a minute of failures is an incident, not a dead endpoint.
pub(crate) const DISABLE_AFTER: Kind = Kind::Duration(Duration::from_secs(60), YEAR);
pub(crate) const EXPIRE_AFTER: Kind = Kind::Duration(Duration::from_secs(1), YEAR);

pub(crate) static BATCH: Keys = Keys::new(
    "`batch`",
    &[
        // What a transformer is handed in one call, and a receiver reads in one request.
        Key::new("max_events", Kind::Integer(1, 1_000), "Events in one request").default("100").aliases(&["size", "count"]),
        // A day of waiting is no batch any more.
        Key::new("max_wait", Kind::Duration(MS, DAY), "How long the first event waits before the batch is sent, full or not")
            .default("5s")
            .aliases(&["interval", "timeout"]),
        // A receiver that takes more than 16 MiB should be sent files.
        Key::new("max_size", Kind::Size(1 << 10, 16 << 20), "Size of the array of events")
            .default("1MiB")
            .aliases(&["max_bytes"]),
        Key::later("by"),
        Key::later("first_wait"),
    ],
);

pub(crate) static BREAKER: Keys = Keys::new(
    "`breaker`",
    &[
        Key::new("failures", Kind::Integer(1, 1_000), "Failures in a row that open the breaker")
            .default("10")
            .aliases(&["threshold"]),
        Key::new("window", Kind::Duration(TENTH, DAY), "The time within which they have to happen").default("1m"),
        Key::new("cool_down", Kind::Duration(TENTH, DAY), "How long the breaker stays open before the endpoint is probed")
            .default("30s")
            .aliases(&["cooldown", "reset_timeout", "recovery_timeout"]),
    ],
);

pub(crate) static ORDER: Keys = Keys::new(
    "`order_by`",
    &[
        Key::new("key", Kind::Text, "Path of a field, such as data.account_id, or * for the whole webhook")
            .example("data.account_id")
            .required()
            .aliases(&["field", "path"]),
        Key::new(
            "on_gap",
            Kind::Choice(&["block", "skip"]),
            "What happens to the later deliveries of a key when one has failed: they go on (skip) or wait until it is retried or \
             cancelled (block)",
        )
        .default("skip")
        .aliases(&["gap", "gap_policy"]),
    ],
);

/// `batch` and `order_by` together: what `[defaults]` says of one gives way to the webhook's own word on the other.
pub(crate) fn check_together(policy: &mut LanePolicy, table: &Table, report: &mut Report) {
    if policy.batch.is_none() || policy.order.is_none() {
        return;
    }
    match table.get("batch") {
        Some(batch) => {
            let draft =
                report.error(batch.key.span, "`batch` and `order_by` exclude each other: a key's deliveries go one by one");
            draft.help("keep one of the two (with an `order_by` in [defaults]: order_by = false)");
        }
        None => policy.batch = None,
    }
}

/// `Some(None)` for `false`.
pub(crate) fn optional<T>(
    node: &Node,
    report: &mut Report,
    read: impl FnOnce(&Node, &mut Report) -> Option<T>,
) -> Option<Option<T>> {
    match node.value {
        Value::Boolean(false) => Some(None),
        _ => read(node, report).map(Some),
    }
}

pub(crate) fn rate(node: &Node, report: &mut Report) -> Option<Rate> {
    let text = read::form(node, "rate_limit", "a rate", "50/s", report)?;
    match Rate::parse(text.value()) {
        Ok(rate) => Some(rate),
        Err(error) => {
            report.error_about(node.span, [node], "`rate_limit`:", &error.to_string());
            None
        }
    }
}

pub(crate) fn batch(node: &Node, report: &mut Report) -> Option<BatchPolicy> {
    let mut policy = BatchPolicy::default();
    if let Value::Boolean(true) = node.value {
        return Some(policy);
    }
    let table = read::table(node, "batch", "{ max_events = 100, max_wait = \"5s\" }", report)?;
    let mut fields = Fields::new(table, &BATCH, "batch.", report);
    fields.integer("max_events", &mut policy.max_events, report);
    fields.duration("max_wait", &mut policy.max_wait, report);
    fields.size("max_size", &mut policy.max_size, report);
    fields.good.then_some(policy)
}

pub(crate) fn breaker(node: &Node, report: &mut Report) -> Option<BreakerPolicy> {
    let mut policy = BreakerPolicy::default();
    if let Value::Boolean(true) = node.value {
        return Some(policy);
    }
    let example = "{ failures = 10, window = \"1m\", cool_down = \"30s\" }";
    let table = read::table(node, "breaker", example, report)?;
    let mut fields = Fields::new(table, &BREAKER, "breaker.", report);
    fields.integer("failures", &mut policy.failures, report);
    fields.duration("window", &mut policy.window, report);
    fields.duration("cool_down", &mut policy.cool_down, report);
    fields.good.then_some(policy)
}

/// `"*"`, `"data.account_id"`, or `{ key = "…", on_gap = "block" }`.
pub(crate) fn order(node: &Node, report: &mut Report) -> Option<OrderPolicy> {
    let table = match &node.value {
        Value::Table(table) => table,
        _ => return Some(OrderPolicy { by: order_key("order_by", node, report)?, on_gap: OnFailure::default() }),
    };
    let mut fields = Fields::new(table, &ORDER, "order_by.", report);
    let mut by = None;
    fields.with("key", &mut by, report, |_, shown, node, report| order_key(shown, node, report).map(Some));
    if table.get("key").is_none() && !fields.meant.contains(&"key") {
        report.error(node.span, "`order_by` has no `key`").help("add key = \"data.account_id\", or \"*\" for the whole webhook");
    }
    let mut on_gap = OnFailure::default();
    fields.with("on_gap", &mut on_gap, report, |key, shown, node, report| {
        let help = "\"block\": later deliveries of the key wait until an operator retries or cancels the one that failed; \
                    \"skip\": they go on";
        Some(if key.choice(shown, help, node, report)? == "block" { OnFailure::Block } else { OnFailure::Skip })
    });
    Some(OrderPolicy { by: by?, on_gap }).filter(|_| fields.good)
}

fn order_key(key: &str, node: &Node, report: &mut Report) -> Option<OrderBy> {
    let text = read::form(node, key, "the path of a field", "data.account_id", report)?;
    if text.value() == "*" {
        return Some(OrderBy::Webhook);
    }
    match FieldPath::parse(text.value()) {
        Ok(path) => {
            if let Some(suspicion) = path.suspicion() {
                report.warning_about(node.span, [node], &format!("`{key}`:"), &suspicion);
            }
            Some(OrderBy::Field(path))
        }
        Err(error) => {
            report.error_about(node.span, [node], &format!("`{key}`:"), &error);
            None
        }
    }
}
