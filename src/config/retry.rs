//! `retry`, `retry_on` and `success`: what is tried again, when, and what counts as delivered.

use std::time::Duration;

use super::read::{self, Keys, check_keys, list, nearest};
use super::report::{Report, quote};
use super::tree::{Entry, Node, Text, Value};
use crate::model::{RetryOn, RetryPolicy, Schedule, StatusSet};

pub(super) const RETRY: Keys = Keys {
    table: "`retry`",
    known: &["max_retries", "initial_delay", "multiplier", "max_delay", "jitter", "schedule"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[
        ("max_attempts", "max_retries"),
        ("attempts", "max_retries"),
        ("retries", "max_retries"),
        ("backoff", "multiplier"),
        ("factor", "multiplier"),
        ("delays", "schedule"),
        ("intervals", "schedule"),
    ],
};

const EXAMPLE: &str = "{ max_retries = 3, initial_delay = \"1s\" } or { schedule = [\"15s\", \"2m\"] }";

/// A hundred retries an hour apart are four days; who wants more wants another number of the rest.
const RETRIES_MAX: i64 = 100;

/// Below a millisecond there is no timer, above a week no receiver is still expected back.
const DELAY_MIN: Duration = Duration::from_millis(1);
const DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const MULTIPLIER_MAX: f64 = 100.0;

/// `retry = { … }` as a schedule and its jitter; what is not written has the product's defaults.
pub(super) fn retry(node: &Node, report: &mut Report) -> Option<(Schedule, f64)> {
    let table = read::table(node, "retry", EXAMPLE, report)?;
    check_keys(table, &RETRY, report);
    let default = RetryPolicy::default();
    let jitter = match table.get("jitter") {
        Some(entry) => read::number(&entry.node, "retry.jitter", 0.0..=1.0, "0.2", report),
        None => Some(default.jitter),
    };
    let curve_keys = ["max_retries", "initial_delay", "multiplier", "max_delay"];
    let curve_key = curve_keys.into_iter().find_map(|key| table.get(key));
    match (table.get("schedule"), curve_key) {
        (Some(schedule), Some(other)) => {
            report
                .error(
                    other.key.span,
                    format!("`{}` cannot stand beside `schedule`, which has the delays themselves", other.key.name),
                )
                .also(schedule.key.span, "the schedule is")
                .help("keep one of the two");
            None
        }
        (Some(entry), None) => Some((self::schedule(&entry.node, report)?, jitter?)),
        (None, _) => Some((curve(table, default.schedule, report)?, jitter?)),
    }
}

fn schedule(node: &Node, report: &mut Report) -> Option<Schedule> {
    if let Value::String(text) = &node.value {
        let named = Schedule::named(text.value());
        if named.is_none() {
            let help = match nearest(text.value(), &Schedule::NAMES).filter(|_| text.expanded.is_none()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are {}; or write the delays: [\"15s\", \"2m\", \"10m\"]", list(&Schedule::NAMES)),
            };
            report
                .error_about(node.span, [node], "`retry.schedule` is not a schedule that has a name:", &quote(text.value()))
                .help(help);
        }
        return named;
    }
    let nodes = read::array(node, "retry.schedule", "[\"15s\", \"2m\", \"10m\"]", report)?;
    if nodes.is_empty() {
        report.error(node.span, "`retry.schedule` is empty").help("for no retries write retry = { max_retries = 0 }");
        return None;
    }
    if !read::at_most(nodes.len(), usize::try_from(RETRIES_MAX).unwrap_or(usize::MAX), "retries", node, report) {
        return None;
    }
    let delays: Vec<Duration> =
        nodes.iter().filter_map(|node| read::duration(node, "retry.schedule[]", DELAY_MIN..=DELAY_MAX, "15s", report)).collect();
    (delays.len() == nodes.len()).then_some(Schedule::List(delays))
}

fn curve(table: &super::tree::Table, default: Schedule, report: &mut Report) -> Option<Schedule> {
    let Schedule::Curve { max_retries, initial_delay, multiplier, max_delay } = default else { return None };
    let delay =
        |entry: &Entry, key: &str, report: &mut Report| read::duration(&entry.node, key, DELAY_MIN..=DELAY_MAX, "1s", report);
    let max_retries = match table.get("max_retries") {
        Some(entry) => {
            read::integer(&entry.node, "retry.max_retries", 0..=RETRIES_MAX, 3, report).and_then(|n| u32::try_from(n).ok())
        }
        None => Some(max_retries),
    };
    let initial = match table.get("initial_delay") {
        Some(entry) => delay(entry, "retry.initial_delay", report),
        None => Some(initial_delay),
    };
    let multiplier = match table.get("multiplier") {
        Some(entry) => read::number(&entry.node, "retry.multiplier", 1.0..=MULTIPLIER_MAX, "2", report),
        None => Some(multiplier),
    };
    let longest = match table.get("max_delay") {
        Some(entry) => delay(entry, "retry.max_delay", report),
        // A first delay above the default maximum is meant as written.
        None => initial.map(|initial| max_delay.max(initial)),
    };
    if let (Some(initial), Some(longest), Some(entry)) = (initial, longest, table.get("max_delay"))
        && initial > longest
    {
        report
            .error(entry.node.span, "`retry.max_delay` is shorter than `retry.initial_delay`")
            .help("raise one or lower the other: no delay is longer than `max_delay`");
        return None;
    }
    Some(Schedule::Curve { max_retries: max_retries?, initial_delay: initial?, multiplier: multiplier?, max_delay: longest? })
}

/// `retry_on = ["network", "timeout", "429", "5xx"]`; an empty list retries nothing.
pub(super) fn retry_on(node: &Node, report: &mut Report) -> Option<RetryOn> {
    let count = read::array(node, "retry_on", "[\"network\", \"timeout\", \"429\", \"5xx\"]", report)?.len();
    let mut on = RetryOn { network: false, timeout: false, statuses: StatusSet::default() };
    let mut understood = 0;
    for (text, node) in read::strings(node, "retry_on", "429", report)? {
        let good = match text.value() {
            "network" => {
                on.network = true;
                true
            }
            "timeout" => {
                on.timeout = true;
                true
            }
            other => status(&mut on.statuses, text, node, nearest(other, &["network", "timeout"]), report),
        };
        understood += usize::from(good);
    }
    (understood == count).then_some(on)
}

/// `success = ["2xx"]`.
pub(super) fn success(node: &Node, report: &mut Report) -> Option<StatusSet> {
    let count = read::array(node, "success", "[\"2xx\"]", report)?.len();
    if count == 0 {
        report
            .error(node.span, "`success` is empty, so that no answer would count as delivered")
            .help("write success = [\"2xx\"]");
        return None;
    }
    let mut set = StatusSet::default();
    let mut understood = 0;
    for (text, node) in read::strings(node, "success", "2xx", report)? {
        understood += usize::from(status(&mut set, text, node, None, report));
    }
    (understood == count).then_some(set)
}

fn status(set: &mut StatusSet, text: &Text, node: &Node, meant: Option<&str>, report: &mut Report) -> bool {
    let Err(error) = set.add(text.value()) else { return true };
    let draft = report.error_about(node.span, [node], "", &error.to_string());
    if let Some(meant) = meant.filter(|_| text.expanded.is_none()) {
        draft.help(format!("did you mean \"{meant}\"?"));
    }
    false
}
