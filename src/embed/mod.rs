//! Tenterhook in another program: events are emitted in process, and everything else is as with the binary. Owns the
//! handle, the queue before the store and the event bus; refuses to be another way of publishing: an emitted event takes
//! the path of [`crate::publish`], as one that comes over HTTP does.

mod builder;
mod bus;
mod error;
mod event;
mod queue;
#[cfg(test)]
mod tests;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use builder::Builder;
pub use bus::{Received, Subscription};
pub use error::{DurableError, EmitError, EndError};
pub use event::NewEvent;
pub use queue::EmitStats;
pub use webhook::Webhook;

use crate::clock::Clock;
use crate::model::{Event, EventId};
use crate::publish::{Draft, Outcome, Publisher, Refusal};
use crate::routing::{InvalidPattern, Pattern};
use crate::signing::Secret;
use crate::snapshot::Live;
use crate::store::{EventFilter, SeenType, Store, StoreError};
use bus::Bus;
use queue::Queue;

/// Events of one read from the store.
const PAGE: usize = 250;

/// A running Tenterhook in this process. Cheap to clone; it ends with [`shutdown`](Tenterhook::shutdown), or when the last
/// clone is dropped.
///
/// ```no_run
/// use tenterhook::{Received, Tenterhook};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tenterhook = Tenterhook::builder().config("config.toml").start().await?;
///
/// // In process: every stored event, over HTTP or emitted.
/// let mut opened = tenterhook.subscribe("circuit_breaker.*")?;
///
/// // Never waits.
/// tenterhook.emit(("circuit_breaker.opened", serde_json::json!({"routeId": "api-service"})))?;
/// // Waits until it is on disk.
/// let accepted = tenterhook.emit_durable(("order.created", serde_json::json!({"total": 99.99}))).await?;
/// println!("{} goes to {} webhooks", accepted.id, accepted.deliveries);
///
/// if let Some(Received::Event(event)) = opened.next().await {
///     println!("{} {}", event.kind, String::from_utf8_lossy(&event.data));
/// }
/// tenterhook.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenterhook {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Queue,
    bus: Arc<Bus>,
    store: Store,
    live: Arc<Live>,
    publisher: Publisher,
    routes: Option<axum::Router>,
    listening: Option<SocketAddr>,
    admin: Option<Secret>,
    history: usize,
    closing: CancellationToken,
    end: watch::Receiver<Option<Result<(), EndError>>>,
}

/// Ends it without a shutdown: what was emitted is still stored, as long as the runtime runs.
impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// A durable event's id and deliveries.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    pub id: EventId,
    /// Webhooks that get it.
    pub deliveries: u32,
    /// It was published before with the same id and content: these are the deliveries of that time.
    pub is_duplicate: bool,
}

impl Tenterhook {
    /// ```no_run
    /// # async fn example() -> Result<(), tenterhook::StartError> {
    /// let tenterhook = tenterhook::Tenterhook::builder()
    ///     .config("/etc/gateway/webhooks.toml")
    ///     .http_listener(false)   // the engine alone; `router()` gives the API to mount
    ///     .queue(20_000)          // events that `emit` queues ahead of the store
    ///     .history(500)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Queues an event to be stored and delivered, without waiting: it is validated, put into a queue in memory, and stored
    /// some milliseconds later, in the order of emitting. A crash before that loses it;
    /// [`emit_durable`](Tenterhook::emit_durable) does not.
    ///
    /// # Errors
    /// The event is not valid; the queue is full, because events come faster than they can be stored or the store takes
    /// none (a full disk); Tenterhook has ended.
    ///
    /// ```no_run
    /// # fn example(tenterhook: &tenterhook::Tenterhook) {
    /// use tenterhook::{EmitError, NewEvent};
    ///
    /// let event = NewEvent::new("proxy.request_completed").data(&serde_json::json!({"status": 200}));
    /// match tenterhook.emit(event) {
    ///     Ok(_) => {}
    ///     Err(EmitError::Full { .. }) => { /* drop it, count it: the request goes on */ }
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn emit(&self, event: impl Into<NewEvent>) -> Result<EventId, EmitError> {
        self.inner.queue.emit(self.draft(event.into()).map_err(EmitError::Invalid)?)
    }

    /// Waits until an event is on disk with its deliveries, behind what was emitted before. If the future is dropped before
    /// that, the event may be stored or not.
    ///
    /// # Errors
    /// The event is not valid; its id was published before with other content; the store takes nothing; Tenterhook has ended.
    pub async fn emit_durable(&self, event: impl Into<NewEvent>) -> Result<Emitted, DurableError> {
        let draft = self.draft(event.into()).map_err(DurableError::Invalid)?;
        match self.inner.queue.emit_durable(draft).await? {
            Outcome::New { id, deliveries } => {
                let deliveries = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
                Ok(Emitted { id, deliveries, is_duplicate: false })
            }
            Outcome::Duplicate { id, deliveries } => Ok(Emitted { id, deliveries, is_duplicate: true }),
            Outcome::Conflict { id } | Outcome::Withheld { id } => Err(DurableError::Conflict(id)),
            Outcome::Refused(refusal) => Err(DurableError::Invalid(refusal)),
            Outcome::Failed(error) => Err(DurableError::Store(error)),
        }
    }

