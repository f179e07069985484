//! `GET /v1/stream`: events and attempts as they happen, as server-sent events. A stream reads what the store has committed
//! and sleeps while there is nothing new: it costs nothing without readers, `Last-Event-ID` resumes where the last stream
//! broke off, and a slow reader holds up no other.

mod frame;
mod slots;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::slots::Holder;
pub(crate) use self::slots::StreamSlots;
use crate::config::Scope;
use crate::http::middleware::auth::{Caller, MayReadOwn, Reach, RequestAuth};
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::{Closing, Shared};
use crate::model::{DeliveryState, WebhookId};
use crate::routing::Pattern;
use crate::store::{FeedItem, Position};

const PARAMETERS: [&str; 4] = ["webhook", "event_type", "state", "tenant"];

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Rows of one read.
const ROWS_MAX: usize = 100;

/// Chunks that wait to be written: with the one being made, some 8 MiB for a slow reader.
const CHUNKS_MAX: usize = 2;

/// What happens within this goes into one read: a reader sees no difference, and the store is read less often.
const GATHER: Duration = Duration::from_millis(50);

/// Proxies cut connections that are silent for 30 or 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A reader that takes nothing for this long is disconnected; it may resume where it was.
const SLOW_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn follow(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&caller, &uri)?;
    let resume = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()).map(|id| id.to_str().ok().and_then(Position::parse));
    let position = match resume {
        Some(Some(position)) => position,
        Some(None) => {
            let detail = "Last-Event-ID is none of ours: take it from the `id` of an event of this stream, or leave it out";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        None => shared.api.store.tail_position().await?,
    };
    let holder = caller.tenant.clone().map_or_else(|| Holder::Token(caller.token.clone()), Holder::Tenant);
    let slot = shared.streams.take(holder).map_err(|full| {
        Problem::new(Kind::Unavailable, full.to_string()).with_header(RETRY_AFTER, HeaderValue::from_static("5"))
    })?;
    let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
    let farewell = Arc::new(OnceLock::new());
    let follower = Follower {
        closing: closing.map_or_else(CancellationToken::new, |Extension(Closing(token))| token),
        shared: shared.clone(),
        caller,
        headers,
        wanted,
        position,
        chunks,
        _slot: slot,
    };
    let last_word = Arc::clone(&farewell);
    let run = async move {
        if let Some(reason) = follower.run().await {
            tracing::info!(reason, "stream ended");
            let _ = last_word.set(reason);
        }
    };
    shared.work.spawn(run.in_current_span());
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx would wait for its buffer to fill.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Chunks { queue, farewell: Some(farewell) })).into_response())
}

/// What a reader asked for.
struct Wanted {
    webhook: Option<WebhookId>,
    event_type: Option<Pattern>,
    state: Option<DeliveryState>,
    tenant: Option<String>,
}

impl Wanted {
    fn read(caller: &Caller, uri: &Uri) -> Result<Self, Problem> {
        let mut query = Query::read(uri, &PARAMETERS);
        let wanted = Self {
            webhook: query.take("webhook", WebhookId::parse),
            event_type: query.take("event_type", Pattern::parse),
            state: query.take("state", crate::http::routes::v1::deliveries::state),
            tenant: query.take("tenant", |text| Ok::<_, String>(text.to_owned())),
        };
        query.finish()?;
        Ok(Self { tenant: caller.narrowed(wanted.tenant)?, ..wanted })
    }

    fn takes(&self, item: &FeedItem) -> bool {
        let (kind, tenant) = match item {
            FeedItem::Event(record) => (&record.event.kind, record.event.tenant.as_deref()),
            FeedItem::Attempt(attempt) => (&attempt.delivery.event_type, attempt.delivery.tenant.as_deref()),
        };
        let webhook = |wanted: &WebhookId| match item {
            FeedItem::Event(record) => record.deliveries.iter().any(|(_, webhook, _)| webhook == wanted),
            FeedItem::Attempt(attempt) => attempt.delivery.webhook == *wanted,
        };
        // Events have no state of their own: a wanted state is that of deliveries.
        let state = |wanted: DeliveryState| matches!(item, FeedItem::Attempt(attempt) if attempt.delivery.state == wanted);
        self.tenant.as_deref().is_none_or(|wanted| tenant == Some(wanted))
            && self.event_type.as_ref().is_none_or(|wanted| wanted.matches(kind))
            && self.webhook.as_ref().is_none_or(webhook)
            && self.state.is_none_or(state)
    }
}

