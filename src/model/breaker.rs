//! The breaker of one webhook: closed → open → one probe → closed. Pure: what happened and when go in, what may go comes
//! out. While it is open only probes are attempted, and their failures cost their deliveries nothing, so that an outage
//! spends no retries.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cause, Failure, Outcome, RetryOn, Timestamp};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures without a success between them that open it …
    pub failures: u32,
    /// … when they come within this time.
    pub window: Duration,
    /// From opening to the probe, and from a failed probe to the next.
    pub cool_down: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 10, window: Duration::from_secs(60), cool_down: Duration::from_secs(30) }
    }
}

/// What an attempt says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It answered, be it with a refusal of this one request.
    Alive,
    /// It did not, or said itself that it cannot.
    Failing,
    /// It was never asked.
    Nothing,
}

impl Evidence {
    /// What would be tried again speaks against the endpoint; what would not is about the request.
    pub fn of(outcome: &Outcome, retry_on: &RetryOn) -> Self {
        match outcome {
            Outcome::Delivered { .. } => Self::Alive,
            Outcome::Dropped { .. } | Outcome::Failed(Failure { cause: Cause::Transform, .. }) => Self::Nothing,
            Outcome::Failed(Failure { cause: Cause::Status(status), .. }) => {
                if retry_on.statuses.contains(*status) || *status >= 500 { Self::Failing } else { Self::Alive }
            }
            Outcome::Failed(Failure { .. }) => Self::Failing,
        }
    }
}

/// While it is open: saved in the store, so that it survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub since: Timestamp,
    /// When a probe may go.
    pub until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Everything,
    /// A single attempt, and nothing beside it.
    Probe,
    /// Nothing before then.
    NotBefore(Timestamp),
}

/// A change of state that others should know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Opened,
    /// A probe failed: open for another while.
    Reopened,
    Closed,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    open: Option<Open>,
    /// Failures since the last success, the oldest first; never more than the policy counts.
    failures: VecDeque<Timestamp>,
}

impl Breaker {
    /// As it was when the last process ended.
    pub fn restored(open: Option<Open>) -> Self {
        Self { open, failures: VecDeque::new() }
    }

    pub fn open(&self) -> Option<Open> {
        self.open
    }

