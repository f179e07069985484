//! The HTTP API: `middleware/` around every request, `routes/` whose paths are the URL's, `shapes/` of answers, `openapi/`.
//! It hands events to the store and shows what the store has. Refuses to know of dispatch, reload and the command line.

mod assets;
mod effective_config;
mod fields;
mod middleware;
mod openapi;
mod problem;
mod query;
mod routes;
mod scrape;
mod serve;
mod shapes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::control::Control;
use crate::publish::Publisher;
use crate::signing::Secret;
use crate::snapshot::Live;
use crate::store::Store;
use crate::telemetry::Metrics;
pub use effective_config::{Change, Diff, EffectiveConfig, needs_restart, shown as shown_webhook};
use middleware::auth::TokenTable;
use middleware::{access, audit, body, framing, idempotency, limits, request_id};
pub use openapi::document;
use problem::{Kind, Problem};
use routes::health;
use routes::v1::stream;
use serve::Closing;
pub use serve::{CurrentTls, Peer, finish, listen, serve};

/// What the API needs of the rest.
#[derive(Clone)]
pub struct Api {
    pub store: Store,
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// The owner of the configuration.
    pub control: Control,
    /// Notified when there is a job to run.
    pub jobs: Arc<Notify>,
    /// Where the listener is bound, which the file may no longer say: `/metrics` is open on loopback only.
    pub listen: SocketAddr,
    /// The token made at first start, for a configuration without tokens.
    pub admin: Option<Secret>,
    /// Requests that go on after their clients disconnected; wait for them with [`finish`].
    pub work: TaskTracker,
}

/// [`Api`], and what the routes share among themselves.
struct Context {
    api: Api,
    tokens: TokenTable,
    publisher: Publisher,
    bodies: Arc<Semaphore>,
    readiness: health::Readiness,
    limits: limits::Limits,
    streams: Arc<stream::StreamSlots>,
    work: TaskTracker,
}

type Shared = Arc<Context>;

/// All routes of the API; serve them with [`serve`].
pub fn router(api: Api) -> Router {
    let context = Arc::new(Context {
        tokens: TokenTable::new(api.admin.clone()),
        publisher: Publisher::new(api.store.clone(), api.metrics.clone()),
        bodies: Arc::new(Semaphore::new(body::BUDGET_KIB)),
        readiness: health::Readiness::default(),
        limits: limits::Limits::new(),
        streams: Arc::default(),
        work: api.work.clone(),
        api,
    });
    // The last one added is the first to see a request.
    routes::all()
        .layer(axum::middleware::from_fn_with_state(context.clone(), idempotency::idempotent))
        .layer(axum::middleware::from_fn_with_state(context.clone(), access::check))
        .layer(axum::middleware::from_fn(framing::check))
        .layer(axum::middleware::from_fn_with_state(context.clone(), request_id::observe))
        .layer(axum::middleware::from_fn_with_state(context.clone(), audit::record))
        .with_state(context)
}

/// These routes for another server than [`serve`]: what has no end by itself (streams) ends with `shutdown`. That server
/// may name its clients by an extension of requests, [`Peer`].
pub fn mountable(router: Router, shutdown: CancellationToken) -> Router {
    router.layer(axum::Extension(Closing(shutdown)))
}

/// The `{id}` of a path.
struct PathId(String);

impl FromRequestParts<Shared> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, shared).await;
        path.map(|axum::extract::Path(id)| Self(id))
            .map_err(|error| Problem::new(Kind::BadRequest, format!("the path cannot be read: {error}")))
    }
}
