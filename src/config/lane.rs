//! What a webhook's lane does with its work: `rate_limit`, `batch`, `order_by`, `breaker`, `disable_after`,
//! `expire_after`. Each may be `false`: none, whatever `[defaults]` says.

use std::time::Duration;

use super::read::{self, Keys, check_keys, nearest};
use super::report::{Report, quote};
use super::settings::{LanePolicy, OrderBy, OrderPolicy};
use super::tree::{Node, Table, Value};
use crate::model::{BatchPolicy, BreakerPolicy, OnGap, Rate};
use crate::routing::FieldPath;

pub(super) const KEYS: [&str; 6] = ["rate_limit", "batch", "order_by", "breaker", "disable_after", "expire_after"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A day of waiting is no batch any more.
const WAIT: (Duration, Duration) = (Duration::from_millis(1), DAY);
/// What a transformer is handed at once, and a receiver reads at once.
const EVENTS: (i64, i64) = (1, 1_000);
/// Bytes of a batch; a receiver that takes more than 16 MiB should be sent files.
const SIZE: (u64, u64) = (1 << 10, 16 << 20);

const FAILURES: (i64, i64) = (1, 1_000);
const WINDOW: (Duration, Duration) = (Duration::from_millis(100), DAY);
const COOL_DOWN: (Duration, Duration) = (Duration::from_millis(100), DAY);

/// Less than a minute of failures is an incident, not a dead endpoint.
const DISABLE_AFTER: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(365 * 24 * 60 * 60));
const DISABLE_AFTER_DEFAULT: Duration = Duration::from_secs(5 * 24 * 60 * 60);
const EXPIRE_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(365 * 24 * 60 * 60));

