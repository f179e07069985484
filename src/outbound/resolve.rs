//! Names to addresses. One lookup at a time for a name, a bounded number at once for all: the operating system's
//! resolver blocks a thread for as long as a dead name server takes, and cannot be cancelled.
//!
//! So that names whose servers hang do not hold up the others, there are separate permits: a name that answered quickly
//! the last time never waits behind one that did not, or that nobody has asked for yet.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::descriptors;
use super::shortage::Shortage;

/// Lookups at once of names that answered quickly the last time.
const QUICK_PERMITS: usize = 64;

/// Of names that are not known.
const NEW_PERMITS: usize = 32;

/// Of names that were slow the last time.
const SLOW_PERMITS: usize = 16;

/// Of quick and unknown names whose lookups are late: they leave their permits to others. Together with the above these
/// are 304 of tokio's 512 blocking threads; the rest are for the store and the modules. A low limit on open files means
/// fewer of each: a lookup opens a socket or two.
const LATE_PERMITS: usize = 192;

/// A lookup is late after this: most end within 50 ms, and one lost packet costs seconds.
const LATE_AFTER: Duration = Duration::from_millis(250);

/// A name is quick when its lookup ends within this, in an error as well: half of the default `connect_timeout`.
const QUICK_WITHIN: Duration = Duration::from_secs(1);

/// For how long a name counts as slow unless a lookup proves the contrary: a name server that recovers is noticed by then.
const SLOW_REMEMBERED: Duration = Duration::from_secs(60);

/// Names remembered, twice: a hundred bytes each.
const NAMES_MAX: usize = 8192;

/// The addresses of a name. May block.
pub type ResolveFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// What resolves names.
#[derive(Clone)]
pub enum Resolver {
    /// The operating system (`getaddrinfo`): hosts file, DNS, all that it is configured for.
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

type Answer = Result<Arc<[IpAddr]>, LookupError>;

/// Why a name has no addresses.
#[derive(Debug, Clone)]
pub(super) enum LookupError {
    /// In the resolver's words.
    Failed(Arc<str>),
    /// Nobody was asked for want of something that is ours.
    Shortage(Shortage),
}

impl LookupError {
    fn new(error: &io::Error) -> Self {
        Shortage::of_lookup(error).map_or_else(|| Self::Failed(error.to_string().into()), Self::Shortage)
    }
}

/// Lookups in flight, and how the last ones went. No address is cached: they are asked for when a connection is opened,
/// which is seldom.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Resolver,
    shared: Arc<SharedLookups>,
}

#[derive(Debug)]
struct SharedLookups {
    state: Mutex<State>,
    quick: Arc<Semaphore>,
    new: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    late: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: HashMap<Arc<str>, watch::Receiver<Option<Answer>>>,
    recent: HashMap<Arc<str>, Speed>,
    /// What was recent before that was full.
    older: HashMap<Arc<str>, Speed>,
}

/// How the last lookup of a name went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speed {
    Quick,
    Slow { until: Instant },
}

impl State {
    fn speed(&self, name: &str) -> Option<Speed> {
        let speed = *self.recent.get(name).or_else(|| self.older.get(name))?;
        match speed {
            Speed::Slow { until } if until <= Instant::now() => None,
            speed => Some(speed),
        }
    }

