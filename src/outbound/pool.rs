//! Connections between requests. HTTP/1.1 ones wait here one by one, the last used on top so that the rest can age;
//! HTTP/2 ones are shared. Bounded per host and in all, swept when old.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::Semaphore;

use super::key::Key;
use super::lease::{H1, Hold, Lease, Opened, Shared};

/// Requests at once on one HTTP/2 connection. Servers allow 100 or more (RFC 9113 §6.5.2); below that, a second
/// connection is opened, so that requests which hang on one path do not hold up another path of the same host.
const STREAMS_MAX: usize = 64;

/// Idle connections to all hosts: they cost a file descriptor and some 20 KiB each.
const IDLE_TOTAL_MAX: usize = 2048;

/// What a connection may take to be ready again after its answer; normally it is at once.
const READY_GRACE: Duration = Duration::from_millis(10);

/// A connection is given up this long before the endpoint said that it would: the last request must still get there.
const HINT_MARGIN: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    hosts: Mutex<Hosts>,
    per_host_max: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Hosts {
    by_key: HashMap<Key, Host>,
    /// Idle HTTP/1.1 connections of all hosts.
    idle: usize,
    sweeping: bool,
}

#[derive(Default)]
struct Host {
    idle: Vec<Idle>,
    shared: Vec<InUse>,
}

struct Idle {
    h1: H1,
    until: Instant,
}

struct InUse {
    shared: Arc<Shared>,
    last_used: Instant,
}

impl Pool {
    pub(super) fn new(per_host_max: usize, idle_timeout: Duration) -> Self {
        Self { hosts: Mutex::default(), per_host_max, idle_timeout }
    }

    /// A connection that is ready now, if there is one.
    pub(super) fn checkout(&self, key: &Key) -> Option<Lease> {
        let mut hosts = self.lock();
        let hosts = &mut *hosts;
        let host = hosts.by_key.get_mut(key)?;
        let now = Instant::now();
        host.shared.retain(|in_use| !in_use.shared.h2.sender.is_closed());
        for in_use in &mut host.shared {
            if let Some(lease) = Lease::shared(&in_use.shared) {
                in_use.last_used = now;
                return Some(lease);
            }
        }
        while let Some(Idle { h1, until }) = host.idle.pop() {
            hosts.idle -= 1;
            if until > now && h1.sender.is_ready() {
                return Some(Lease(Hold::H1(h1)));
            }
        }
        None
    }

    /// Takes a new connection in. When several requests opened HTTP/2 connections at the same time, one is enough.
    pub(super) fn admit(self: &Arc<Self>, key: &Key, opened: Opened) -> Lease {
        let h2 = match opened {
            Opened::H1(h1) => return Lease(Hold::H1(h1)),
            Opened::H2(h2) => h2,
        };
        let mut hosts = self.lock();
        let host = hosts.by_key.entry(key.clone()).or_default();
        let roomy = host
            .shared
            .iter()
            .find(|in_use| !in_use.shared.h2.sender.is_closed() && in_use.shared.places.available_permits() >= STREAMS_MAX / 2);
        if let Some(lease) = roomy.and_then(|in_use| Lease::shared(&in_use.shared)) {
            h2.retire();
            return lease;
        }
        let shared = Arc::new(Shared { h2, places: Arc::new(Semaphore::new(STREAMS_MAX)) });
        let lease = Lease::shared(&shared).expect("a new semaphore has all its places free");
        host.shared.push(InUse { shared, last_used: Instant::now() });
        self.start_sweeper(&mut hosts);
        lease
    }

    /// Keeps a connection whose answer was read to the end, if the endpoint and the bounds let us.
    pub(super) async fn checkin(self: &Arc<Self>, key: Key, lease: Lease, answer: &HeaderMap) {
        let Lease(Hold::H1(mut h1)) = lease else { return };
        let Some(keep) = keep_for(answer, self.idle_timeout) else { return };
        if !h1.sender.is_ready() && !matches!(tokio::time::timeout(READY_GRACE, h1.sender.ready()).await, Ok(Ok(()))) {
            return;
        }
        let mut hosts = self.lock();
        if hosts.idle >= IDLE_TOTAL_MAX {
            return;
        }
        let host = hosts.by_key.entry(key).or_default();
        if host.idle.len() >= self.per_host_max {
            return;
        }
        host.idle.push(Idle { h1, until: Instant::now() + keep });
        hosts.idle += 1;
        self.start_sweeper(&mut hosts);
    }

