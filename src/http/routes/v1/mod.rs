//! `/v1`.

pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod deliveries;
pub(crate) mod erase;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod transformers;
pub(crate) mod webhooks;

use axum::Router;
use axum::routing::{get, post};

use crate::http::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/events", post(events::publish::publish).get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .merge(webhooks::routes())
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/erase", post(erase::erase))
        .route("/v1/event-types", get(event_types::list))
        .route("/v1/audit", get(audit::list))
        .route("/v1/stats", get(stats::all))
        .route("/v1/transformers", get(transformers::list))
        .route("/v1/transformers/{name}", get(transformers::show))
        .route("/v1/transformers/{name}/run", post(transformers::run::run))
        .route("/v1/stream", get(stream::follow))
        .route("/v1/config", get(config::show))
        .route("/v1/config/changes", get(config::changes))
        .route("/v1/config/reload", post(config::reload))
}
