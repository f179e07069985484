//! A circuit breaker: opens when too many of the last requests failed, and lets one through after a while to see.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Outcomes that count, whatever the window: enough for a rate, and bounded.
const OUTCOMES_MAX: usize = 1_000;

#[derive(Debug, Clone)]
pub struct BreakerOptions {
    /// How far back requests count.
    pub window: Duration,
    /// Fewer say nothing.
    pub requests_min: usize,
    /// The share of failures that opens it.
    pub threshold: f64,
    pub cool_down: Duration,
}

pub struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
}

enum State {
    /// When each of the last requests ended, and whether well.
    Closed(VecDeque<(Instant, bool)>),
    Open {
        until: Instant,
    },
    /// One request is in flight.
    HalfOpen,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission {
    Pass,
    /// The one that shows whether it is well again.
    Probe,
    Refused {
        retry_after: Duration,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    Opened { error_rate: f64, failures: usize },
    Closed,
}

impl Breaker {
    pub fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    pub fn threshold(&self) -> f64 {
        self.options.threshold
    }

    pub fn admit(&self, now: Instant) -> Admission {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Closed(_) => Admission::Pass,
            State::Open { until } if *until <= now => {
                *state = State::HalfOpen;
                Admission::Probe
            }
            State::Open { until } => Admission::Refused { retry_after: *until - now },
            State::HalfOpen => Admission::Refused { retry_after: self.options.cool_down },
        }
    }

    /// How a request ended. One that began before the breaker opened says nothing any more.
    pub fn settle(&self, was_probe: bool, well: bool, now: Instant) -> Option<Change> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = State::Open { until: now + self.options.cool_down };
        match (&mut *state, was_probe) {
            (State::HalfOpen, true) if well => {
                *state = State::Closed(VecDeque::new());
                Some(Change::Closed)
            }
            (State::HalfOpen, true) => {
                *state = opened;
                Some(Change::Opened { error_rate: 1.0, failures: 1 })
            }
            (State::Closed(outcomes), _) => {
                outcomes.push_back((now, well));
                while outcomes.len() > OUTCOMES_MAX
                    || outcomes.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.options.window)
                {
                    outcomes.pop_front();
                }
                let failures = outcomes.iter().filter(|(_, well)| !well).count();
                let error_rate = failures as f64 / outcomes.len().max(1) as f64;
                if outcomes.len() < self.options.requests_min || error_rate < self.options.threshold {
                    return None;
                }
                *state = opened;
                Some(Change::Opened { error_rate, failures })
            }
            (State::Open { .. } | State::HalfOpen, _) => None,
        }
    }

    /// The probe's client has gone: the next request is the probe.
    pub fn abandon_probe(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::HalfOpen) {
            *state = State::Open { until: now };
        }
    }
}
