//! What comes after an attempt: one pure decision.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::Rng;

use super::schedule::{Curve, Jitter, Schedule};
use super::{Cause, Failure, Outcome, StatusSet, Timestamp};

/// `Retry-After` is honoured up to a day: a longer one is a broken clock or a joke.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Which of a webhook's failed attempts are retried, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub schedule: Schedule,
    pub jitter: Jitter,
    pub on: RetryOn,
    /// Statuses that count as delivered.
    pub success: StatusSet,
}

/// Which failures are worth another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn {
    /// Resolving, connecting, TLS, a broken connection, an answer that is not HTTP.
    pub network: bool,
    pub timeout: bool,
    pub statuses: StatusSet,
}

/// What an endpoint may ask for with the response header `webhook-delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `abort-message`: not this one again.
    AbortMessage,
    /// `disable`: nothing any more.
    Disable,
}

impl Asked {
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            value if value.eq_ignore_ascii_case("abort-message") => Some(Self::AbortMessage),
            value if value.eq_ignore_ascii_case("disable") => Some(Self::Disable),
            _ => None,
        }
    }
}

/// What happens to a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Succeed,
    RetryAt(Timestamp),
    /// As [`Settlement::RetryAt`], without spending a retry: the attempt was a probe of an open breaker.
    RetryUncounted(Timestamp),
    /// Nothing was attempted, for want of something that is ours: it waits as before, until then.
    PutBack(Timestamp),
    Fail,
    /// As [`Settlement::Fail`], for being too old.
    Expire,
    /// A batch that is too large: each half is a delivery of its own, due at once.
    Halve,
    Drop {
        reason: String,
    },
    /// Its webhook is disabled: it waits until that is enabled.
    Hold,
    /// Its webhook is gone.
    Cancel {
        reason: String,
    },
}

impl Settlement {
    /// Whether a scheduled attempt that came to this counts against the retry budget. A batch that was too large was
    /// not tried yet, in any of its halves.
    pub fn spends_retry(&self) -> bool {
        !matches!(self, Self::Halve | Self::RetryUncounted(_) | Self::PutBack(_))
    }
}

impl Default for RetryPolicy {
    /// Product contract §2: three retries after 1, 2 and 4 s.
    fn default() -> Self {
        let mut success = StatusSet::default();
        let mut statuses = StatusSet::default();
        let fill = |set: &mut StatusSet, texts: &[&str]| texts.iter().try_for_each(|text| set.add(text));
        fill(&mut success, &["2xx"]).expect("a class is a valid status set");
        fill(&mut statuses, &["408", "425", "429", "5xx"]).expect("codes and classes are valid status sets");
        Self {
            schedule: Schedule::Curve(Curve::default()),
            jitter: Jitter::new(0.2).expect("0.2 is between 0 and 1"),
            on: RetryOn { network: true, timeout: true, statuses },
            success,
        }
    }
}

impl RetryOn {
    fn covers(&self, cause: Cause) -> bool {
        match cause {
            Cause::Status(status) => self.statuses.contains(status),
            Cause::Resolve
            | Cause::BlockedAddress
            | Cause::Connect
            | Cause::Tls
            | Cause::Connection
            | Cause::Protocol
            | Cause::Auth => self.network,
            Cause::Timeout => self.timeout,
            // Nothing was sent, and the module or its options may be fixed before the next try.
            Cause::Transform => true,
        }
    }
}

impl RetryPolicy {
    /// The longest delay between two attempts, the endpoint's own wish included.
    pub fn longest_delay(&self) -> Duration {
        self.schedule.longest(self.jitter).max(RETRY_AFTER_MAX)
    }

