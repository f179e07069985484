//! Connections between requests. HTTP/1.1 ones wait here one by one, the last used on top so that the rest can age;
//! HTTP/2 ones are shared. Bounded per host and in all, swept when old.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::Semaphore;

use super::descriptors;
use super::key::Key;
use super::lease::{H1, Hold, Lease, Opened, Shared};

/// Requests at once on one HTTP/2 connection. Servers allow 100 or more (RFC 9113 §6.5.2); below that, a second
/// connection is opened, so that requests which hang on one path do not hold up another path of the same host.
const STREAMS_MAX: usize = 64;

/// Idle connections to all hosts, of HTTP/1.1 and of HTTP/2 each: they cost a file descriptor and some 20 KiB each. A
/// low limit on open files means fewer.
const IDLE_TOTAL_MAX: usize = 2048;

/// With too many idle HTTP/2 connections, this part of the bound goes besides, so that not every new one has all the
/// others looked through.
const TRIM_PART: usize = 16;

/// What a connection may take to be ready again after its answer; normally it is at once.
const READY_GRACE: Duration = Duration::from_millis(10);

/// A connection is given up this long before the endpoint said that it would: the last request must still get there.
const HINT_MARGIN: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    hosts: Mutex<Hosts>,
    per_host_max: usize,
    total_max: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Hosts {
    by_key: HashMap<Key, Host>,
    /// Idle HTTP/1.1 connections of all hosts.
    idle: usize,
    /// HTTP/2 connections of all hosts, idle or not.
    shared: usize,
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

impl InUse {
    /// Only who holds the pool's lock can change that it is.
    fn is_idle(&self) -> bool {
        self.shared.permits.available_permits() == STREAMS_MAX
    }

    fn retire(self) {
        if let Some(shared) = Arc::into_inner(self.shared) {
            shared.h2.retire();
        }
    }
}

impl Hosts {
    /// Retires idle HTTP/2 connections beyond the bound, the longest unused first.
    fn trim(&mut self, total_max: usize) {
        if self.shared <= total_max {
            return;
        }
        let all = self.by_key.values().flat_map(|host| &host.shared);
        let mut unused: Vec<Instant> = all.filter(|in_use| in_use.is_idle()).map(|in_use| in_use.last_used).collect();
        if unused.len() <= total_max {
            return;
        }
        let going = unused.len() - total_max + total_max / TRIM_PART;
        let until = *unused.select_nth_unstable(going - 1).1;
        for host in self.by_key.values_mut() {
            for in_use in host.shared.extract_if(.., |in_use| in_use.is_idle() && in_use.last_used <= until) {
                in_use.retire();
                self.shared -= 1;
            }
        }
        self.by_key.retain(|_, host| !host.idle.is_empty() || !host.shared.is_empty());
    }
}

impl Pool {
    pub(super) fn new(per_host_max: usize, idle_timeout: Duration) -> Self {
        Self { hosts: Mutex::default(), per_host_max, total_max: descriptors::at_first_use().idle(IDLE_TOTAL_MAX), idle_timeout }
    }

    /// A connection that is ready now, if there is one.
    pub(super) fn checkout(&self, key: &Key) -> Option<Lease> {
        let mut hosts = self.lock();
        let hosts = &mut *hosts;
        let host = hosts.by_key.get_mut(key)?;
        let now = Instant::now();
        let before = host.shared.len();
        host.shared.retain(|in_use| !in_use.shared.h2.sender.is_closed());
        hosts.shared -= before - host.shared.len();
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
            .find(|in_use| !in_use.shared.h2.sender.is_closed() && in_use.shared.permits.available_permits() >= STREAMS_MAX / 2);
        if let Some(lease) = roomy.and_then(|in_use| Lease::shared(&in_use.shared)) {
            h2.retire();
            return lease;
        }
        let shared = Arc::new(Shared { h2, permits: Arc::new(Semaphore::new(STREAMS_MAX)) });
        let lease = Lease::shared(&shared).expect("a new semaphore has all its permits free");
        host.shared.push(InUse { shared, last_used: Instant::now() });
        hosts.shared += 1;
        hosts.trim(self.total_max);
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
        if hosts.idle >= self.total_max {
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

    /// No connection to this host is used again; requests in flight go on.
    pub(super) fn forget(&self, key: &Key) {
        let mut hosts = self.lock();
        if let Some(host) = hosts.by_key.remove(key) {
            hosts.idle -= host.idle.len();
            hosts.shared -= host.shared.len();
        }
    }

    /// Closes all idle connections.
    pub(super) fn clear(&self) {
        let mut hosts = self.lock();
        hosts.by_key.clear();
        (hosts.idle, hosts.shared) = (0, 0);
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

    /// Closes what has been idle for too long, and what is too much; says whether anything is left.
    fn sweep_once(&self) -> bool {
        let now = Instant::now();
        let mut hosts = self.lock();
        hosts.trim(self.total_max);
        let Hosts { by_key, idle, shared, sweeping } = &mut *hosts;
        by_key.retain(|_, host| {
            let before = host.idle.len();
            for Idle { h1, .. } in host.idle.extract_if(.., |waiting| waiting.until <= now || waiting.h1.sender.is_closed()) {
                h1.retire();
            }
            *idle -= before - host.idle.len();
            let before = host.shared.len();
            host.shared.retain(|in_use| {
                let fresh = now.duration_since(in_use.last_used) < self.idle_timeout;
                !in_use.shared.h2.sender.is_closed() && (!in_use.is_idle() || fresh)
            });
            *shared -= before - host.shared.len();
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
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::DuplexStream;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::outbound::egress::Realm;
    use crate::outbound::lease::H2;

    fn key(host: usize) -> Key {
        Key::of(&format!("http://host-{host}/").parse().unwrap(), Realm::default()).unwrap()
    }

    /// A connection, and the endpoint's end of it.
    #[expect(clippy::disallowed_methods, reason = "it ends with its handle")]
    async fn h2() -> (Opened, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await.unwrap();
        let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        (Opened::H2(H2 { sender, driver }), theirs)
    }

    #[tokio::test]
    async fn of_many_idle_h2_connections_the_longest_unused_are_retired() {
        const MAX: usize = 4;
        let pool = Arc::new(Pool { total_max: MAX, ..Pool::new(8, Duration::from_secs(60)) });
        let mut endpoints = Vec::new();
        let mut admit = async |host: usize| {
            let (opened, endpoint) = h2().await;
            endpoints.push(endpoint);
            pool.admit(&key(host), opened)
        };
        let held = admit(0).await;
        for host in 1..=20 {
            drop(admit(host).await);
            // Used again and again: not among the longest unused.
            drop(pool.checkout(&key(1)).expect("it is kept"));
        }
        // The last one came back after the last look.
        let known = |pool: &Pool| pool.lock().by_key.len();
        assert!(known(&pool) <= 1 + MAX + 1, "{} are kept", known(&pool));
        pool.sweep_once();
        let kept: Vec<usize> = (0..=20).filter(|host| pool.checkout(&key(*host)).is_some()).collect();
        assert_eq!(kept, [0, 1, 18, 19, 20], "one in use, and the last used of the others");
        assert_eq!(known(&pool), 1 + MAX);
        assert_eq!(pool.lock().shared, 1 + MAX);
        // Retired in good order: the endpoint sees the end of its connection.
        let mut seen = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut endpoints[2], &mut seen).await.unwrap();
        drop(held);
        for host in 0..=20 {
            pool.forget(&key(host));
        }
        assert_eq!(pool.lock().shared, 0);
    }

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
