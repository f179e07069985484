//! The HTTP API: routes, tokens, problem details, bodies and shapes. It hands events to the store and shows what the
//! store has; what happens in between is not its business: refuses to know of dispatch, reload and the command line.

mod assets;
mod audit;
mod auth;
mod body;
mod configuration;
mod deliveries;
mod diff;
mod dry_run;
mod erase;
mod event_types;
mod events;
mod fields;
mod guard;
mod health;
mod jobs;
mod limits;
mod observe;
mod once;
mod openapi;
mod picture;
mod problem;
mod publish;
mod query;
mod replay;
mod rotate;
mod serve;
mod settings_shape;
mod shape;
mod stats;
mod status;
mod stream;
mod switch;
#[cfg(test)]
mod tests;
mod transformers;
mod trial;
mod webhook_edit;
mod webhook_shape;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::{get, post};
use http::request::Parts;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::control::Control;
use crate::signing::Secret;
use crate::snapshot::Live;
use crate::store::Store;
use crate::telemetry::Metrics;
use auth::TokenTable;
pub use diff::{Change, Diff, needs_restart};
pub use openapi::document;
pub use picture::Picture;
use problem::{Kind, Problem};
use serve::Closing;
pub use serve::{Peer, TlsOfTheMoment, finish, serve};
pub use settings_shape::settings_shape;
pub use webhook_shape::declared as webhook_shape;

/// What the API needs of the rest.
#[derive(Clone)]
pub struct Api {
    pub store: Store,
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// The owner of the configuration.
    pub control: Control,
    /// Rung when there is a job to do.
    pub jobs: Arc<Notify>,
    /// Where the listener is bound, not what the file says by now: `/metrics` is open on loopback only.
    pub listen: SocketAddr,
    /// The one made at first start, when the configuration declares no tokens.
    pub admin: Option<Secret>,
    /// What goes on although whoever asked has gone; to be waited for with [`finish`].
    pub work: TaskTracker,
}

/// [`Api`], and what the routes share among themselves.
struct Context {
    api: Api,
    tokens: TokenTable,
    bodies: Arc<Semaphore>,
    readiness: health::Readiness,
    limits: limits::Limits,
    streams: Arc<stream::Places>,
    work: TaskTracker,
}

type Shared = Arc<Context>;

/// All routes of the API; serve them with [`serve`].
pub fn router(api: Api) -> Router {
    let context = Arc::new(Context {
        tokens: TokenTable::new(api.admin.clone()),
        bodies: Arc::new(Semaphore::new(body::BUDGET_KIB)),
        readiness: health::Readiness::default(),
        limits: limits::Limits::new(),
        streams: Arc::default(),
        work: api.work.clone(),
        api,
    });
    let pages = assets::PAGES.iter().fold(Router::new(), |router, path| router.route(path, get(assets::page)));
    pages
        .route("/", get(assets::index))
        .route("/ui/{fingerprint}/{*path}", get(assets::file))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::docs))
        .route("/v1/events", post(publish::publish).get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/v1/webhooks", get(webhooks::list).post(webhook_edit::create))
        .route("/v1/webhooks/status", get(status::all))
        .route(
            "/v1/webhooks/{id}",
            get(webhooks::show).put(webhook_edit::replace).patch(webhook_edit::patch).delete(webhook_edit::delete),
        )
        .route("/v1/webhooks/{id}/test", post(trial::test))
        .route("/v1/webhooks/{id}/replay", post(replay::replay))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/erase", post(erase::erase))
        .route("/v1/event-types", get(event_types::list))
        .route("/v1/audit", get(audit::list))
        .route("/v1/webhooks/{id}/secret", get(webhooks::secret))
        .route("/v1/webhooks/{id}/rotate-secret", post(rotate::rotate))
        .route("/v1/webhooks/{id}/enable", post(switch::enable))
        .route("/v1/webhooks/{id}/disable", post(switch::disable))
        .route("/v1/webhooks/{id}/stats", get(stats::webhook))
        .route("/v1/stats", get(stats::all))
        .route("/v1/transformers", get(transformers::list))
        .route("/v1/transformers/{name}", get(transformers::show))
        .route("/v1/transformers/{name}/run", post(dry_run::run))
        .route("/v1/stream", get(stream::follow))
        .route("/v1/config", get(configuration::show))
        .route("/v1/config/changes", get(configuration::changes))
        .route("/v1/config/reload", post(configuration::reload))
        .fallback(observe::no_route)
        .method_not_allowed_fallback(observe::no_method)
        .layer(axum::middleware::from_fn_with_state(context.clone(), once::once))
        .layer(axum::middleware::from_fn_with_state(context.clone(), guard::guard))
        .layer(axum::middleware::from_fn_with_state(context.clone(), observe::observe))
        .layer(axum::middleware::from_fn_with_state(context.clone(), audit::record))
        .with_state(context)
}

/// These routes for another server than [`serve`]: what has no end by itself (streams) ends with `shutdown`. That server
/// may tell of its clients by an extension of requests, [`Peer`].
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
