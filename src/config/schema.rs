//! The JSON Schema of config.toml, for editors: its tables have exactly the keys that the parser knows, because both
//! read the same lists. Owns the words that an editor shows; refuses to judge what only the parser can (addresses,
//! secrets, two keys together).

use serde_json::{Map, Value, json};

use super::catalogue::{PRESETS, Preset};
use super::document::{NETWORK, RETENTION, ROOT, SERVER, STORAGE};
use super::egress::{self, AUTH, BASIC, OAUTH2, WEBHOOK_NETWORK};
use super::event_types::EVENT_TYPE;
use super::headers::{self, SIGNATURE};
use super::lane::{BATCH, BREAKER, ORDER};
use super::protection::{CORS, RATE_LIMIT, TLS};
use super::read::Keys;
use super::retry::RETRY;
use super::tokens::TOKEN;
use super::transform::{LIMITS, STEP, TRANSFORMER};
use super::webhook::{DEFAULTS, WEBHOOK};

/// Text that comes from elsewhere is judged when it is filled in.
const FILLED_IN: &str = "\\$\\{";

/// JSON Schema (draft 2020-12) of config.toml.
pub fn schema() -> Value {
    let mut schema = table(&ROOT, &[], root);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("Tenterhook's config.toml")),
        ("description", json!("Events, webhooks, retries, transformers: everything that Tenterhook does")),
        ("$defs", definitions()),
    ];
    if let Value::Object(fields) = &mut schema {
        fields.extend(head.map(|(key, value)| (key.to_owned(), value)));
    }
    schema
}

/// One kind of table: its known keys and no others.
fn table(keys: &Keys, required: &[&str], key: fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> = keys.known.iter().map(|name| ((*name).to_owned(), key(name))).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// `[table.NAME]`.
fn named(entry: Value, description: &str) -> Value {
    json!({
        "description": description, "type": "object",
        "patternProperties": {"^[A-Za-z0-9_-]{1,100}$": entry}, "additionalProperties": false,
    })
}

fn definitions() -> Value {
    let text = |pattern: &str| json!({"type": "string", "pattern": format!("{pattern}|{FILLED_IN}")});
    let duration = "^([0-9]+(ms|s|m|h|d))+$";
    let size = "^[0-9]+([KMG]i?)?B$";
    let rate = "^[0-9]+/[smhd]$|^[a-z]+$";
    let status = "^([1-5][0-9][0-9]|[1-5]xx|[1-5][0-9][0-9]-[1-5][0-9][0-9])$";
    let pattern = "^(\\*\\*?|[A-Za-z0-9_:/-]+)(\\.(\\*\\*?|[A-Za-z0-9_:/-]+))*$";
    json!({
        "duration": described("Such as 500ms, 15s, 2m, 1h, 7d, 1h30m", text(duration)),
        "size": described("Such as 512B, 64KiB, 1MiB, 10MB", text(size)),
        "rate": described("Such as 50/s, 600/m; or the name of a service that has one: slack", text(rate)),
        "status": described("A status code (429), a class (5xx) or a range (500-503)", text(status)),
        "pattern": described("An event type; * is one part of a dotted name, ** any number, a bare * everything", text(pattern)),
        "text": {"type": "string"},
        "webhook": table(&WEBHOOK, &["url", "events"], webhook),
        "defaults": table(&DEFAULTS, &[], webhook),
        "token": table(&TOKEN, &["token", "scopes"], token),
        "transformer": table(&TRANSFORMER, &[], transformer),
        "stage": {"anyOf": [{"type": "string"}, table(&STEP, &["use"], stage)]},
        "signature": signature_definition(),
    })
}

fn described(description: &str, mut schema: Value) -> Value {
    schema["description"] = description.into();
    schema
}

fn a(definition: &str, description: &str) -> Value {
    json!({"$ref": format!("#/$defs/{definition}"), "description": description})
}

fn list(definition: &str, description: &str) -> Value {
    json!({"type": "array", "items": {"$ref": format!("#/$defs/{definition}")}, "description": description})
}

/// A value, or `false` for none.
fn or_false(schema: Value, description: &str) -> Value {
    json!({"anyOf": [schema, {"const": false}], "description": description})
}

fn whole(min: i64, max: i64, description: &str) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max, "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn root(key: &str) -> Value {
    match key {
        "include" => json!({
            "description": "More files, relative to this one; * and ? match within a file name",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        }),
        "server" => table(&SERVER, &[], server),
        "tokens" => named(a("token", "A token"), "Who may use the API, by name"),
        "storage" => table(&STORAGE, &[], storage),
        "retention" => table(&RETENTION, &[], retention),
        "network" => table(&NETWORK, &[], network),
        "defaults" => a("defaults", "What every webhook has unless it says otherwise"),
        "webhooks" => named(a("webhook", "A webhook"), "Who gets which events, by webhook id"),
        "transformers" => named(a("transformer", "A transformer"), "Modules that are elsewhere, pinned or limited otherwise"),
        "event_types" => json!({
            "description": "Which event types there are", "type": "object",
            "additionalProperties": described("An event type", table(&EVENT_TYPE, &[], event_type)),
        }),
        "catalogue" => catalogue(),
        // A table of its own kind, whose keys are not listed here.
        _ => json!({"type": "object"}),
    }
}