    /// `attempt` counts the scheduled attempts made, this one included; a manual one does not spend the budget and
    /// is settled with the number of those before it (at least 1).
    pub fn settle(&self, attempt: NonZeroU32, outcome: &Outcome, now: Timestamp, rng: &mut impl Rng) -> Settlement {
        match outcome {
            Outcome::Delivered { .. } => Settlement::Succeed,
            Outcome::Dropped { reason } => Settlement::Drop { reason: reason.clone() },
            Outcome::Failed(Failure { cause, retry_after, .. }) => {
                if !self.on.covers(*cause) {
                    return Settlement::Fail;
                }
                let Some(delay) = self.schedule.delay(attempt) else { return Settlement::Fail };
                let drawn = self.jitter.draw(delay, rng);
                let asked = retry_after.unwrap_or(Duration::ZERO).min(RETRY_AFTER_MAX);
                Settlement::RetryAt(now.after(drawn.max(asked)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const NOW: i64 = 1_700_000_000_000;

    fn settle(policy: &RetryPolicy, attempt: u32, outcome: &Outcome) -> Settlement {
        let attempt = NonZeroU32::new(attempt).unwrap();
        policy.settle(attempt, outcome, Timestamp::from_millis(NOW), &mut StdRng::seed_from_u64(1))
    }

    fn failed(cause: Cause) -> Outcome {
        Outcome::Failed(Failure::new(cause))
    }

    fn delay_of(settlement: &Settlement) -> Option<i64> {
        match settlement {
            Settlement::RetryAt(at) => Some(at.as_millis() - NOW),
            _ => None,
        }
    }

    #[test]
    fn the_default_curve_retries_after_1_2_and_4_seconds_and_then_fails() {
        let policy = RetryPolicy { jitter: Jitter::default(), ..RetryPolicy::default() };
        let delays: Vec<_> = (1..=4).map(|n| delay_of(&settle(&policy, n, &failed(Cause::Status(500))))).collect();
        assert_eq!(delays, [Some(1000), Some(2000), Some(4000), None]);
        assert_eq!(settle(&policy, 4, &failed(Cause::Status(500))), Settlement::Fail);
    }

    #[test]
    fn a_schedule_is_followed_to_its_end() {
        let list = Schedule::List([15, 120, 600, 3600].map(Duration::from_secs).to_vec());
        let policy = RetryPolicy { schedule: list, jitter: Jitter::default(), ..RetryPolicy::default() };
        let delays: Vec<_> = (1..=5).map(|n| delay_of(&settle(&policy, n, &failed(Cause::Timeout)))).collect();
        assert_eq!(delays, [Some(15_000), Some(120_000), Some(600_000), Some(3_600_000), None]);
    }

    #[test]
    fn redirects_and_most_client_errors_fail_at_once() {
        for status in [301, 302, 400, 401, 403, 404, 410, 422] {
            assert_eq!(settle(&RetryPolicy::default(), 1, &failed(Cause::Status(status))), Settlement::Fail, "{status}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            assert!(delay_of(&settle(&RetryPolicy::default(), 1, &failed(Cause::Status(status)))).is_some(), "{status}");
        }
    }

    #[test]
    fn retry_after_only_extends_and_at_most_to_a_day() {
        let policy = RetryPolicy { jitter: Jitter::default(), ..RetryPolicy::default() };
        let with = |seconds: u64| {
            let outcome =
                Outcome::Failed(Failure { retry_after: Some(Duration::from_secs(seconds)), ..Failure::new(Cause::Status(429)) });
            delay_of(&settle(&policy, 2, &outcome)).unwrap()
        };
        assert_eq!(with(0), 2000);
        assert_eq!(with(1), 2000);
        assert_eq!(with(30), 30_000);
        assert_eq!(with(u64::MAX), 86_400_000);
    }

    #[test]
    fn what_an_endpoint_asks_for_is_read_in_any_case() {
        assert_eq!(Asked::parse(" Disable "), Some(Asked::Disable));
        assert_eq!(Asked::parse("ABORT-MESSAGE"), Some(Asked::AbortMessage));
        assert_eq!(Asked::parse("disabled"), None);
    }
}
