//! Every route, in the order of the documentation. The functions only carry their descriptions: those that answer are
//! found by the router, and a test holds both against each other.
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use utoipa::OpenApi;

use super::config_schemas::Configuration;
use super::params::{DeliveriesWanted, EventsWanted, Span, StreamWanted, Window};
use super::schemas::{
    AcceptedAll, DeliveryList, DeliveryState, EventList, Health, Publication, Secret, Stats, Transformer, TransformerList,
    Webhook, WebhookList,
};
use crate::http::shapes::{DeliveryShape, EventShape, FeedAttemptShape};

#[derive(OpenApi)]
#[openapi(
    paths(
        publish,
        list_events,
        show_event,
        stream,
        list_deliveries,
        show_delivery,
        retry_delivery,
        cancel_delivery,
        list_webhooks,
        show_webhook,
        show_secret,
        webhook_stats,
        all_stats,
        list_transformers,
        show_config,
        index,
        alive,
        ready,
        metrics,
        openapi,
        docs
    ),
    components(schemas(FeedAttemptShape, Transformer))
)]
struct Paths;

pub(super) fn all() -> utoipa::openapi::OpenApi {
    Paths::openapi()
}

/// Publish events
///
/// `202` means: on disk, with its deliveries. An array is all or nothing.
///
/// Besides `application/json` the body may be `application/x-ndjson` (an event a line, answered line by line),
/// `application/cloudevents+json` and `application/cloudevents-batch+json` (CloudEvents 1.0), or, with `ce-` headers, a
/// CloudEvent in binary mode. These are described here in words: generators of clients take the first of several media types, or
/// break on them.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    request_body(content = Publication, content_type = "application/json",
        example = json!({"type": "order.created", "data": {"n": 1}})),
    responses(
        (status = 202, description = "Stored, with its deliveries.", body = AcceptedAll,
            example = json!({"id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "deliveries": 2})),
        (status = 200, description = "Published before: the first answer. Or the answers to lines.", content(
            (AcceptedAll = "application/json", example = json!({"id": "o-1", "deliveries": 2})),
            (String = "application/x-ndjson", example = "{\"id\":\"o-1\",\"deliveries\":2,\"status\":202}\n")
        )),
    ))]
fn publish() {}

/// List events
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsWanted, Span, Window),
    responses((status = 200, description = "Newest first.", body = EventList)))]
fn list_events() {}

/// An event, with what became of it
///
/// Its deliveries, and why the other webhooks did not get it, down to the clause of a filter.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events",
    params(("id" = String, Path, description = "The event's id", example = "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f")),
    responses((status = 200, description = "The event.", body = EventShape)))]
fn show_event() {}

/// Follow events and attempts
///
/// Server-sent events: `event: event` with an event, `event: attempt` with an attempt and its delivery, `event: end` with the
/// reason for which the server ends it. `Last-Event-ID` goes on after that id.
#[utoipa::path(get, path = "/v1/stream", tag = "events",
    params(StreamWanted, ("Last-Event-ID" = Option<String>, Header, description = "Go on after this id.", example = "1042-2210")),
    responses((status = 200, description = "A stream without an end.", body = String, content_type = "text/event-stream",
        example = "id: 1042-2210\nevent: event\ndata: {\"id\":\"o-1\",\"type\":\"order.created\"}\n\n")))]
fn stream() {}

/// List deliveries
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", params(DeliveriesWanted, Span, Window),
    responses((status = 200, description = "Newest first, without attempts.", body = DeliveryList)))]
fn list_deliveries() {}

/// A delivery with every attempt
///
/// Requests as they were sent (credentials masked), responses with their first 16 KiB, phases, logs of transformers.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id", example = "dlv_0197f1c2a3b47c5d8000000000000001")),
    responses((status = 200, description = "The delivery.", body = DeliveryShape)))]
fn show_delivery() {}

/// Deliver again, now
///
/// Whatever its state; the automatic budget is not touched. With `retransform` its bytes are made again. `409` while its webhook
/// is disabled.
#[utoipa::path(post, path = "/v1/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id", example = "dlv_0197f1c2a3b47c5d8000000000000001")),
    request_body(content = Option<super::schemas::Retry>, content_type = "application/json"),
    responses((status = 202, description = "It is due now.", body = DeliveryState)))]
fn retry_delivery() {}

/// Cancel an open delivery
///
/// If an attempt in flight arrives all the same, the delivery is `succeeded`.
#[utoipa::path(post, path = "/v1/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id", example = "dlv_0197f1c2a3b47c5d8000000000000001")),
    responses((status = 200, description = "It is cancelled.", body = DeliveryState,
        example = json!({"id": "dlv_0197f1c2a3b47c5d8000000000000001", "state": "cancelled"}))))]
fn cancel_delivery() {}

/// List webhooks
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(Window),
    responses((status = 200, description = "In the order of their ids.", body = WebhookList)))]
fn list_webhooks() {}

/// A webhook
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    responses((status = 200, description = "The webhook.", body = Webhook)))]
fn show_webhook() {}

/// Reveal a webhook's secret
///
/// Scope `manage`; it leaves a trace in the audit log.
#[utoipa::path(get, path = "/v1/webhooks/{id}/secret", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    responses((status = 200, description = "The secret.", body = Secret)))]
fn show_secret() {}

/// Statistics of a webhook
#[utoipa::path(get, path = "/v1/webhooks/{id}/stats", tag = "statistics",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    responses((status = 200, description = "Its counts.", body = Stats)))]
fn webhook_stats() {}

/// Statistics of all webhooks
///
/// With a tenant's token: of the tenant's.
#[utoipa::path(get, path = "/v1/stats", tag = "statistics",
    responses((status = 200, description = "The counts.", body = Stats)))]
fn all_stats() {}

/// Loaded transformers
#[utoipa::path(get, path = "/v1/transformers", tag = "transformers",
    responses((status = 200, description = "In the order of their names.", body = TransformerList)))]
fn list_transformers() {}

/// The live configuration
#[utoipa::path(get, path = "/v1/config", tag = "operation",
    responses((status = 200, description = "Which one, and what was wrong with the last that was not taken.", body = Configuration)))]
fn show_config() {}

/// What this is
#[utoipa::path(get, path = "/", tag = "operation",
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/plain",
        example = "Tenterhook, a webhook delivery engine.\n")))]
fn index() {}

/// The process lives
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It does.", body = Health, example = json!({"status": "ok"}))))]
fn alive() {}

/// The store takes commits and a configuration is live
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "Ready.", body = Health)))]
fn ready() {}

/// Prometheus metrics
///
/// Without a token when the listener is on a loopback address.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text",
        example = "tenterhook_backlog 0\n# EOF\n")))]
fn metrics() {}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1.", body = Value, example = json!({"openapi": "3.1.0"}))))]
fn openapi() {}

/// This document, to read
#[utoipa::path(get, path = "/docs", tag = "operation",
    responses((status = 200, description = "A page without scripts.", body = String, content_type = "text/html",
        example = "<!doctype html>")))]
fn docs() {}
