//! The status of a webhook beyond what config.toml says of it: switched off by an operator or by its endpoint, failing for
//! how long, breaker open or closed. Pure; what is serialised here outlives a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::breaker::Open;

/// Who or what switched a webhook off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    Operator,
    /// The endpoint answered 410.
    Gone,
    /// The endpoint answered with `webhook-delivery: disable`.
    Asked,
    /// Nothing but failures for `disable_after`.
    Failures,
}

/// A webhook that is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub by: DisabledBy,
    /// For people.
    pub reason: String,
    pub at: Timestamp,
    /// Of the URL that it happened at: another one is another endpoint, which is owed a try. `None` for an operator's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<u64>,
}

/// What is stored of a webhook that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Condition {
    /// Nothing has been delivered since, and something has failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failing_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub open: Option<Open>,
    /// As in [`Disabled`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<u64>,
}

impl Condition {
    pub fn is_well(&self) -> bool {
        self.failing_since.is_none() && self.open.is_none()
    }
}

/// Everything that is not the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookStatus {
    pub disabled: Option<Disabled>,
    pub condition: Condition,
}

/// How long a webhook has had nothing but failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failing {
    /// Later than it was, by the pauses that do not count.
    since: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// A time without attempts counts as failing for no more than this: while the machine was off, or nothing was published,
/// the endpoint was not asked.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Failing {
    /// As it was when the last process ended; the time until `now` is [counted](Failing::without_pause) already.
    pub fn restored(since: Option<Timestamp>, now: Timestamp) -> Self {
        Self { since, last: since.map(|_| now) }
    }

    /// Since when it has been failing, without what was too long a pause after the last failure.
    pub fn without_pause(since: Timestamp, last: Timestamp, now: Timestamp) -> Timestamp {
        since.after(last.until(now).saturating_sub(PAUSE_MAX))
    }

    pub fn since(self) -> Option<Timestamp> {
        self.since
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The clock was set back.
    pub fn shift_back(&mut self, step: Duration) {
        self.since = self.since.map(|at| at.before(step));
        self.last = self.last.map(|at| at.before(step));
    }

    /// `true` when it has been going on for `disable_after`.
    pub fn failed(&mut self, disable_after: Option<Duration>, now: Timestamp) -> bool {
        let since = match (self.since, self.last) {
            (Some(since), Some(last)) => Self::without_pause(since, last, now),
            (since, _) => since.unwrap_or(now),
        };
        (self.since, self.last) = (Some(since), Some(now));
        disable_after.is_some_and(|limit| since.until(now) >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_failures_for_long_enough_is_enough() {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let limit = Some(Duration::from_secs(100));
        let mut failing = Failing::default();
        assert!(!failing.failed(limit, start));
        assert!(!failing.failed(limit, start.after(Duration::from_secs(99))));
        failing.succeeded();
        assert!(!failing.failed(limit, start.after(Duration::from_secs(150))), "it begins again");
        assert!(failing.failed(limit, start.after(Duration::from_secs(250))));
        assert!(!failing.failed(None, start.after(Duration::from_secs(99_999))), "switched off");
    }

    #[test]
    fn of_a_pause_at_most_a_day_counts() {
        let day = |days: u64| Timestamp::from_millis(1_700_000_000_000).after(PAUSE_MAX * u32::try_from(days).unwrap());
        let limit = Some(PAUSE_MAX * 5);
        let mut failing = Failing::default();
        assert!(!failing.failed(limit, day(0)));
        assert!(!failing.failed(limit, day(6)), "the machine was off for six days");
        for today in 7..10 {
            assert!(!failing.failed(limit, day(today)));
        }
        assert_eq!(failing.since(), Some(day(5)));
        let mut after_a_restart = Failing::restored(failing.since(), day(9));
        assert!(after_a_restart.failed(limit, day(10)), "five days of trying");
        assert!(failing.failed(limit, day(10)));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let disabled =
            Disabled { by: DisabledBy::Gone, reason: "r".to_owned(), at: Timestamp::from_millis(5), endpoint: Some(7) };
        let text = serde_json::to_string(&disabled).unwrap();
        assert_eq!(text, r#"{"by":"gone","reason":"r","at":"1970-01-01T00:00:00.005Z","endpoint":7}"#);
        assert_eq!(serde_json::from_str::<Disabled>(&text).unwrap(), disabled);
        assert_eq!(serde_json::from_str::<Condition>("{}").unwrap(), Condition::default());
    }
}
