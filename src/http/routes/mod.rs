//! The table of routes. A handler's module has the path of its URL: `POST /v1/webhooks/{id}/test` is
//! `routes/v1/webhooks/test.rs`.

mod fallback;
pub(crate) mod health;
pub(crate) mod v1;

use axum::Router;
use axum::routing::get;

use crate::http::{Shared, assets, openapi};

pub(crate) fn all() -> Router<Shared> {
    assets::add_to(Router::new())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::docs))
        .merge(v1::routes())
        .fallback(fallback::no_route)
        .method_not_allowed_fallback(fallback::no_method)
}
