//! The event bus within the process. One task follows what the store has committed, whoever published it, and hands it
//! to subscriptions; while there are none it reads no event. A subscription has a buffer of its own: one that is not read
//! loses its oldest events and is told how many, and holds up nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::model::{Event, Timestamp};
use crate::routing::Pattern;
use crate::store::{Place, Store, StoreError, Told};

/// Rows of one look into the store.
const ROWS_MAX: usize = 100;

/// With no subscription, the place from which the next one will be served moves on no more often than this.
const IDLE: Duration = Duration::from_secs(1);

/// After the store could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is stored, with its deliveries.
    Event(Arc<Event>),
    /// So many came while the buffer was full, and are gone from it: [`history`](super::Tenterhook::history) may still have them.
    Missed(u64),
}

/// Hears the events that match its pattern, from when it was made until it is dropped or unsubscribed.
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    pattern: Pattern,
    events: broadcast::Receiver<Arc<Event>>,
    bus: Arc<Bus>,
}

impl Subscription {
    /// The next event, or how many were missed; `None` when it was unsubscribed or Tenterhook has ended, after what
    /// it had still heard. Cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.events.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// For [`unsubscribe`](super::Tenterhook::unsubscribe) from elsewhere.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// The same as dropping it.
    pub fn unsubscribe(self) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus.unsubscribe(self.id);
    }
}

#[derive(Debug)]
pub(super) struct Bus {
    subscribers: Mutex<Subscribers>,
    /// There is a new subscription.
    news: Notify,
    /// Events that each may leave unread.
    buffer: usize,
}

#[derive(Debug, Default)]
struct Subscribers {
    last_id: u64,
    open: BTreeMap<u64, Subscriber>,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    pattern: Pattern,
    sender: broadcast::Sender<Arc<Event>>,
    since: Timestamp,
    /// The last event that may have been stored before it subscribed: up to there the clock decides. `None`: not looked up yet.
    anchor: Option<i64>,
}

impl Subscriber {
    fn wants(&self, number: i64, event: &Event) -> bool {
        let is_later = self.anchor.is_some_and(|anchor| number > anchor) || event.received >= self.since;
        is_later && self.pattern.matches(&event.kind)
    }
}

impl Bus {
    pub(super) fn new(buffer: usize) -> Arc<Self> {
        Arc::new(Self { subscribers: Mutex::default(), news: Notify::new(), buffer })
    }

    pub(super) fn subscribe(self: &Arc<Self>, pattern: Pattern, now: Timestamp) -> Subscription {
        let (sender, events) = broadcast::channel(self.buffer);
        let mut subscribers = self.lock();
        subscribers.last_id += 1;
        let id = subscribers.last_id;
        // After the end nobody would ever drop the sender: then the subscription ends at once.
        if !subscribers.closed {
            subscribers.open.insert(id, Subscriber { pattern: pattern.clone(), sender, since: now, anchor: None });
        }
        drop(subscribers);
        self.news.notify_one();
        Subscription { id, pattern, events, bus: Arc::clone(self) }
    }

    /// Whether there was one.
    pub(super) fn unsubscribe(&self, id: u64) -> bool {
        self.lock().open.remove(&id).is_some()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.lock().open.len()
    }

    fn unanchored(&self) -> Vec<u64> {
        let subscribers = self.lock();
        subscribers.open.iter().filter(|(_, one)| one.anchor.is_none()).map(|(id, _)| *id).collect()
    }

    fn anchor(&self, ids: &[u64], at: i64) {
        let mut subscribers = self.lock();
        for id in ids {
            if let Some(subscriber) = subscribers.open.get_mut(id) {
                subscriber.anchor = Some(at);
            }
        }
    }

    fn announce(&self, number: i64, event: &Arc<Event>) {
        for subscriber in self.lock().open.values().filter(|one| one.wants(number, event)) {
            // It fails only when the subscription is being dropped.
            let _ = subscriber.sender.send(Arc::clone(event));
        }
    }

    /// Subscriptions end after what they have heard.
    fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.closed = true;
        subscribers.open.clear();
    }

    /// Nothing in these sections can panic half-way, so a poisoned lock still holds whole data.
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the store.
pub(super) struct Follower {
    bus: Arc<Bus>,
    store: Store,
    place: Place,
    cancelled: CancellationToken,
}

impl Follower {
    /// Everything that is stored from now on can be heard.
    pub(super) async fn new(bus: Arc<Bus>, store: Store, cancelled: CancellationToken) -> Result<Self, StoreError> {
        let place = store.here().await?;
        Ok(Self { bus, store, place, cancelled })
    }

    pub(super) async fn run(mut self) {
        let mut commits = self.store.commits();
        loop {
            commits.mark_unchanged();
            let looked = if self.bus.subscriptions() == 0 { self.pass_by().await } else { self.look().await };
            let wait = match looked {
                Ok(()) if self.bus.subscriptions() == 0 => Wait::Idle,
                Ok(()) => Wait::Commit,
                Err(error) => {
                    tracing::warn!(%error, "subscriptions wait: the store cannot be read");
                    Wait::Pause
                }
            };
            tokio::select! {
                () = self.cancelled.cancelled() => break,
                () = self.bus.news.notified() => {}
                () = wait.over(&mut commits) => {}
            }
        }
        // What was stored before the end is still heard.
        if self.bus.subscriptions() > 0
            && let Err(error) = self.look().await
        {
            tracing::warn!(%error, "subscriptions may have missed the last events");
        }
    }

    /// Nobody listens: goes on from now, unless somebody began to meanwhile.
    async fn pass_by(&mut self) -> Result<(), StoreError> {
        let here = self.store.here().await?;
        if self.bus.subscriptions() == 0 {
            self.place = here;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        loop {
            let fresh = self.bus.unanchored();
            if !fresh.is_empty() {
                let here = self.store.here().await?;
                self.bus.anchor(&fresh, here.event);
            }
            let tail = self.store.tail(self.place, ROWS_MAX).await?;
            for (place, told) in tail.rows {
                if let Told::Event(record) = told {
                    self.bus.announce(place.event, &Arc::new(record.event));
                }
            }
            self.place = tail.place;
            if !tail.more {
                return Ok(());
            }
        }
    }
}

/// Subscriptions end with what feeds them, however it ends.
impl Drop for Follower {
    fn drop(&mut self) {
        self.bus.close();
    }
}

/// What the next look waits for.
enum Wait {
    Commit,
    /// Passing by costs a look, too: not with every commit.
    Idle,
    /// Only time can mend it.
    Pause,
}

impl Wait {
    async fn over(self, commits: &mut watch::Receiver<()>) {
        match self {
            Self::Pause => return tokio::time::sleep(PAUSE).await,
            Self::Idle => tokio::time::sleep(IDLE).await,
            Self::Commit => {}
        }
        if commits.changed().await.is_err() {
            // The store is gone, and we are about to be told.
            std::future::pending::<()>().await;
        }
    }
}