    /// Nothing to remember.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.failures.is_empty()
    }

    /// The clock was set back.
    pub fn shift_back(&mut self, step: Duration) {
        if let Some(open) = &mut self.open {
            *open = Open { since: open.since.before(step), until: open.until.before(step) };
        }
        self.failures.iter_mut().for_each(|at| *at = at.before(step));
    }

    /// What may go now. A probe may go when the time has come; that none is in flight already is the lane's to know.
    pub fn admits(&self, now: Timestamp) -> Admission {
        match self.open {
            None => Admission::Everything,
            Some(Open { until, .. }) if until > now => Admission::NotBefore(until),
            Some(_) => Admission::Probe,
        }
    }

    pub fn observe(&mut self, policy: &BreakerPolicy, evidence: Evidence, now: Timestamp) -> Option<Turn> {
        match (evidence, self.open) {
            (Evidence::Nothing, _) => None,
            (Evidence::Alive, open) => {
                self.failures.clear();
                self.open = None;
                open.map(|_| Turn::Closed)
            }
            // An attempt that began before it opened says nothing new.
            (Evidence::Failing, Some(open)) if open.until > now => None,
            (Evidence::Failing, Some(open)) => {
                self.open = Some(Open { until: now.after(policy.cool_down), ..open });
                Some(Turn::Reopened)
            }
            (Evidence::Failing, None) => {
                let oldest = now.before(policy.window);
                self.failures.push_back(now);
                let counted = usize::try_from(policy.failures).unwrap_or(usize::MAX).max(1);
                while self.failures.front().is_some_and(|at| *at < oldest) || self.failures.len() > counted {
                    self.failures.pop_front();
                }
                if self.failures.len() < counted {
                    return None;
                }
                self.failures.clear();
                self.open = Some(Open { since: now, until: now.after(policy.cool_down) });
                Some(Turn::Opened)
            }
        }
    }

    /// Its webhook was changed or enabled, or has no breaker any longer; `true` if it was open.
    pub fn close(&mut self) -> bool {
        self.failures.clear();
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RetryPolicy;
    use proptest::prelude::*;

    const POLICY: BreakerPolicy =
        BreakerPolicy { failures: 3, window: Duration::from_secs(10), cool_down: Duration::from_secs(30) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
    }

    #[test]
    fn it_walks_from_closed_to_open_to_one_probe_to_closed() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(0)), None);
        assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(1)), None);
        assert_eq!(breaker.admits(at(1)), Admission::Everything);
        assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(2)), Some(Turn::Opened));
        assert_eq!(breaker.admits(at(3)), Admission::NotBefore(at(32)));
        assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(4)), None, "began before it opened");
        assert_eq!(breaker.admits(at(32)), Admission::Probe);
        assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(33)), Some(Turn::Reopened));
        assert_eq!(breaker.admits(at(33)), Admission::NotBefore(at(63)));
        assert_eq!(breaker.open().unwrap().since, at(2), "it has been open all the time");
        assert_eq!(breaker.observe(&POLICY, Evidence::Alive, at(63)), Some(Turn::Closed));
        assert_eq!(breaker.admits(at(63)), Admission::Everything);
        assert!(breaker.is_idle());
    }

    #[test]
    fn a_success_or_a_window_that_passed_resets_the_count() {
        let mut breaker = Breaker::default();
        for evidence in [Evidence::Failing, Evidence::Failing, Evidence::Alive, Evidence::Failing, Evidence::Failing] {
            assert_eq!(breaker.observe(&POLICY, evidence, at(0)), None);
        }
        let mut breaker = Breaker::default();
        for seconds in [0, 6, 12, 18, 24] {
            assert_eq!(breaker.observe(&POLICY, Evidence::Failing, at(seconds)), None, "two within ten seconds at most");
        }
    }

    #[test]
    fn a_refusal_of_one_request_is_no_evidence_against_the_endpoint() {
        let policy = RetryPolicy::default();
        let status = |status| Outcome::Failed(Failure::new(Cause::Status(status)));
        for (outcome, evidence) in [
            (Outcome::Delivered { status: 200 }, Evidence::Alive),
            (status(404), Evidence::Alive),
            (status(429), Evidence::Failing),
            (status(503), Evidence::Failing),
            (Outcome::Failed(Failure::new(Cause::Timeout)), Evidence::Failing),
            (Outcome::Failed(Failure::new(Cause::Transform)), Evidence::Nothing),
            (Outcome::Dropped { reason: "x".to_owned() }, Evidence::Nothing),
        ] {
            assert_eq!(Evidence::of(&outcome, &policy.on), evidence, "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn it_opens_only_after_enough_failures_and_always_admits_a_probe_in_time(
            steps in proptest::collection::vec((0..3_u8, 0..20_i64), 1..200), failures in 1..6_u32,
        ) {
            let policy = BreakerPolicy { failures, ..POLICY };
            let mut breaker = Breaker::default();
            let (mut now, mut in_a_row) = (0, 0);
            for (kind, pause) in steps {
                now += pause;
                let evidence = [Evidence::Alive, Evidence::Failing, Evidence::Nothing][usize::from(kind)];
                let was_open = breaker.open().is_some();
                match evidence {
                    Evidence::Alive => in_a_row = 0,
                    Evidence::Failing => in_a_row += 1,
                    Evidence::Nothing => {}
                }
                let turn = breaker.observe(&policy, evidence, at(now));
                match turn {
                    Some(Turn::Opened) => prop_assert!(!was_open && in_a_row >= failures),
                    Some(Turn::Closed) => prop_assert!(was_open && breaker.open().is_none()),
                    Some(Turn::Reopened) => prop_assert!(was_open),
                    None => prop_assert_eq!(was_open, breaker.open().is_some()),
                }
                match breaker.admits(at(now)) {
                    Admission::NotBefore(until) => {
                        prop_assert!(until > at(now) && until <= at(now).after(policy.cool_down));
                        prop_assert_eq!(breaker.admits(until), Admission::Probe);
                    }
                    Admission::Everything => prop_assert!(breaker.open().is_none()),
                    Admission::Probe => prop_assert!(breaker.open().is_some()),
                }
                prop_assert!(breaker.failures.len() < usize::try_from(failures).unwrap().max(1) + 1);
            }
        }
    }
}