    fn remember(&mut self, name: Arc<str>, speed: Speed) {
        if self.recent.len() >= NAMES_MAX {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(name, speed);
    }
}

/// One for the process, as the operating system's resolver and the threads are, whatever clients come and go with reloads.
static SYSTEM: LazyLock<Arc<SharedLookups>> = LazyLock::new(SharedLookups::new);

impl SharedLookups {
    fn new() -> Arc<Self> {
        let permits = |count| Arc::new(Semaphore::new(descriptors::at_first_use().lookups(count)));
        Arc::new(Self {
            state: Mutex::default(),
            quick: permits(QUICK_PERMITS),
            new: permits(NEW_PERMITS),
            slow: permits(SLOW_PERMITS),
            late: permits(LATE_PERMITS),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permits(&self, speed: Option<Speed>) -> Arc<Semaphore> {
        match speed {
            Some(Speed::Quick) => self.quick.clone(),
            Some(Speed::Slow { .. }) => self.slow.clone(),
            None => self.new.clone(),
        }
    }

    /// Whether anybody still waits for the answer; if not, the lookup is over before it began.
    fn is_wanted(&self, name: &str, sender: &watch::Sender<Option<Answer>>) -> bool {
        let mut state = self.lock();
        // One receiver is the state's own; nobody can take another while it is locked.
        let wanted = sender.receiver_count() > 1;
        if !wanted {
            state.in_flight.remove(name);
        }
        wanted
    }

    /// Waits for the lookup's end; a late one goes on with another permit as soon as there is one.
    async fn finish<T>(&self, mut lookup: JoinHandle<T>, permit: OwnedSemaphorePermit, speed: Option<Speed>) -> Option<T> {
        if let Ok(ended) = tokio::time::timeout(LATE_AFTER, &mut lookup).await {
            return ended.ok();
        }
        if matches!(speed, Some(Speed::Slow { .. })) {
            return lookup.await.ok();
        }
        // Cancel-safe on both sides: a lookup goes on by itself, and a permit that was not acquired is not lost.
        let _late = tokio::select! {
            ended = &mut lookup => return ended.ok(),
            late = self.late.clone().acquire_owned() => late,
        };
        drop(permit);
        lookup.await.ok()
    }
}

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Self {
        let shared = match &resolver {
            Resolver::System => SYSTEM.clone(),
            Resolver::Custom(_) => SharedLookups::new(),
        };
        Self { resolver, shared }
    }

    /// The addresses of `name`, in the resolver's order; the error in words.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut answer = self.join_or_start(name);
        let known = answer.wait_for(Option::is_some).await;
        // It ends without an answer when no thread could be started for it.
        let known = known.map_err(|_| LookupError::Shortage(Shortage::Threads))?;
        known.clone().unwrap_or(Err(LookupError::Shortage(Shortage::Threads)))
    }

    #[expect(clippy::disallowed_methods, reason = "those who wait hear of its end, a panic's too, by its channel")]
    fn join_or_start(&self, name: &str) -> watch::Receiver<Option<Answer>> {
        let mut state = self.shared.lock();
        // One whose runtime ended before it is not joined.
        if let Some(answer) = state.in_flight.get(name).filter(|answer| answer.has_changed().is_ok()) {
            return answer.clone();
        }
        let name: Arc<str> = name.into();
        let (sender, answer) = watch::channel(None);
        state.in_flight.insert(name.clone(), answer.clone());
        let speed = state.speed(&name);
        // A task of its own: the attempt that asks first may end at its deadline while others still wait.
        tokio::spawn(look_up(name, speed, self.resolver.clone(), self.shared.clone(), sender));
        answer
    }
}

async fn look_up(
    name: Arc<str>,
    speed: Option<Speed>,
    resolver: Resolver,
    shared: Arc<SharedLookups>,
    sender: watch::Sender<Option<Answer>>,
) {
    // The semaphores are never closed.
    let Ok(permit) = shared.permits(speed).acquire_owned().await else { return };
    if !shared.is_wanted(&name, &sender) {
        return;
    }
    let (asked, started) = (name.clone(), Instant::now());
    // Without a thread for it this panics, and those who wait see their channel close.
    let lookup = tokio::task::spawn_blocking(move || resolver.lookup(&asked).map_err(|error| LookupError::new(&error)));
    let answer = match shared.finish(lookup, permit, speed).await {
        Some(Ok(addresses)) => Ok(addresses.into()),
        Some(Err(error)) => Err(error),
        None => Err(LookupError::Failed("the resolver panicked".into())),
    };
    let ended = Instant::now();
    let slow = Speed::Slow { until: ended + SLOW_REMEMBERED };
    let speed = if ended - started <= QUICK_WITHIN { Speed::Quick } else { slow };
    let mut state = shared.lock();
    state.in_flight.remove(&name);
    state.remember(name, speed);
    drop(state);
    // Perhaps nobody waits any more.
    let _ = sender.send(Some(answer));
}

#[cfg(test)]
mod tests;
