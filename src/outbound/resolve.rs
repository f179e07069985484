//! Names to addresses. One lookup at a time for a name, a bounded number at once for all: the operating system's
//! resolver blocks a thread for as long as a dead name server takes, and one such name must not starve the others.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

/// Lookups at once. Each holds one of tokio's 512 blocking threads; the rest are for the store and the modules.
const LOOKUPS_MAX: usize = 64;

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
type Flights = Mutex<HashMap<Arc<str>, watch::Receiver<Option<Answer>>>>;

/// Lookups under way. Nothing is cached: addresses are asked for when a connection is opened, which is seldom.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Resolver,
    flights: Arc<Flights>,
    permits: Arc<Semaphore>,
}

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, flights: Arc::default(), permits: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
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
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = flights.get(name) {
            return answer.clone();
        }
        let name: Arc<str> = name.into();
        let (sender, answer) = watch::channel(None);
        flights.insert(name.clone(), answer.clone());
        // A task of its own: the attempt that asks first may end at its deadline while others still wait.
        tokio::spawn(fly(name, self.resolver.clone(), self.permits.clone(), self.flights.clone(), sender));
        answer
    }
}

async fn fly(
    name: Arc<str>,
    resolver: Resolver,
    permits: Arc<Semaphore>,
    flights: Arc<Flights>,
    sender: watch::Sender<Option<Answer>>,
) {
    let asked = name.clone();
    let answer = match permits.acquire_owned().await {
        Err(_) => Err("the client is closed".into()),
        Ok(permit) => {
            let blocking = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                resolver.lookup(&asked)
            });
            match blocking.await {
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) => Err(error.to_string().into()),
                Err(_) => Err("the resolver panicked".into()),
            }
        }
    };
    flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    // Nobody may be left to hear it.
    let _ = sender.send(Some(answer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[tokio::test]
    async fn askers_of_one_name_share_one_lookup_and_the_next_one_asks_anew() {
        let calls = Arc::new(AtomicUsize::new(0));
        let (release, gate) = mpsc::sync_channel::<()>(1);
        let gate = Mutex::new(gate);
        let counted = calls.clone();
        let lookups = Lookups::new(Resolver::Custom(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            gate.lock().unwrap().recv().unwrap();
            Ok(vec![[192, 0, 2, 1].into()])
        })));
        let (one, other) = tokio::join!(lookups.addresses("a.test"), async {
            let answer = lookups.join_or_start("a.test");
            release.send(()).unwrap();
            drop(answer);
            lookups.addresses("a.test").await
        });
        assert_eq!(one.unwrap().len(), 1);
        assert_eq!(other.unwrap().len(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        release.send(()).unwrap();
        lookups.addresses("a.test").await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panicking_resolver_is_an_error_and_not_a_hang() {
        let lookups = Lookups::new(Resolver::Custom(Arc::new(|_| panic!("boom"))));
        assert_eq!(&*lookups.addresses("a.test").await.unwrap_err(), "the resolver panicked");
        assert_eq!(&*lookups.addresses("a.test").await.unwrap_err(), "the resolver panicked");
    }

    #[tokio::test]
    async fn the_operating_system_knows_localhost() {
        let addresses = Lookups::new(Resolver::System).addresses("localhost").await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback) && !addresses.is_empty());
    }
}
