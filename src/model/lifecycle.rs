//! The life of a delivery: which state comes next, and when it is due, is decided here and nowhere else. Pure; the store
//! writes what is decided here, and decides nothing itself.
//!
//! ```text
//!            ┌───────── release ─────────┐
//!            ▼                           │
//! pending ──▶ (attempt) ─▶ retrying ──▶ held        succeeded   failed   dropped   cancelled
//!    │            │           │          │              ▲          ▲        ▲          ▲
//!    │            └───────────┴── settled ┴─────────────┴──────────┴────────┘          │
//!    └────────────── cancelled, by an operator or with the webhook ────────────────────┘
//! ```
//! Only a manual retry leads out of a finished state, but for two cases: an attempt that was in flight when its delivery
//! was cancelled and that came to an end by itself (it arrived, or was dropped), and a failed delivery that an operator
//! waives. [`next`] asserts the diagram.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::Rng;

use super::retry::{Asked, RETRY_AFTER_MAX, RetryPolicy, Settlement};
use super::{Cause, DeliveryState, Evidence, Failure, Outcome, Timestamp, Trigger};

/// An attempt that is over, as far as what comes next depends on it.
#[derive(Debug, Clone)]
pub struct FinishedAttempt<'a> {
    pub outcome: &'a Outcome,
    pub trigger: Trigger,
    /// Scheduled attempts before this one.
    pub spent: u32,
    /// When the delivery came to be.
    pub created: Timestamp,
    /// Events that it carries.
    pub events: usize,
}

/// A retry policy, and the age that ends it.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime<'a> {
    pub retry: &'a RetryPolicy,
    pub expire_after: Option<Duration>,
}

impl Lifetime<'_> {
    /// What comes after an attempt. A manual attempt spends nothing: what comes next is what would have come after the
    /// last scheduled one.
    pub fn after(&self, tried: &FinishedAttempt<'_>, now: Timestamp, rng: &mut impl Rng) -> Settlement {
        if let Outcome::Failed(Failure { cause, asked, .. }) = tried.outcome {
            match (cause, asked) {
                (_, Some(Asked::AbortMessage | Asked::Disable)) | (Cause::Status(410), _) => return Settlement::Fail,
                // Too large: two halves may pass. It ends, because one event cannot be halved.
                (Cause::Status(413), None) if tried.events > 1 => return Settlement::Halve,
                _ => {}
            }
        }
        let spent = tried.spent.saturating_add(u32::from(tried.trigger == Trigger::Scheduled));
        let spent = NonZeroU32::new(spent).unwrap_or(NonZeroU32::MIN);
        match self.retry.settle(spent, tried.outcome, now, rng) {
            Settlement::RetryAt(at) if self.expires(tried.created).is_some_and(|end| at > end) => Settlement::Expire,
            settlement => settlement,
        }
    }

    /// What comes after an attempt that failed while the breaker is open (its probe, or one that was in flight when it
    /// opened): another one when the breaker has cooled down, for which the delivery pays nothing. `None`: what would have
    /// come without a breaker, because the attempt did not speak against the endpoint or the endpoint wants no other.
    pub fn after_open_breaker(&self, tried: &FinishedAttempt<'_>, cool_down: Duration, now: Timestamp) -> Option<Settlement> {
        let Outcome::Failed(Failure { asked: None, retry_after, .. }) = tried.outcome else { return None };
        if Evidence::of(tried.outcome, &self.retry.on) != Evidence::Failing {
            return None;
        }
        let at = now.after(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX).max(cool_down));
        let expires = self.expires(tried.created).is_some_and(|end| at > end);
        Some(if expires { Settlement::Expire } else { Settlement::RetryUncounted(at) })
    }

    /// Whether it is too late to attempt it. An operator's wish has no time limit.
    pub fn is_over(&self, trigger: Trigger, created: Timestamp, now: Timestamp) -> bool {
        trigger == Trigger::Scheduled && self.expires(created).is_some_and(|end| now > end)
    }

    /// How long until it is too late; `None`: never.
    pub fn left(&self, trigger: Trigger, created: Timestamp, now: Timestamp) -> Option<Duration> {
        let end = self.expires(created).filter(|_| trigger == Trigger::Scheduled)?;
        Some(now.until(end).saturating_add(Duration::from_millis(1)))
    }

    fn expires(&self, created: Timestamp) -> Option<Timestamp> {
        self.expire_after.map(|span| created.after(span))
    }
}

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A lease ended. `asked`: a manual retry was requested during the attempt, for then.
    Settled { settlement: &'a Settlement, reason: Option<&'a str>, asked: Option<Timestamp> },
    /// Its webhook was disabled, or is missing from the configuration.
    Hold { reason: &'a str },
    /// Its webhook was enabled.
    Release { tried: bool },
    /// Its webhook was removed, or an operator cancelled it.
    Cancel { reason: &'a str },
    /// An operator lets a key go on without one of its deliveries that was given up.
    Waive { reason: &'a str },
    /// An operator wants it now.
    Retry,
}

/// What a delivery is then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next<'a> {
    pub state: DeliveryState,
    /// When it may be attempted: for those that wait, and for no others.
    pub due: Option<Timestamp>,
    /// `None`: none, but that what was cancelled and stays so keeps the one that it has.
    pub reason: Option<&'a str>,
}

/// Which state comes next; `None` when nothing changes.
///
/// # Panics
/// Never: the assertions state what the tests below prove for every state and change.
pub fn next<'a>(before: DeliveryState, change: Change<'a>, now: Timestamp) -> Option<Next<'a>> {
    let next = decide(before, change, now)?;
    assert!(may_become(before, next.state, &change), "{before:?} does not become {:?} by {change:?}", next.state);
    let waits = matches!(next.state, DeliveryState::Pending | DeliveryState::Retrying);
    assert_eq!(next.due.is_some(), waits, "{:?} is due if and only if it waits", next.state);
    Some(next)
}

