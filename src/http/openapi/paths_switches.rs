//! What an operator does with one webhook, described: see [`super::paths`].
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use utoipa::OpenApi;

use super::schemas::{Disabling, Rotated, Rotation, Webhook};

#[derive(OpenApi)]
#[openapi(paths(rotate_secret, enable, disable))]
struct Paths;

pub(super) fn all() -> utoipa::openapi::OpenApi {
    Paths::openapi()
}

/// Rotate a webhook's secret
///
/// A new one of the same kind is made unless the body gives one; the old one signs too for `overlap`.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    request_body(content = Option<Rotation>, content_type = "application/json"),
    responses((status = 200, description = "The new secret.", body = Rotated)))]
fn rotate_secret() {}

/// Enable a webhook
///
/// What was held goes on, and an open breaker closes. `409` when config.toml says `enabled = false`.
#[utoipa::path(post, path = "/v1/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    responses((status = 200, description = "The webhook.", body = Webhook)))]
fn enable() {}

/// Disable a webhook
///
/// An operator's switch beside what config.toml says; it outlives restarts. What waits is held.
#[utoipa::path(post, path = "/v1/webhooks/{id}/disable", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    request_body(content = Option<Disabling>, content_type = "application/json"),
    responses((status = 200, description = "The webhook.", body = Webhook)))]
fn disable() {}
