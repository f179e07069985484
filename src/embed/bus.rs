//! The event bus within the process. One task follows what the store has committed, over HTTP or in process, and hands it
//! to subscriptions; while there are none it reads no event. A subscription has a buffer of its own: one that is not read
//! loses its oldest events, learns how many, and delays nobody.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::sync::CancellationToken;

use crate::model::{Event, Timestamp};
use crate::routing::Pattern;
use crate::store::{FeedItem, Position, Store, StoreError};

/// Rows of one read from the store.
const ROWS_MAX: usize = 100;

/// With no subscription the position is moved on no more often than this.
const IDLE: Duration = Duration::from_secs(1);

/// After the store could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What a subscription receives.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A stored event.
    Event(Arc<Event>),
    /// The number of events that the buffer had no room for: [`history`](super::Tenterhook::history) may still have them.
    Lagged(u64),
}

/// The events that match a pattern, from the subscription on until it is dropped or unsubscribed: by
/// [`next`](Subscription::next), or as a [`Stream`].
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    pattern: Pattern,
    events: BroadcastStream<Arc<Event>>,
    bus: Arc<Bus>,
}

impl Subscription {
    /// The next event, or how many were missed; `None` when it was unsubscribed or Tenterhook has ended, after what was
    /// still buffered. Cancel-safe.
    pub async fn next(&mut self) -> Option<Received> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
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

impl Stream for Subscription {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        Pin::new(&mut self.events).poll_next(context).map(|next| {
            next.map(|received| match received {
                Ok(event) => Received::Event(event),
                Err(BroadcastStreamRecvError::Lagged(missed)) => Received::Lagged(missed),
            })
        })
    }
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
    /// The last event that may have been stored before it subscribed: up to there the clock decides. `None`: not known yet.
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
        // After the end nobody would drop the sender: then the subscription ends immediately.
        if !subscribers.closed {
            subscribers.open.insert(id, Subscriber { pattern: pattern.clone(), sender, since: now, anchor: None });
        }
        drop(subscribers);
        self.news.notify_one();
        Subscription { id, pattern, events: BroadcastStream::new(events), bus: Arc::clone(self) }
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

    /// Subscriptions end after what they have buffered.
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
    position: Position,
    cancelled: CancellationToken,
}

impl Follower {
    /// Everything that is stored from now on can be received.
    pub(super) async fn new(bus: Arc<Bus>, store: Store, cancelled: CancellationToken) -> Result<Self, StoreError> {
        let position = store.tail_position().await?;
        Ok(Self { bus, store, position, cancelled })
    }

    pub(super) async fn run(mut self) {
        let mut commits = self.store.commits();
        loop {
            commits.mark_unchanged();
            let read = if self.bus.subscriptions() == 0 { self.skip().await } else { self.read().await };
            let wait = match read {
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
        // What was stored before the end is still received.
        if self.bus.subscriptions() > 0
            && let Err(error) = self.read().await
        {
            tracing::warn!(%error, "subscriptions may have missed the last events");
        }
    }

    /// Without subscriptions: goes on from the end, unless one was made in between.
    async fn skip(&mut self) -> Result<(), StoreError> {
        let end = self.store.tail_position().await?;
        if self.bus.subscriptions() == 0 {
            self.position = end;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        loop {
            let fresh = self.bus.unanchored();
            if !fresh.is_empty() {
                let end = self.store.tail_position().await?;
                self.bus.anchor(&fresh, end.event);
            }
            let tail = self.store.tail(self.position, ROWS_MAX).await?;
            for (position, item) in tail.rows {
                if let FeedItem::Event(record) = item {
                    self.bus.announce(position.event, &Arc::new(record.event));
                }
            }
            self.position = tail.position;
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

/// What the next read waits for.
enum Wait {
    Commit,
    /// Skipping costs a read, too: not with every commit.
    Idle,
    /// After an error.
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
            // The store is closed; cancellation follows.
            std::future::pending::<()>().await;
        }
    }
}