struct Follower {
    shared: Shared,
    caller: Caller,
    /// For judging the token again when the configuration has changed.
    headers: HeaderMap,
    wanted: Wanted,
    position: Position,
    chunks: mpsc::Sender<Bytes>,
    closing: CancellationToken,
    _slot: slots::StreamSlot,
}

impl Follower {
    /// Until the reader goes (`None`), or is disconnected (the reason).
    async fn run(mut self) -> Option<String> {
        // Subscribed before the first read: no commit falls in between.
        let mut commits = self.shared.api.store.commits();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.send(frame::hello(self.position)).await.is_err() {
            return None;
        }
        loop {
            commits.mark_unchanged();
            if !self.may_read() {
                return Some("the token is not valid for this any more".to_owned());
            }
            match self.write_new().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(End::Gone) => return None,
                Err(End::Because(reason)) => return Some(reason),
            }
            tokio::select! {
                () = self.closing.cancelled() => return Some("the server is stopping".to_owned()),
                () = self.chunks.closed() => return None,
                _ = heartbeat.tick() => match self.send(frame::heartbeat(self.position)).await {
                    Ok(()) => {}
                    Err(End::Gone) => return None,
                    Err(End::Because(reason)) => return Some(reason),
                },
                changed = commits.changed() => {
                    if changed.is_err() {
                        return Some("the store is closed".to_owned());
                    }
                    tokio::time::sleep(GATHER).await;
                }
            }
        }
    }

    /// Writes what is new; says whether there is more.
    async fn write_new(&mut self) -> Result<bool, End> {
        let tail = self.shared.api.store.tail(self.position, ROWS_MAX).await;
        let tail = tail.map_err(|error| {
            tracing::warn!(%error, "stream could not read the store");
            End::Because("the store is not available".to_owned())
        })?;
        self.position = tail.position;
        let mut chunk = Vec::new();
        for (position, item) in tail.rows.into_iter().filter(|(_, item)| self.wanted.takes(item)) {
            frame::write(&mut chunk, position, item, &self.caller);
        }
        if !chunk.is_empty() {
            self.send(chunk.into()).await?;
        }
        Ok(tail.more)
    }

    async fn send(&self, chunk: Bytes) -> Result<(), End> {
        match tokio::time::timeout(SLOW_MAX, self.chunks.send(chunk)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Because(format!(
                "nothing was read for {} s: go on from the last id with Last-Event-ID",
                SLOW_MAX.as_secs()
            ))),
        }
    }

    /// A token that a reload removed does not read on.
    fn may_read(&mut self) -> bool {
        let generation = self.shared.api.live.snapshot().generation;
        if generation == self.caller.snapshot.generation {
            return true;
        }
        let RequestAuth { snapshot, identity } = RequestAuth::of(&self.shared, &self.headers);
        let still = identity.admit(Scope::Read, Reach::Tenant).is_ok_and(|known| known.tenant == self.caller.tenant);
        self.caller.snapshot = snapshot;
        still
    }
}

/// Why nothing more is written.
enum End {
    /// The reader closed the connection.
    Gone,
    Because(String),
}

/// The body: what the follower wrote, and at the end why it ended.
struct Chunks {
    queue: mpsc::Receiver<Bytes>,
    farewell: Option<Arc<OnceLock<String>>>,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let chunk = std::task::ready!(self.queue.poll_recv(context));
        let chunk = chunk.or_else(|| self.farewell.take()?.get().map(|reason| frame::goodbye(reason)));
        Poll::Ready(chunk.map(|chunk| Ok(http_body::Frame::data(chunk))))
    }
}