fn catalogue() -> Value {
    let preset = |preset: &Preset| json!({"const": preset.name, "description": preset.summary});
    let names: Vec<Value> = PRESETS.iter().map(preset).chain([json!({"type": "string", "pattern": FILLED_IN})]).collect();
    json!({"description": "Presets of event types, declared as if they stood in [event_types]", "type": "array", "items": {"anyOf": names}})
}

fn event_type(key: &str) -> Value {
    match key {
        "description" => a("text", "In your own words"),
        "schema" => json!({
            "description": "A JSON Schema that its data must match: a file, or a table", "anyOf": [{"type": "string"}, {"type": "object"}],
        }),
        _ => json!({}),
    }
}

fn server(key: &str) -> Value {
    match key {
        "listen" => a("text", "IP address and port [default: 127.0.0.1:8080]; any other than loopback needs [tokens]"),
        "max_event_size" => a("size", "Of one event as published [default: 1MiB]"),
        "shutdown_grace" => a("duration", "How long attempts may finish after SIGTERM [default: 10s]"),
        "rate_limit" => {
            described("Requests that each client may make", table(&RATE_LIMIT, &[], |_| a("rate", "At most so many: 60/m")))
        }
        "cors" => described(
            "Whose pages may use the API from a browser",
            table(&CORS, &[], |_| list("text", "Such as https://app.example.com")),
        ),
        "tls" => described("Serve https", table(&TLS, &["cert", "key"], |_| a("text", "A PEM file, or its text"))),
        _ => json!({}),
    }
}

fn token(key: &str) -> Value {
    match key {
        "token" => a("text", "The token: best taken from the environment, ${TENTERHOOK_TOKEN}"),
        "scopes" => json!({
            "description": "What it may do; manage implies the others", "type": "array", "minItems": 1,
            "items": {"anyOf": [{"enum": ["publish", "read", "manage"]}, {"type": "string", "pattern": FILLED_IN}]},
        }),
        "tenant" => a("text", "Sees and manages only this tenant's"),
        _ => json!({}),
    }
}

fn storage(key: &str) -> Value {
    match key {
        "path" => a("text", "Directory of the embedded store [default: data]"),
        "url" => a("text", "postgres://…: several nodes on one database"),
        "key" => a("text", "Seals secrets at rest"),
        "previous_keys" => list("text", "Keys that older secrets were sealed with"),
        _ => json!({}),
    }
}

fn retention(key: &str) -> Value {
    match key {
        "events" => a("duration", "Events and finished deliveries [default: 7d]"),
        "failed" => a("duration", "Deliveries that were given up [default: 30d]"),
        "audit" => a("duration", "The audit log [default: 90d]"),
        _ => a("duration", "How long it is kept"),
    }
}

fn network(key: &str) -> Value {
    match key {
        "allow" => list("text", "Private networks that may be delivered to, such as 10.2.0.0/16"),
        "https_only" => boolean("Plain http only to addresses inside `allow` [default: true]"),
        "proxy" => a("text", "An HTTP proxy for deliveries"),
        "no_proxy" => list("text", "Hosts that are reached without it"),
        "ca_file" => a("text", "More certificate authorities, in PEM"),
        "min_tls_version" => a("text", "1.2 or 1.3"),
        _ => json!({}),
    }
}