/// The diagram.
fn may_become(before: DeliveryState, after: DeliveryState, change: &Change<'_>) -> bool {
    use DeliveryState::{Cancelled, Dropped, Failed, Pending, Succeeded};
    match (before, after) {
        // Tried once, it is never untried again, unless nothing was tried before it was held.
        (before, Pending) => before.is_open(),
        (before, _) if before.is_open() => true,
        (before, after) if before == after => true,
        (Failed, Cancelled) => matches!(change, Change::Waive { .. }),
        (_, Succeeded | Dropped) => matches!(change, Change::Settled { .. }),
        _ => matches!(change, Change::Retry),
    }
}

fn decide<'a>(before: DeliveryState, change: Change<'a>, now: Timestamp) -> Option<Next<'a>> {
    use DeliveryState::{Cancelled, Dropped, Failed, Held, Pending, Retrying, Succeeded};
    let waits = |state, due: Timestamp| Next { state, due: Some(due.max(now)), reason: None };
    let rests = |state, reason| Next { state, due: None, reason };
    Some(match change {
        Change::Settled { settlement, reason, asked } => match settlement {
            Settlement::Succeed
            | Settlement::Drop { .. }
            | Settlement::Fail
            | Settlement::Expire
            | Settlement::RetryAt(_)
            | Settlement::RetryUncounted(_)
                if let Some(at) = asked
                    && before.is_open() =>
            {
                Next { reason, ..waits(Retrying, at) }
            }
            Settlement::Succeed => rests(Succeeded, None),
            Settlement::Drop { reason } => rests(Dropped, Some(reason.as_str())),
            // What an operator did during the attempt wins over another try, not over one that arrived. The attempt's
            // record says what was wrong with it.
            _ if before == Cancelled => rests(Cancelled, None),
            // What has ended otherwise was settled before, by the same attempt.
            _ if !before.is_open() => return None,
            Settlement::Cancel { reason } => rests(Cancelled, Some(reason.as_str())),
            Settlement::Fail | Settlement::Expire => rests(Failed, reason),
            Settlement::Hold => rests(Held, reason),
            Settlement::PutBack(_) | Settlement::RetryAt(_) | Settlement::RetryUncounted(_) | Settlement::Halve
                if before == Held =>
            {
                rests(Held, reason)
            }
            Settlement::RetryAt(at) | Settlement::RetryUncounted(at) => Next { reason, ..waits(Retrying, *at) },
            Settlement::PutBack(at) => Next { reason, ..waits(before, *at) },
            Settlement::Halve => Next { reason, ..waits(Retrying, now) },
        },
        Change::Hold { reason } if matches!(before, Pending | Retrying) => rests(Held, Some(reason)),
        Change::Release { tried } if before == Held => waits(if tried { Retrying } else { Pending }, now),
        Change::Cancel { reason } if before.is_open() => rests(Cancelled, Some(reason)),
        Change::Waive { reason } if before == Failed => rests(Cancelled, Some(reason)),
        Change::Retry => waits(if before == Pending { Pending } else { Retrying }, now),
        Change::Hold { .. } | Change::Release { .. } | Change::Cancel { .. } | Change::Waive { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Curve, Jitter, Schedule};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const NOW: i64 = 1_700_000_000_000;

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    fn after(expire_after: Option<Duration>, outcome: &Outcome, trigger: Trigger, spent: u32, events: usize) -> Settlement {
        let retry = RetryPolicy { jitter: Jitter::default(), ..RetryPolicy::default() };
        let tried = FinishedAttempt { outcome, trigger, spent, created: now(), events };
        Lifetime { retry: &retry, expire_after }.after(&tried, now(), &mut StdRng::seed_from_u64(1))
    }

    fn failed(status: u16) -> Outcome {
        Outcome::Failed(Failure::new(Cause::Status(status)))
    }

    #[test]
    fn a_manual_retry_does_not_spend_the_budget() {
        let in_ms = |ms| Settlement::RetryAt(Timestamp::from_millis(NOW + ms));
        assert_eq!(after(None, &failed(500), Trigger::Scheduled, 1, 1), in_ms(2000));
        assert_eq!(after(None, &failed(500), Trigger::Manual, 2, 1), in_ms(2000), "as after the second");
        assert_eq!(after(None, &failed(500), Trigger::Manual, 4, 1), Settlement::Fail, "none is left");
    }

    #[test]
    fn a_retry_requested_during_an_attempt_follows_it_however_it_ended() {
        let (waits, gone) =
            (Settlement::RetryAt(Timestamp::from_millis(NOW + 5000)), Settlement::Cancel { reason: "gone".into() });
        let state = |before, settlement: &Settlement, asked| {
            let next = next(before, Change::Settled { settlement, reason: None, asked }, now()).unwrap();
            (next.state, next.due)
        };
        for settlement in [&Settlement::Succeed, &Settlement::Fail, &Settlement::Expire, &waits] {
            assert_eq!(state(DeliveryState::Retrying, settlement, Some(now())), (DeliveryState::Retrying, Some(now())));
        }
        assert_eq!(state(DeliveryState::Retrying, &Settlement::Succeed, None), (DeliveryState::Succeeded, None));
        assert_eq!(state(DeliveryState::Cancelled, &Settlement::Succeed, Some(now())), (DeliveryState::Succeeded, None));
        assert_eq!(state(DeliveryState::Retrying, &gone, Some(now())), (DeliveryState::Cancelled, None));
    }

    #[test]
    fn a_failure_while_the_breaker_is_open_costs_nothing() {
        let retry = RetryPolicy::default();
        let cool_down = Duration::from_secs(30);
        let after = |outcome: &Outcome, expire_after, spent| {
            let tried = FinishedAttempt { outcome, trigger: Trigger::Scheduled, spent, created: now(), events: 1 };
            Lifetime { retry: &retry, expire_after }.after_open_breaker(&tried, cool_down, now())
        };
        let in_s = |s| Some(Settlement::RetryUncounted(now().after(Duration::from_secs(s))));
        assert_eq!(after(&failed(503), None, 99), in_s(30), "whatever was spent");
        assert_eq!(after(&failed(501), None, 0), in_s(30), "a status that would not be retried");
        let hint = Failure { retry_after: Some(Duration::from_secs(99)), ..Failure::new(Cause::Status(429)) };
        assert_eq!(after(&Outcome::Failed(hint), None, 0), in_s(99), "the longer of the two");
        assert_eq!(after(&failed(503), Some(Duration::from_secs(10)), 0), Some(Settlement::Expire));
        for other in [failed(404), Outcome::Delivered { status: 200 }, Outcome::Failed(Failure::new(Cause::Transform))] {
            assert_eq!(after(&other, None, 0), None, "{other:?} says nothing against the endpoint");
        }
        let abort = Failure { asked: Some(Asked::AbortMessage), ..Failure::new(Cause::Status(503)) };
        assert_eq!(after(&Outcome::Failed(abort), None, 0), None, "the endpoint does not want it again");
        assert!(!Settlement::RetryUncounted(now()).spends_retry() && Settlement::RetryAt(now()).spends_retry());
    }

    #[test]
    fn a_delivery_that_is_put_back_is_as_it_was() {
        let at = now().after(Duration::from_secs(1));
        let put_back = |before| {
            let change = Change::Settled { settlement: &Settlement::PutBack(at), reason: None, asked: None };
            next(before, change, now()).map(|next| (next.state, next.due))
        };
        for state in [DeliveryState::Pending, DeliveryState::Retrying] {
            assert_eq!(put_back(state), Some((state, Some(at))));
        }
        for state in [DeliveryState::Held, DeliveryState::Cancelled] {
            assert_eq!(put_back(state), Some((state, None)), "an operator's word holds");
        }
        assert_eq!(put_back(DeliveryState::Succeeded), None);
    }

    /// So that no input can reach the assertions of [`next`].
    #[test]
    fn no_state_and_change_contradict_the_diagram() {
        let settlements = [
            Settlement::Succeed,
            Settlement::RetryAt(now()),
            Settlement::RetryUncounted(now()),
            Settlement::PutBack(now()),
            Settlement::Fail,
            Settlement::Expire,
            Settlement::Halve,
            Settlement::Drop { reason: "d".to_owned() },
            Settlement::Hold,
            Settlement::Cancel { reason: "c".to_owned() },
        ];
        for before in DeliveryState::ALL {
            for settlement in &settlements {
                for asked in [None, Some(now())] {
                    next(before, Change::Settled { settlement, reason: None, asked }, now());
                }
            }
            let release = [true, false].map(|tried| Change::Release { tried });
            let others =
                [Change::Hold { reason: "h" }, Change::Cancel { reason: "c" }, Change::Waive { reason: "w" }, Change::Retry];
            for change in release.into_iter().chain(others) {
                next(before, change, now());
            }
        }
    }

    #[test]
    fn a_batch_that_is_too_large_is_halved_and_a_single_event_is_not() {
        assert_eq!(after(None, &failed(413), Trigger::Scheduled, 0, 2), Settlement::Halve);
        assert_eq!(after(None, &failed(413), Trigger::Scheduled, 0, 1), Settlement::Fail);
    }

    #[test]
    fn what_the_endpoint_asks_for_ends_the_retries() {
        for asked in [Asked::AbortMessage, Asked::Disable] {
            let outcome = Outcome::Failed(Failure { asked: Some(asked), ..Failure::new(Cause::Status(503)) });
            assert_eq!(after(None, &outcome, Trigger::Scheduled, 0, 1), Settlement::Fail);
        }
        assert_eq!(after(None, &failed(410), Trigger::Scheduled, 0, 1), Settlement::Fail);
    }

    #[test]
    fn what_would_be_retried_too_late_expires_at_once() {
        let span = Duration::from_millis(1500);
        assert!(matches!(after(Some(span), &failed(500), Trigger::Scheduled, 0, 1), Settlement::RetryAt(_)));
        assert_eq!(after(Some(span), &failed(500), Trigger::Scheduled, 1, 1), Settlement::Expire);
        let retry = RetryPolicy::default();
        let lifetime = Lifetime { retry: &retry, expire_after: Some(span) };
        assert!(!lifetime.is_over(Trigger::Scheduled, now(), now().after(span)));
        assert!(lifetime.is_over(Trigger::Scheduled, now(), now().after(span * 2)));
        assert!(!lifetime.is_over(Trigger::Manual, now(), now().after(span * 2)), "an operator may");
    }

    fn settlements() -> impl Strategy<Value = Settlement> {
        let at = || (-100_000..100_000_i64).prop_map(|ms| Timestamp::from_millis(NOW + ms));
        prop_oneof![
            Just(Settlement::Succeed),
            at().prop_map(Settlement::RetryAt),
            at().prop_map(Settlement::RetryUncounted),
            at().prop_map(Settlement::PutBack),
            Just(Settlement::Fail),
            Just(Settlement::Expire),
            Just(Settlement::Halve),
            Just(Settlement::Hold),
            Just(Settlement::Drop { reason: "d".to_owned() }),
            Just(Settlement::Cancel { reason: "c".to_owned() }),
        ]
    }

    proptest! {
        #[test]
        fn every_delivery_ends_and_every_retry_is_within_bounds(
            retries in 0..50_u32, initial_ms in 0..100_000_u64, multiplier in 1.0..1e9_f64, jitter in 0.0..1.0_f64,
            seed in any::<u64>(), retry_after in proptest::option::of(any::<u32>()), expire_s in proptest::option::of(0..10_000_u64),
            manual in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let max_delay = Duration::from_secs(3600);
            let initial_delay = Duration::from_millis(initial_ms);
            let schedule = Schedule::Curve(Curve::new(retries, initial_delay, multiplier, max_delay).unwrap());
            let retry = RetryPolicy { schedule, jitter: Jitter::new(jitter).unwrap(), ..RetryPolicy::default() };
            let expire_after = expire_s.map(Duration::from_secs);
            let lifetime = Lifetime { retry: &retry, expire_after };
            let mut rng = StdRng::seed_from_u64(seed);
            let hint = retry_after.map(|s| Duration::from_secs(u64::from(s)));
            let outcome = Outcome::Failed(Failure { retry_after: hint, ..Failure::new(Cause::Status(503)) });
            let (created, mut at, mut spent) = (now(), now(), 0);
            for manual in manual.into_iter().chain(std::iter::repeat(false)) {
                let trigger = if manual { Trigger::Manual } else { Trigger::Scheduled };
                let settlement = lifetime.after(&FinishedAttempt { outcome: &outcome, trigger, spent, created, events: 1 }, at, &mut rng);
                spent += u32::from(!manual);
                prop_assert!(spent <= retries + 1, "it ends, however often somebody retries it");
                let Settlement::RetryAt(due) = settlement else { break };
                prop_assert!(due >= at);
                prop_assert!(due <= at.after(RETRY_AFTER_MAX.max(max_delay * 2)));
                prop_assert!(expire_after.is_none_or(|span| due <= created.after(span)));
                at = due;
            }
        }

        #[test]
        fn only_a_manual_retry_leads_out_of_a_finished_state(
            changes in proptest::collection::vec((0..6_u8, any::<bool>(), settlements()), 1..60),
        ) {
            let mut state = DeliveryState::Pending;
            for (kind, tried, settlement) in &changes {
                let change = match kind {
                    0 => Change::Settled { settlement, reason: Some("r"), asked: tried.then(now).filter(|_| state.is_open()) },
                    1 => Change::Hold { reason: "h" },
                    2 => Change::Release { tried: *tried },
                    3 => Change::Cancel { reason: "c" },
                    4 => Change::Waive { reason: "w" },
                    _ => Change::Retry,
                };
                let Some(next) = next(state, change, now()) else { continue };
                let waits = matches!(next.state, DeliveryState::Pending | DeliveryState::Retrying);
                prop_assert_eq!(waits, next.due.is_some(), "{:?} {:?}", state, change);
                prop_assert!(next.due.is_none_or(|due| due >= now()), "never in the past");
                if !state.is_open() && next.state.is_open() {
                    prop_assert_eq!(change, Change::Retry);
                }
                if change == Change::Retry {
                    prop_assert_eq!(next.due, Some(now()), "it replaces whatever waited");
                }
                state = next.state;
            }
        }
    }
}