    /// No connection to this host is used again; requests under way go on.
    pub(super) fn forget(&self, key: &Key) {
        let mut hosts = self.lock();
        if let Some(host) = hosts.by_key.remove(key) {
            hosts.idle -= host.idle.len();
        }
    }

    /// Closes all idle connections.
    pub(super) fn clear(&self) {
        let mut hosts = self.lock();
        hosts.by_key.clear();
        hosts.idle = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::disallowed_methods, reason = "it holds the pool weakly and ends with it")]
    fn start_sweeper(self: &Arc<Self>, hosts: &mut Hosts) {
        if !std::mem::replace(&mut hosts.sweeping, true) {
            let pause = (self.idle_timeout / 2).clamp(Duration::from_millis(20), Duration::from_secs(5));
            tokio::spawn(sweep(Arc::downgrade(self), pause));
        }
    }

    /// Closes what has been idle for too long; says whether anything is left.
    fn sweep_once(&self) -> bool {
        let now = Instant::now();
        let mut hosts = self.lock();
        let Hosts { by_key, idle, sweeping } = &mut *hosts;
        by_key.retain(|_, host| {
            let before = host.idle.len();
            for Idle { h1, .. } in host.idle.extract_if(.., |waiting| waiting.until <= now || waiting.h1.sender.is_closed()) {
                h1.retire();
            }
            *idle -= before - host.idle.len();
            host.shared.retain(|in_use| {
                let in_hand = in_use.shared.places.available_permits() < STREAMS_MAX;
                let fresh = now.duration_since(in_use.last_used) < self.idle_timeout;
                !in_use.shared.h2.sender.is_closed() && (in_hand || fresh)
            });
            !host.idle.is_empty() || !host.shared.is_empty()
        });
        *sweeping = !by_key.is_empty();
        *sweeping
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.lock().idle).finish_non_exhaustive()
    }
}

/// Ends with the pool, or when there is nothing left to sweep (the next connection starts it again).
async fn sweep(pool: Weak<Pool>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.sweep_once() {
            return;
        }
    }
}

/// How long a connection may wait: our own bound, or what the endpoint announced (`Keep-Alive: timeout=5`, as Node.js
/// and Apache send it) if that is less. `None`: it is not worth keeping.
fn keep_for(answer: &HeaderMap, idle_timeout: Duration) -> Option<Duration> {
    let Some(hint) = answer.get("keep-alive") else {
        return Some(idle_timeout);
    };
    let parameters = hint.to_str().unwrap_or_default().split(',');
    let seconds = parameters.filter_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse::<u32>().ok()).next();
    let Some(seconds) = seconds else { return Some(idle_timeout) };
    let keep = Duration::from_secs(u64::from(seconds)).checked_sub(HINT_MARGIN)?;
    (!keep.is_zero()).then_some(keep.min(idle_timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_own_idle_time_is_kept_to_with_a_margin() {
        let keep = |hint: &str| {
            let answer = HeaderMap::from_iter([(http::HeaderName::from_static("keep-alive"), hint.parse().unwrap())]);
            keep_for(&answer, Duration::from_secs(30))
        };
        assert_eq!(keep("timeout=5"), Some(Duration::from_secs(4)));
        assert_eq!(keep("max=100, timeout=120"), Some(Duration::from_secs(30)));
        assert_eq!(keep("timeout=1"), None);
        assert_eq!(keep("timeout=0"), None);
        assert_eq!(keep("timeout=soon"), Some(Duration::from_secs(30)));
        assert_eq!(keep_for(&HeaderMap::new(), Duration::from_secs(30)), Some(Duration::from_secs(30)));
    }
}
