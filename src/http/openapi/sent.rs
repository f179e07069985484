//! What receivers get: the `webhooks` part of the document.

use serde_json::{Value, json};

pub(super) fn webhooks() -> Value {
    let envelope = json!({
        "type": "object",
        "required": ["id", "type", "timestamp", "data"],
        "properties": {
            "id": {"type": "string", "description": "The event's. Also in `webhook-id`: the same with every attempt."},
            "type": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"description": "Byte for byte as it was published."},
            "metadata": {"type": "object", "description": "When the event has any."},
        },
    });
    let example = json!({
        "id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "type": "circuit_breaker.opened",
        "timestamp": "2026-01-28T10:30:45.000Z", "data": {"route": "/users", "errorRate": 0.62},
    });
    json!({"delivery": {"post": {
        "summary": "One event for one webhook",
        "description": "What a webhook's URL gets without a transformer; with one, method, headers and body are what it makes. \
                        At least once: de-duplicate by `webhook-id`. Signed by Standard Webhooks unless `signature` says otherwise \
                        (docs/verifying.md). Redirects are not followed.",
        "security": [],
        "parameters": [
            header("webhook-id", "The event's id: the same with every attempt.", "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f"),
            header("webhook-timestamp", "Seconds since 1970 of this attempt.", "1769596245"),
            header("webhook-signature", "`v1,` and Base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several with spaces \
                    between while a secret is rotated.", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": envelope, "example": example}}},
        "responses": {
            "2XX": {"description": "Received. `success` of the webhook may say otherwise."},
            "410": {"description": "Gone: the webhook is disabled."},
            "429": {"description": "Later: `Retry-After` extends the wait."},
            "default": {"description": "Tried again if `retry_on` of the webhook says so (network, timeouts, 408, 425, 429, 5xx), \
                                        otherwise failed."},
        },
    }}})
}

fn header(name: &str, description: &str, example: &str) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": description, "schema": {"type": "string"}, "example": example})
}
