//! `retry`, `retry_on` and `success`: what is tried again, when, and what counts as delivered.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Key, Keys, Kind};
use super::read::{self, list, nearest};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Node, Table, Text, Value};
use crate::model::{Curve, Jitter, RetryOn, RetryPolicy, Schedule, StatusSet};

pub(crate) static RETRY: Keys = Keys::new(
    "`retry`",
    &[
        // A hundred retries an hour apart are four days.
        Key::new("max_retries", Kind::Integer(0, 100), "Retries after the first attempt").default("3").aliases(&[
            "max_attempts",
            "attempts",
            "retries",
        ]),
        Key::new("initial_delay", DELAY, "Delay before the first retry").default("1s"),
        Key::new("multiplier", Kind::Number(1.0, 100.0), "Each delay is this many times the one before")
            .default("2")
            .aliases(&["backoff", "factor"]),
        Key::new("max_delay", DELAY, "No delay is longer; not below `initial_delay`").default("1h"),
        Key::new("jitter", Kind::Number(0.0, 1.0), "Each delay is drawn from ± this share of itself").default("0.2"),
        Key::new(
            "schedule",
            Kind::Either(&[Kind::List(&DELAY, 1, 100), Kind::Choice(&Schedule::NAMES)]),
            "One retry after each of these delays, instead of `max_retries`, `initial_delay`, `multiplier` and `max_delay`",
        )
        .aliases(&["delays", "intervals"]),
    ],
);

/// Below a millisecond there is no timer, above a week no receiver is still expected back.
const DELAY: Kind = Kind::Duration(Duration::from_millis(1), Duration::from_secs(7 * 24 * 60 * 60));

const EXAMPLE: &str = "{ max_retries = 3, initial_delay = \"1s\" } or { schedule = [\"15s\", \"2m\"] }";

const RETRIES_MAX: usize = 100;

/// `retry = { … }` as a schedule and its jitter; what is not written has the product's defaults.
pub(crate) fn retry(node: &Node, report: &mut Report) -> Option<(Schedule, Jitter)> {
    let table = read::table(node, "retry", EXAMPLE, report)?;
    let mut fields = Fields::new(table, &RETRY, "retry.", report);
    let default = RetryPolicy::default();
    let mut share = default.jitter.share();
    fields.number("jitter", &mut share, report);
    // The key's range is that of `Jitter`; what is outside has been reported.
    let jitter = Jitter::new(share).unwrap_or(default.jitter);
    let curve_keys = ["max_retries", "initial_delay", "multiplier", "max_delay"];
    let curve_key = curve_keys.into_iter().find_map(|key| table.get(key));
    match (table.get("schedule"), curve_key) {
        (Some(schedule), Some(other)) => {
            report
                .error(
                    other.key.span,
                    format!("`{}` and `schedule` exclude each other: a schedule lists the delays themselves", other.key.name),
                )
                .also(schedule.key.span, "the schedule is")
                .help("keep one of the two");
            None
        }
        (Some(entry), None) => Some((self::schedule(&entry.node, report)?, jitter)).filter(|_| fields.good),
        (None, _) => Some((curve(table, fields, default.schedule, report)?, jitter)),
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
    if !read::at_most(nodes.len(), RETRIES_MAX, "retries", node, report) {
        return None;
    }
    let delay = Key::new("schedule", DELAY, "").example("15s");
    let delays: Vec<Duration> = nodes.iter().filter_map(|node| delay.duration("retry.schedule[]", node, report)).collect();
    (delays.len() == nodes.len()).then_some(Schedule::List(delays))
}

fn curve(table: &Table, mut fields: Fields<'_>, default: Schedule, report: &mut Report) -> Option<Schedule> {
    let Schedule::Curve(default) = default else { return None };
    let (mut max_retries, mut initial) = (default.max_retries(), default.initial_delay());
    let (mut multiplier, mut longest) = (default.multiplier(), default.max_delay());
    fields.integer("max_retries", &mut max_retries, report);
    fields.duration("initial_delay", &mut initial, report);
    fields.number("multiplier", &mut multiplier, report);
    // A first delay above the default maximum is meant as written.
    longest = longest.max(initial);
    fields.duration("max_delay", &mut longest, report);
    if let (true, Some(entry)) = (initial > longest && fields.good, table.get("max_delay")) {
        report
            .error(entry.node.span, "`retry.max_delay` is shorter than `retry.initial_delay`")
            .help("raise one or lower the other: no delay is longer than `max_delay`");
        return None;
    }
    if !fields.good {
        return None;
    }
    // The keys' ranges are those of `Curve`.
    Curve::new(max_retries, initial, multiplier, longest).ok().map(Schedule::Curve)
}

/// `retry_on = ["network", "timeout", "429", "5xx"]`; an empty list retries nothing.
pub(crate) fn retry_on(node: &Node, report: &mut Report) -> Option<RetryOn> {
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
pub(crate) fn success(node: &Node, report: &mut Report) -> Option<StatusSet> {
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