pub(super) const BATCH: Keys = Keys {
    table: "`batch`",
    known: &["max_events", "max_wait", "max_size"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[
        ("size", "max_events"),
        ("count", "max_events"),
        ("interval", "max_wait"),
        ("timeout", "max_wait"),
        ("max_bytes", "max_size"),
    ],
};

pub(super) const BREAKER: Keys = Keys {
    table: "`breaker`",
    known: &["failures", "window", "cool_down"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[
        ("threshold", "failures"),
        ("cooldown", "cool_down"),
        ("reset_timeout", "cool_down"),
        ("recovery_timeout", "cool_down"),
    ],
};

pub(super) const ORDER: Keys = Keys {
    table: "`order_by`",
    known: &["key", "on_gap"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("field", "key"), ("path", "key"), ("gap", "on_gap"), ("gap_policy", "on_gap")],
};

/// The keys of [`KEYS`], as far as a table sets them; the inner `None` is `false`.
#[derive(Debug, Default, Clone)]
pub(super) struct Lane {
    rate_limit: Option<Option<Rate>>,
    batch: Option<Option<BatchPolicy>>,
    order: Option<Option<OrderPolicy>>,
    breaker: Option<Option<BreakerPolicy>>,
    disable_after: Option<Option<Duration>>,
    expire_after: Option<Option<Duration>>,
}

impl Lane {
    /// Reads one of [`KEYS`].
    pub(super) fn read(&mut self, key: &str, node: &Node, report: &mut Report) {
        match key {
            "rate_limit" => self.rate_limit = optional(node, report, rate),
            "batch" => self.batch = optional(node, report, batch),
            "order_by" => self.order = optional(node, report, order),
            "breaker" => self.breaker = optional(node, report, breaker),
            "disable_after" => {
                self.disable_after = optional(node, report, |node, report| {
                    read::duration(node, "disable_after", DISABLE_AFTER.0..=DISABLE_AFTER.1, "5d", report)
                });
            }
            "expire_after" => {
                self.expire_after = optional(node, report, |node, report| {
                    read::duration(node, "expire_after", EXPIRE_AFTER.0..=EXPIRE_AFTER.1, "1d", report)
                });
            }
            _ => debug_assert!(false, "not a key of a lane"),
        }
    }

    pub(super) fn merged(self, defaults: &Self) -> LanePolicy {
        let order = self.order.or_else(|| defaults.order.clone()).flatten();
        let batch = self.batch.or_else(|| defaults.batch.filter(|_| order.is_none())).flatten();
        LanePolicy {
            rate_limit: self.rate_limit.or(defaults.rate_limit).flatten(),
            batch,
            order,
            breaker: self.breaker.or(defaults.breaker).flatten(),
            disable_after: self.disable_after.or(defaults.disable_after).unwrap_or(Some(DISABLE_AFTER_DEFAULT)),
            expire_after: self.expire_after.or(defaults.expire_after).flatten(),
        }
    }
}

/// What no key alone can be blamed for.
pub(super) fn check_together(policy: &LanePolicy, table: &Table, report: &mut Report) {
    if let (Some(batch), true, true) = (table.get("batch"), policy.batch.is_some(), policy.order.is_some()) {
        let draft = report.error(batch.key.span, "`batch` cannot stand beside `order_by`: a key's deliveries go one by one");
        draft.help("keep one of the two (with an `order_by` in [defaults]: order_by = false)");
    }
}

/// `Some(None)` for `false`.
fn optional<T>(node: &Node, report: &mut Report, read: impl FnOnce(&Node, &mut Report) -> Option<T>) -> Option<Option<T>> {
    match node.value {
        Value::Boolean(false) => Some(None),
        _ => read(node, report).map(Some),
    }
}

fn rate(node: &Node, report: &mut Report) -> Option<Rate> {
    let text = read::string(node, "rate_limit", "50/s", report)?;
    match Rate::parse(text.value()) {
        Ok(rate) => Some(rate),
        Err(error) => {
            report.error_about(node.span, [node], "`rate_limit`:", &error.to_string());
            None
        }
    }
}

fn batch(node: &Node, report: &mut Report) -> Option<BatchPolicy> {
    let table = read::table(node, "batch", "{ max_events = 100, max_wait = \"5s\" }", report)?;
    let whole = check_keys(table, &BATCH, report).is_empty();
    let mut policy = BatchPolicy::default();
    let mut good = whole;
    if let Some(entry) = table.get("max_events") {
        match read::integer(&entry.node, "batch.max_events", EVENTS.0..=EVENTS.1, 100, report) {
            Some(number) => policy.max_events = usize::try_from(number).unwrap_or(1),
            None => good = false,
        }
    }
    if let Some(entry) = table.get("max_wait") {
        match read::duration(&entry.node, "batch.max_wait", WAIT.0..=WAIT.1, "5s", report) {
            Some(wait) => policy.max_wait = wait,
            None => good = false,
        }
    }
    if let Some(entry) = table.get("max_size") {
        match read::size(&entry.node, "batch.max_size", SIZE.0..=SIZE.1, "1MiB", report) {
            Some(size) => policy.max_size = size,
            None => good = false,
        }
    }
    good.then_some(policy)
}

fn breaker(node: &Node, report: &mut Report) -> Option<BreakerPolicy> {
    if let Value::Boolean(true) = node.value {
        return Some(BreakerPolicy::default());
    }
    let example = "{ failures = 10, window = \"1m\", cool_down = \"30s\" }";
    let table = read::table(node, "breaker", example, report)?;
    let mut good = check_keys(table, &BREAKER, report).is_empty();
    let mut policy = BreakerPolicy::default();
    if let Some(entry) = table.get("failures") {
        match read::integer(&entry.node, "breaker.failures", FAILURES.0..=FAILURES.1, 10, report) {
            Some(number) => policy.failures = u32::try_from(number).unwrap_or(1),
            None => good = false,
        }
    }
    for (key, range, value) in [("window", WINDOW, &mut policy.window), ("cool_down", COOL_DOWN, &mut policy.cool_down)] {
        let Some(entry) = table.get(key) else { continue };
        match read::duration(&entry.node, &format!("breaker.{key}"), range.0..=range.1, "30s", report) {
            Some(read) => *value = read,
            None => good = false,
        }
    }
    good.then_some(policy)
}

/// `"*"`, `"data.account_id"`, or `{ key = "…", on_gap = "block" }`.
fn order(node: &Node, report: &mut Report) -> Option<OrderPolicy> {
    let table = match &node.value {
        Value::Table(table) => table,
        _ => return Some(OrderPolicy { by: order_key(node, "order_by", report)?, on_gap: OnGap::default() }),
    };
    let meant = check_keys(table, &ORDER, report);
    let by = match table.get("key") {
        Some(entry) => order_key(&entry.node, "order_by.key", report),
        None => {
            if !meant.contains(&"key") {
                report
                    .error(node.span, "`order_by` has no `key`")
                    .help("add key = \"data.account_id\", or \"*\" for the whole webhook");
            }
            None
        }
    };
    let on_gap = match table.get("on_gap") {
        Some(entry) => on_gap(&entry.node, report),
        None => Some(OnGap::default()),
    };
    Some(OrderPolicy { by: by?, on_gap: on_gap? }).filter(|_| meant.is_empty())
}

fn order_key(node: &Node, key: &str, report: &mut Report) -> Option<OrderBy> {
    let text = read::string(node, key, "data.account_id", report)?;
    if text.value() == "*" {
        return Some(OrderBy::Webhook);
    }
    match FieldPath::parse(text.value()) {
        Ok(path) => Some(OrderBy::Field(path)),
        Err(error) => {
            report.error_about(node.span, [node], &format!("`{key}`:"), &error);
            None
        }
    }
}

fn on_gap(node: &Node, report: &mut Report) -> Option<OnGap> {
    let text = read::string(node, "order_by.on_gap", "block", report)?;
    match text.value() {
        "block" => Some(OnGap::Block),
        "skip" => Some(OnGap::Skip),
        other => {
            let help = match nearest(other, &["block", "skip"]).filter(|_| text.expanded.is_none()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "\"block\": later ones of the key wait until an operator retries or cancels the one that failed; \"skip\": they go on".to_owned(),
            };
            report.error_about(node.span, [node], "`order_by.on_gap` is not known:", &quote(other)).help(help);
            None
        }
    }
}