    fn draft(&self, event: NewEvent) -> Result<Draft, Refusal> {
        let snapshot = self.inner.live.snapshot();
        let draft = event.draft(Clock::System.now(), snapshot.settings.server.max_event_size);
        self.inner.publisher.judge(&snapshot, draft)
    }

    /// Receives events from now on, by a pattern as webhooks have it: `order.created`, `order.*` (one segment), `order.**`
    /// (any number), `*` (all but events about Tenterhook itself, which are matched by patterns that begin with
    /// `webhook.` or `tenterhook.`).
    ///
    /// It receives stored events, emitted or published over HTTP, in the order of the store. Events that were stored earlier
    /// in the same millisecond may be among them. Of the events about Tenterhook itself only those are stored that some
    /// webhook subscribes to.
    ///
    /// ```no_run
    /// # async fn example(tenterhook: tenterhook::Tenterhook) -> Result<(), tenterhook::InvalidPattern> {
    /// use tenterhook::Received;
    ///
    /// let mut limits = tenterhook.subscribe("rate_limit.*")?;
    /// while let Some(received) = limits.next().await {
    ///     match received {
    ///         Received::Event(event) => println!("{} {}", event.kind, event.id),
    ///         Received::Lagged(count) => println!("too slow: {count} events were skipped"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It is no pattern; the error says how to write one.
    pub fn subscribe(&self, pattern: &str) -> Result<Subscription, InvalidPattern> {
        Ok(self.inner.bus.subscribe(Pattern::parse(pattern)?, Clock::System.now()))
    }

    /// Ends a subscription by its [`id`](Subscription::id), as dropping it does; returns whether there was one.
    pub fn unsubscribe(&self, id: u64) -> bool {
        self.inner.bus.unsubscribe(id)
    }

    /// The last events, newest first, also from before a restart, as long as `[retention]` keeps them: at most `count`, and
    /// at most as many as [`Builder::history`] allows.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn history(&self, count: usize) -> Result<Vec<Event>, StoreError> {
        let count = count.min(self.inner.history);
        let (mut events, mut after) = (Vec::new(), None);
        while events.len() < count {
            let limit = PAGE.min(count - events.len());
            let page = self.inner.store.events(EventFilter::default(), after, limit).await?;
            events.extend(page.rows.into_iter().map(|record| record.event));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(events)
    }

    /// How many events of each type the store has ever stored, sorted by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn counts(&self) -> Result<Vec<SeenType>, StoreError> {
        self.inner.store.seen_types().await
    }

    /// Counts of what this program emitted since the start.
    pub fn stats(&self) -> EmitStats {
        self.inner.queue.stats()
    }

    /// Where the API and the web UI are served; `None` without a listener.
    pub fn address(&self) -> Option<SocketAddr> {
        self.inner.listening
    }

    /// The token that was generated because the configuration has no `[tokens]`; its scope is `manage`.
    pub fn admin_token(&self) -> Option<Secret> {
        self.inner.admin.clone()
    }

    /// The API and the web UI, to be mounted at the root of a server of your own (axum 0.8, or any that takes a tower
    /// service); `None` when there is a listener. Requests need a token, those for `/metrics` too.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tenterhook = tenterhook::Tenterhook::builder().http_listener(false).start().await?;
    /// let admin = tenterhook.router().unwrap_or_default();
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:9090").await?;
    /// axum::serve(listener, admin).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Option<axum::Router> {
        self.inner.routes.clone()
    }

    /// Shuts down: no event is accepted any more, what was emitted is stored, attempts in flight finish (both within
    /// `[server] shutdown_grace`), subscriptions end. Undelivered events go on at the next start. All clones end with it.
    ///
    /// # Errors
    /// It had ended by itself, or what was emitted could not be stored.
    pub async fn shutdown(&self) -> Result<(), EndError> {
        self.inner.closing.cancel();
        self.ended().await
    }

    /// Resolves when it has ended, by [`shutdown`](Tenterhook::shutdown) or by itself; from then on no event is delivered.
    ///
    /// # Errors
    /// It ended by itself, or what was emitted could not be stored.
    pub async fn ended(&self) -> Result<(), EndError> {
        let mut end = self.inner.end.clone();
        // Cloned at once: the guard must not be held across anything else.
        let end = end.wait_for(Option::is_some).await.map(|end| end.clone());
        end.ok().flatten().unwrap_or(Err(EndError::Aborted))
    }
}

impl std::fmt::Debug for Tenterhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenterhook").field("address", &self.inner.listening).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