fn webhook(key: &str) -> Value {
    match key {
        "url" => a("text", "Where to: absolute, https (http only inside network.allow), no user name or password"),
        "events" => {
            let mut schema = list("pattern", "Which event types: order.*, order.**, or * for all");
            schema["minItems"] = 1.into();
            schema
        }
        "filter" => json!({"type": "object", "description": "Only events whose data, metadata, … are so; $gt, $in, $or, …"}),
        "transform" => json!({
            "description": "Transformers that make the request: a name, { use, options }, or a list of these",
            "anyOf": [{"$ref": "#/$defs/stage"}, {"type": "array", "items": {"$ref": "#/$defs/stage"}, "maxItems": 8}],
        }),
        "secret" => json!({
            "description": "whsec_ and base64, or any text; absent: one is generated and kept",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        }),
        "signature" => json!({
            "description": "How requests are signed; a list sends several at once [default: standard]",
            "anyOf": [
                {"$ref": "#/$defs/signature"},
                {"type": "array", "items": {"$ref": "#/$defs/signature"}, "minItems": 1, "maxItems": 8},
            ],
        }),
        "headers" => json!({
            "type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 64,
            "description": "Sent with every request",
        }),
        "enabled" => {
            boolean("What waits for a disabled webhook is held, and events published meanwhile pass it by [default: true]")
        }
        "description" => a("text", "In your own words"),
        "tenant" => a("text", "Receives only this tenant's events; absent: events without one"),
        "retry" => described("When failures are tried again", table(&RETRY, &[], retry)),
        "retry_on" => retry_on(),
        "success" => {
            let mut schema = list("status", "Which statuses count as delivered [default: 2xx]");
            schema["minItems"] = 1.into();
            schema
        }
        "timeout" => a("duration", "Of a whole attempt [default: 5s]"),
        "connect_timeout" => a("duration", "Until connected [default: 2s]"),
        "concurrency" => whole(1, 1000, "Attempts in flight [default: 10]"),
        "metadata" => json!({"type": "object", "description": "Shown in the API, never sent"}),
        other => lane(other),
    }
}

/// What paces and stops a webhook's deliveries.
fn lane(key: &str) -> Value {
    match key {
        "rate_limit" => or_false(json!({"$ref": "#/$defs/rate"}), "Delivered evenly, at most so fast: 50/s"),
        "batch" => or_false(table(&BATCH, &[], batch), "One request for many events: { max_events = 100, max_wait = \"5s\" }"),
        "order_by" => or_false(
            json!({"anyOf": [{"type": "string"}, table(&ORDER, &["key"], order)]}),
            "In order per value of this field (data.account_id); * for the whole webhook",
        ),
        "breaker" => or_false(
            json!({"anyOf": [table(&BREAKER, &[], breaker), {"const": true}]}),
            "Pauses a failing endpoint: { failures = 10, window = \"1m\", cool_down = \"30s\" }",
        ),
        "disable_after" => or_false(json!({"$ref": "#/$defs/duration"}), "Of nothing but failures [default: 5d]"),
        "expire_after" => or_false(json!({"$ref": "#/$defs/duration"}), "Older deliveries are given up"),
        "network" => described(
            "What it may reach besides [network]",
            table(&WEBHOOK_NETWORK, &[], |_| list("text", "Private networks that this webhook may be delivered to, too")),
        ),
        "proxy" => {
            json!({"description": "Through this proxy, or false for none", "anyOf": [{"type": "string"}, {"type": "object"}, {"const": false}]})
        }
        "tls" => described("Certificates of one's own, on either side", table(&egress::TLS, &[], webhook_tls)),
        "auth" => described("Credentials that the endpoint wants: one of these", table(&AUTH, &[], auth)),
        _ => json!({}),
    }
}

fn webhook_tls(key: &str) -> Value {
    match key {
        "ca_file" => a("text", "Certificate authorities of the endpoint, in PEM, instead of the machine's"),
        "cert_file" => a("text", "Our certificate, in PEM"),
        "key_file" => a("text", "Its private key, in PEM"),
        "server_name" => a("text", "The name in the endpoint's certificate, if it is another than the host's"),
        "min_version" => a("text", "1.2 or 1.3"),
        _ => json!({}),
    }
}

fn auth(key: &str) -> Value {
    match key {
        "basic" => described(
            "User name and password",
            table(&BASIC, &["username", "password"], |_| a("text", "Best from the environment")),
        ),
        "bearer" => a("text", "A token, best from the environment"),
        "oauth2" => described(
            "A token from a token endpoint (client credentials)",
            table(&OAUTH2, &["token_url", "client_id", "client_secret"], oauth2),
        ),
        _ => json!({}),
    }
}

