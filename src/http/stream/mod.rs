//! `GET /v1/stream`: events and attempts as they happen, as server-sent events. A stream reads what the store has
//! committed and sleeps while there is nothing new: it costs nothing when nobody listens, `Last-Event-ID` goes on where
//! the last one broke off, and a slow reader holds up nobody.

mod frame;
mod places;
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

use self::places::Holder;
pub(super) use self::places::Places;
use super::auth::{Asking, Caller, Reach, TenantReader};
use super::problem::{Kind, Problem};
use super::query::Query;
use super::{Closing, Shared};
use crate::config::Scope;
use crate::model::{DeliveryState, WebhookId};
use crate::routing::Pattern;
use crate::store::{Place, Told};

const PARAMETERS: [&str; 4] = ["webhook", "event_type", "state", "tenant"];

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Rows of one look.
const ROWS_MAX: usize = 100;

/// Looks that wait to be written: with the one being made, some 8 MiB for a reader that is slow.
const CHUNKS_MAX: usize = 2;

/// What happens within this goes into one look: nobody sees the difference, and the store is asked less.
const GATHER: Duration = Duration::from_millis(50);

/// Proxies cut connections that are silent for 30 or 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Who takes nothing for so long is cut off, and may go on from where it was.
const SLOW_MAX: Duration = Duration::from_secs(30);

pub(super) async fn follow(
    TenantReader(caller): TenantReader,
    State(shared): State<Shared>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&caller, &uri)?;
    let resume = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()).map(|id| id.to_str().ok().and_then(Place::parse));
    let place = match resume {
        Some(Some(place)) => place,
        Some(None) => {
            let detail = "Last-Event-ID is none of ours: take it from the `id` of an event of this stream, or leave it away";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        None => shared.api.store.here().await?,
    };
    let holder = caller.tenant.clone().map_or_else(|| Holder::Token(caller.token.clone()), Holder::Tenant);
    let held = shared.streams.take(holder).map_err(|full| {
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
        place,
        chunks,
        _held: held,
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
            state: query.take("state", super::deliveries::state),
            tenant: query.take("tenant", |text| Ok::<_, String>(text.to_owned())),
        };
        query.finish()?;
        Ok(Self { tenant: caller.narrowed(wanted.tenant)?, ..wanted })
    }

    fn takes(&self, told: &Told) -> bool {
        let (kind, tenant) = match told {
            Told::Event(record) => (&record.event.kind, record.event.tenant.as_deref()),
            Told::Attempt(attempt) => (&attempt.delivery.event_type, attempt.delivery.tenant.as_deref()),
        };
        let webhook = |wanted: &WebhookId| match told {
            Told::Event(record) => record.deliveries.iter().any(|(_, webhook, _)| webhook == wanted),
            Told::Attempt(attempt) => attempt.delivery.webhook == *wanted,
        };
        // Events have no state of their own: who asks for one asks for deliveries.
        let state = |wanted: DeliveryState| matches!(told, Told::Attempt(attempt) if attempt.delivery.state == wanted);
        self.tenant.as_deref().is_none_or(|wanted| tenant == Some(wanted))
            && self.event_type.as_ref().is_none_or(|wanted| wanted.matches(kind))
            && self.webhook.as_ref().is_none_or(webhook)
            && self.state.is_none_or(state)
    }
}

struct Follower {
    shared: Shared,
    caller: Caller,
    /// For another look at the token when the configuration has changed.
    headers: HeaderMap,
    wanted: Wanted,
    place: Place,
    chunks: mpsc::Sender<Bytes>,
    closing: CancellationToken,
    _held: places::Place,
}

impl Follower {
    /// Until the reader goes (`None`), or has to be sent away (the reason).
    async fn run(mut self) -> Option<String> {
        // Subscribed before the first look: no commit falls in between.
        let mut commits = self.shared.api.store.commits();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.send(frame::hello(self.place)).await.is_err() {
            return None;
        }
        loop {
            commits.mark_unchanged();
            if !self.may_read() {
                return Some("the token is not valid for this any more".to_owned());
            }
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(End::Gone) => return None,
                Err(End::Because(reason)) => return Some(reason),
            }
            tokio::select! {
                () = self.closing.cancelled() => return Some("the server is stopping".to_owned()),
                () = self.chunks.closed() => return None,
                _ = heartbeat.tick() => match self.send(frame::heartbeat(self.place)).await {
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

    /// Writes what is new; whether there is more.
    async fn look(&mut self) -> Result<bool, End> {
        let tail = self.shared.api.store.tail(self.place, ROWS_MAX).await;
        let tail = tail.map_err(|error| {
            tracing::warn!(%error, "a stream could not look into the store");
            End::Because("the store is not available".to_owned())
        })?;
        self.place = tail.place;
        let mut chunk = Vec::new();
        for (place, told) in tail.rows.into_iter().filter(|(_, told)| self.wanted.takes(told)) {
            frame::write(&mut chunk, place, told, &self.caller);
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

    /// A token that a reload took away does not read on.
    fn may_read(&mut self) -> bool {
        let generation = self.shared.api.live.snapshot().generation;
        if generation == self.caller.snapshot.generation {
            return true;
        }
        let Asking { snapshot, identity } = Asking::of(&self.shared, &self.headers);
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
