//! A rate limiter: at most N requests of a client in a window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are remembered; with more, those whose window is over are forgotten.
const CLIENTS_MAX: usize = 10_000;

#[derive(Debug, Clone)]
pub struct LimitOptions {
    pub requests: u32,
    pub window: Duration,
    /// The share of `requests` at which it is worth a word.
    pub warn_at: f64,
}

pub struct Limiter {
    options: LimitOptions,
    clients: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    requests: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Passes, and there are not many left; said once in a window.
    Approaching {
        used: u32,
    },
    /// `is_first` of this window: only that one emits an event.
    Refused {
        retry_after: Duration,
        is_first: bool,
    },
}

impl Limiter {
    pub fn new(options: LimitOptions) -> Self {
        Self { options, clients: Mutex::default() }
    }

    pub fn options(&self) -> &LimitOptions {
        &self.options
    }

    pub fn check(&self, client: IpAddr, now: Instant) -> Verdict {
        let LimitOptions { requests: limit, window, warn_at } = self.options;
        let is_over = |one: &Window| now.saturating_duration_since(one.since) >= window;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, one| !is_over(one));
        }
        let fresh = Window { since: now, requests: 0 };
        let one = clients.entry(client).or_insert(fresh);
        if is_over(one) {
            *one = fresh;
        }
        one.requests = one.requests.saturating_add(1);
        let used = one.requests;
        if used > limit {
            let retry_after = window.saturating_sub(now.saturating_duration_since(one.since));
            return Verdict::Refused { retry_after, is_first: used == limit + 1 };
        }
        if f64::from(used) >= f64::from(limit) * warn_at && f64::from(used - 1) < f64::from(limit) * warn_at {
            return Verdict::Approaching { used };
        }
        Verdict::Pass
    }
}