fn oauth2(key: &str) -> Value {
    match key {
        "token_url" => a("text", "Where tokens are had"),
        "client_id" => a("text", "Who we are there"),
        "client_secret" => a("text", "And how we prove it; best from the environment"),
        "scopes" => list("text", "What the token is to be good for"),
        "params" => {
            json!({"type": "object", "additionalProperties": {"type": "string"}, "description": "More parameters of the request"})
        }
        "send_client" => a("text", "How id and secret are sent"),
        _ => json!({}),
    }
}

fn batch(key: &str) -> Value {
    match key {
        "max_events" => whole(1, 1000, "In one request [default: 100]"),
        "max_wait" => a("duration", "Until it is sent, full or not [default: 5s]"),
        "max_size" => a("size", "Of the events together"),
        _ => json!({}),
    }
}

fn breaker(key: &str) -> Value {
    match key {
        "failures" => whole(1, 1000, "That open it [default: 10]"),
        "window" => a("duration", "In which they happen [default: 1m]"),
        "cool_down" => a("duration", "Until the endpoint is tried again [default: 30s]"),
        _ => json!({}),
    }
}

fn order(key: &str) -> Value {
    match key {
        "key" => a("text", "A field, such as data.account_id, or * for the whole webhook"),
        "on_gap" => {
            json!({"enum": ["block", "skip"], "description": "What becomes of those behind one that was given up [default: block]"})
        }
        _ => json!({}),
    }
}

fn retry(key: &str) -> Value {
    match key {
        "max_retries" => whole(0, 100, "After the first attempt [default: 3]"),
        "initial_delay" => a("duration", "Before the first retry [default: 1s]"),
        "multiplier" => {
            json!({"type": "number", "minimum": 1, "maximum": 100, "description": "Each delay is so many times the one before [default: 2]"})
        }
        "max_delay" => a("duration", "No delay is longer [default: 1h]"),
        "jitter" => {
            json!({"type": "number", "minimum": 0, "maximum": 1, "description": "Each delay is drawn from ± this share of itself [default: 0.2]"})
        }
        "schedule" => json!({
            "description": "One retry after each of these delays, instead of a curve",
            "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/duration"}, "minItems": 1, "maxItems": 100}, {"type": "string"}],
        }),
        _ => json!({}),
    }
}

fn retry_on() -> Value {
    json!({
        "description": "Which failures are tried again [default: network, timeout, 408, 425, 429, 5xx]", "type": "array",
        "items": {"anyOf": [{"enum": ["network", "timeout"]}, {"$ref": "#/$defs/status"}]},
    })
}

fn signature_definition() -> Value {
    let names = json!({"enum": headers::scheme_names()});
    let filled_in = json!({"type": "string", "pattern": FILLED_IN});
    json!({"anyOf": [names, filled_in, table(&SIGNATURE, &[], signature)]})
}

fn signature(key: &str) -> Value {
    match key {
        "scheme" => json!({
            "description": "Which dialect",
            "anyOf": [{"enum": headers::scheme_names()}, {"type": "string", "pattern": FILLED_IN}],
        }),
        "header" => a("text", "Another header than the dialect's own"),
        "template" => a("text", "The header's value: t={timestamp},s={signature}"),
        "content" => a("text", "What is signed: {timestamp}.{body}"),
        "encoding" => json!({"enum": ["hex", "base64", "base64url"], "description": "Of the signature [default: hex]"}),
        _ => json!({}),
    }
}

fn stage(key: &str) -> Value {
    match key {
        "use" => a("text", "Name of a transformer: built in, in transformers/, or of [transformers]"),
        "options" => json!({"type": "object", "description": "Checked by the transformer itself"}),
        _ => json!({}),
    }
}

fn transformer(key: &str) -> Value {
    match key {
        "path" => a("text", "The module's file"),
        "sha256" => {
            json!({"type": "string", "pattern": format!("^[0-9A-Fa-f]{{64}}$|{FILLED_IN}"), "description": "Pins the file's content"})
        }
        "limits" => described("What a call may take", table(&LIMITS, &[], limit)),
        _ => json!({}),
    }
}

fn limit(key: &str) -> Value {
    match key {
        "memory" => a("size", "Over all memories of an instance [default: 64MiB]"),
        "cpu" => a("duration", "Of a call [default: 100ms]"),
        "output" => a("size", "Of body and headers [default: 2MiB]"),
        "log" => a("size", "Of the lines that a call may log [default: 100KiB]"),
        "instances" => {
            json!({"type": "integer", "minimum": 1, "description": "Calls at the same time [default: a quarter of all]"})
        }
        _ => json!({}),
    }
}
