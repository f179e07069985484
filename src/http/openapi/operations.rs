//! What holds for every operation, said once: the token it wants, the ways it is refused, the headers that all take.

use serde_json::{Map, Value, json};

/// Open to everybody.
const OPEN: [&str; 5] = ["/healthz", "/readyz", "/openapi.json", "/docs", "/"];

pub(super) fn complete(document: &mut Value) {
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return };
    for (path, item) in paths.iter_mut() {
        let Value::Object(item) = item else { continue };
        for (method, operation) in item.iter_mut() {
            let Value::Object(operation) = operation else { continue };
            let is_open = OPEN.contains(&path.as_str());
            let security = match path.as_str() {
                _ if is_open => json!([]),
                // Without one on a loopback address.
                "/metrics" => json!([{}, {"token": []}]),
                _ => json!([{"token": []}]),
            };
            operation.insert("security".to_owned(), security);
            if method == "post" {
                parameters(operation).push(idempotency_key());
            }
            plain_body(operation);
            refusals(operation, path, method, is_open);
        }
    }
}

fn parameters(operation: &mut Map<String, Value>) -> &mut Vec<Value> {
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if !parameters.is_array() {
        *parameters = json!([]);
    }
    parameters.as_array_mut().expect("it was made an array just now")
}

/// A body that may be left out is not `required`; that it could be `null` as well is of no use, and generated clients
/// stumble over.
fn plain_body(operation: &mut Map<String, Value>) {
    let contents = operation.get_mut("requestBody").and_then(|body| body.get_mut("content")).and_then(Value::as_object_mut);
    for content in contents.into_iter().flat_map(|contents| contents.values_mut()) {
        let null = json!({"type": "null"});
        let choices = content["schema"]["oneOf"].as_array();
        if let Some([one, other]) = choices.map(Vec::as_slice)
            && (*one == null || *other == null)
        {
            content["schema"] = if *one == null { other.clone() } else { one.clone() };
        }
    }
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "The same request with the same key within 24 hours is done once, and answered with the first answer.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255}, "example": "8f14e45f-ceea-467f-a1de-0e3a5c1d7b2a",
    })
}

/// Those that every operation has, and `default` for the rest: always a problem.
fn refusals(operation: &mut Map<String, Value>, path: &str, method: &str, is_open: bool) {
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    let mut add = |status: &str, description: &str| {
        responses.entry(status).or_insert_with(|| problem(status, description));
    };
    if !is_open {
        add("401", "No token, or one that is not known.");
        add("403", "The token lacks the scope, or belongs to a tenant and this is about the whole server.");
        add("429", "Too many requests of this client: `Retry-After` says when to try again.");
    }
    if path.contains('{') {
        add("404", "There is no such thing.");
    }
    if ["post", "put", "patch", "delete"].contains(&method) {
        add("409", "It collides with what is there, or a request with the same `Idempotency-Key` is being done.");
        add(
            "422",
            "Well-formed, but not valid: `errors` lists everything; or the `Idempotency-Key` was used for something else.",
        );
    }
    add("default", "Any other refusal.");
}

pub(super) fn problem(status: &str, description: &str) -> Value {
    let example = match status {
        "401" => ("unauthorized", "A token is needed", 401, "send a token: Authorization: Bearer <token>"),
        "403" => (
            "forbidden",
            "The token may not do this",
            403,
            "the token `pub` lacks the scope `read`: add it to `scopes` of [tokens.pub]",
        ),
        "404" => ("not-found", "There is no such thing", 404, "there is no webhook `ops`"),
        "409" => (
            "conflict",
            "It collides with what is there",
            409,
            "the delivery is succeeded already: there is nothing left to cancel",
        ),
        "422" => ("invalid", "The content is not valid", 422, "`type` is missing: name what happened, such as \"order.created\""),
        "429" => (
            "rate-limited",
            "Too many requests",
            429,
            "this client may make 60 `manage` requests in 60 s: try again in 1 s, or raise `manage` in [server.rate_limit]",
        ),
        _ => ("unavailable", "Not available right now", 503, "the store does not take commits: see the log for the reason"),
    };
    let (slug, title, number, detail) = example;
    json!({
        "description": description,
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {
                "type": format!("urn:tenterhook:problem:{slug}"), "title": title, "status": number, "detail": detail,
                "request_id": "req_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f",
            },
        }},
    })
}
