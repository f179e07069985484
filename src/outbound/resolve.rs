//! Names to addresses. One lookup at a time for a name, a bounded number at once for all: the operating system's
//! resolver blocks a thread for as long as a dead name server takes, and cannot be told to stop.
//!
//! So that names whose servers hang do not hold up the others, places are apart: a name that answered quickly the last
//! time never waits behind one that did not, or that nobody has asked for yet.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Lookups at once of names that answered quickly the last time.
const QUICK_PLACES: usize = 64;

/// Of names that are not known.
const NEW_PLACES: usize = 32;

/// Of names that were slow the last time.
const SLOW_PLACES: usize = 16;

/// Of quick and unknown names whose lookups are late: they leave their places to others. Together with the above these
/// are 304 of tokio's 512 blocking threads; the rest are for the store and the modules.
const LATE_PLACES: usize = 192;

/// A lookup is late after this: most end within 50 ms, and one lost packet costs seconds.
const LATE_AFTER: Duration = Duration::from_millis(250);

/// A name is quick that answers within this, whatever it answers: half of the default `connect_timeout`.
const QUICK_WITHIN: Duration = Duration::from_secs(1);

/// For how long a name is slow if nobody proves the contrary: a name server that recovers is noticed by then.
const SLOW_REMEMBERED: Duration = Duration::from_secs(60);

/// Names remembered, twice: a hundred bytes each.
const NAMES_MAX: usize = 8192;

/// The addresses of a name. May block.
pub type ResolveFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Who resolves names.
#[derive(Clone)]
pub enum Resolver {
    /// The operating system (`getaddrinfo`): hosts file, DNS, whatever it is configured for.
    System,
    /// A function of the caller's, for tests.
    Custom(Arc<ResolveFn>),
}

impl Resolver {
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System => Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()),
            Self::Custom(function) => function(name),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Custom(_) => "Custom",
        })
    }
}

type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

/// Lookups under way, and how the last ones went. No address is kept: they are asked for when a connection is opened,
/// which is seldom.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Resolver,
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    state: Mutex<State>,
    quick: Arc<Semaphore>,
    new: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    late: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    flights: HashMap<Arc<str>, watch::Receiver<Option<Answer>>>,
    recent: HashMap<Arc<str>, Pace>,
    /// What was recent before that was full.
    older: HashMap<Arc<str>, Pace>,
}

/// How the last lookup of a name went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quick,
    Slow { until: Instant },
}

impl State {
    fn pace(&self, name: &str) -> Option<Pace> {
        let pace = *self.recent.get(name).or_else(|| self.older.get(name))?;
        match pace {
            Pace::Slow { until } if until <= Instant::now() => None,
            pace => Some(pace),
        }
    }

    fn remember(&mut self, name: Arc<str>, pace: Pace) {
        if self.recent.len() >= NAMES_MAX {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(name, pace);
    }
}

/// The operating system's resolver is one, and so are the process's threads, whatever clients come and go with reloads.
static SYSTEM: LazyLock<Arc<Desk>> = LazyLock::new(Desk::new);

impl Desk {
    fn new() -> Arc<Self> {
        let places = |count| Arc::new(Semaphore::new(count));
        Arc::new(Self {
            state: Mutex::default(),
            quick: places(QUICK_PLACES),
            new: places(NEW_PLACES),
            slow: places(SLOW_PLACES),
            late: places(LATE_PLACES),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self, pace: Option<Pace>) -> Arc<Semaphore> {
        match pace {
            Some(Pace::Quick) => self.quick.clone(),
            Some(Pace::Slow { .. }) => self.slow.clone(),
            None => self.new.clone(),
        }
    }

    /// Whether somebody still waits for the answer; if not, the lookup is over before it began.
    fn is_wanted(&self, name: &str, sender: &watch::Sender<Option<Answer>>) -> bool {
        let mut state = self.lock();
        // One receiver is the state's own; nobody can take another while it is locked.
        let wanted = sender.receiver_count() > 1;
        if !wanted {
            state.flights.remove(name);
        }
        wanted
    }

    /// To the lookup's end, which a late one reaches in another place, as soon as there is one.
    async fn see_off<T>(&self, mut lookup: JoinHandle<T>, place: OwnedSemaphorePermit, pace: Option<Pace>) -> Option<T> {
        if let Ok(ended) = tokio::time::timeout(LATE_AFTER, &mut lookup).await {
            return ended.ok();
        }
        if matches!(pace, Some(Pace::Slow { .. })) {
            return lookup.await.ok();
        }
        // Cancel-safe on both sides: a lookup goes on by itself, and a place that was not given is not lost.
        let _late = tokio::select! {
            ended = &mut lookup => return ended.ok(),
            late = self.late.clone().acquire_owned() => late,
        };
        drop(place);
        lookup.await.ok()
    }
}

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Self {
        let desk = match &resolver {
            Resolver::System => SYSTEM.clone(),
            Resolver::Custom(_) => Desk::new(),
        };
        Self { resolver, desk }
    }

    /// The addresses of `name`, in the resolver's order; the error in words.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut answer = self.join_or_start(name);
        let known = answer.wait_for(Option::is_some).await;
        let known = known.map_err(|_| "the lookup was broken off")?;
        known.clone().unwrap_or_else(|| Err("the lookup was broken off".into()))
    }

    #[expect(clippy::disallowed_methods, reason = "those who wait hear of its end, a panic's too, by its channel")]
    fn join_or_start(&self, name: &str) -> watch::Receiver<Option<Answer>> {
        let mut state = self.desk.lock();
        // One whose runtime ended before it is not joined.
        if let Some(answer) = state.flights.get(name).filter(|answer| answer.has_changed().is_ok()) {
            return answer.clone();
        }
        let name: Arc<str> = name.into();
        let (sender, answer) = watch::channel(None);
        state.flights.insert(name.clone(), answer.clone());
        let pace = state.pace(&name);
        // A task of its own: the attempt that asks first may end at its deadline while others still wait.
        tokio::spawn(fly(name, pace, self.resolver.clone(), self.desk.clone(), sender));
        answer
    }
}

async fn fly(name: Arc<str>, pace: Option<Pace>, resolver: Resolver, desk: Arc<Desk>, sender: watch::Sender<Option<Answer>>) {
    // The places are never closed.
    let Ok(place) = desk.places(pace).acquire_owned().await else { return };
    if !desk.is_wanted(&name, &sender) {
        return;
    }
    let (asked, started) = (name.clone(), Instant::now());
    let lookup = tokio::task::spawn_blocking(move || resolver.lookup(&asked));
    let answer = match desk.see_off(lookup, place, pace).await {
        Some(Ok(addresses)) => Ok(addresses.into()),
        Some(Err(error)) => Err(error.to_string().into()),
        None => Err("the resolver panicked".into()),
    };
    let ended = Instant::now();
    let slow = Pace::Slow { until: ended + SLOW_REMEMBERED };
    let pace = if ended - started <= QUICK_WITHIN { Pace::Quick } else { slow };
    let mut state = desk.lock();
    state.flights.remove(&name);
    state.remember(name, pace);
    drop(state);
    // Nobody may be left to hear it.
    let _ = sender.send(Some(answer));
}

#[cfg(test)]
mod tests;
