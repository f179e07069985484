//! `catalogue = ["gateway", …]`: event types that other systems' users know, declared as if they stood in
//! `[event_types]`. Owns the presets; refuses to say more of a payload than their documents show.

use std::collections::BTreeMap;

use super::event_types::{EventTypeSettings, Schema};
use super::read::{self, list, nearest};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Node, Text};
use crate::model::EventType;

/// A set of event types that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// What its events are about, and whose they are.
    pub summary: &'static str,
    pub types: &'static [PresetType],
}

#[derive(Debug, PartialEq, Eq)]
pub struct PresetType {
    pub name: &'static str,
    pub description: &'static str,
    /// JSON Schema of its data, as text: only what a producer could not mean otherwise, nothing required.
    pub schema: Option<&'static str>,
}

const fn plain(name: &'static str, description: &'static str) -> PresetType {
    PresetType { name, description, schema: None }
}

const CIRCUIT_BREAKER_OPENED: &str = r#"{"type": "object", "properties": {
    "routeId": {"type": "string"},
    "errorRate": {"type": "number", "minimum": 0},
    "threshold": {"type": "number", "minimum": 0},
    "failureCount": {"type": "integer", "minimum": 0},
    "state": {"type": "string"}
}}"#;

const ROUTE_ERROR: &str = r#"{"type": "object", "properties": {
    "request_id": {"type": "string"},
    "path": {"type": "string"},
    "status_code": {"type": "integer", "minimum": 100, "maximum": 599},
    "upstream_service": {"type": "string"},
    "latency_ms": {"type": "number", "minimum": 0}
}}"#;

const DATA_CREATED: &str = r#"{"type": "object", "properties": {
    "id": {"type": ["string", "integer"]}
}}"#;

/// In the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "gateway",
        summary: "What a proxy in front of services tells of itself: FlexGate's ten event types",
        types: &[
            PresetType {
                name: "circuit_breaker.opened",
                description: "A circuit breaker opened: requests of its route are refused",
                schema: Some(CIRCUIT_BREAKER_OPENED),
            },
            plain("circuit_breaker.closed", "A circuit breaker closed: its route is served again"),
            plain("circuit_breaker.half_open", "A circuit breaker lets a request through to see whether its route is well"),
            plain("rate_limit.exceeded", "A client was refused because it went over its rate limit"),
            plain("rate_limit.approaching", "A client has used most of its rate limit"),
            plain("proxy.request_started", "A request was taken and goes on to its upstream"),
            plain("proxy.request_completed", "A request was answered by its upstream"),
            plain("proxy.request_failed", "A request failed: its upstream was not reached, or answered with an error"),
            plain("health.check_failed", "An upstream failed its health check"),
            plain("health.check_recovered", "An upstream passes its health check again"),
        ],
    },
    Preset {
        name: "traffic",
        summary: "Milestones of requests through an API gateway: FluxGate's traffic events",
        types: &[
            plain("route.matched", "A request matched a routing rule"),
            plain("upstream.timeout", "An upstream did not answer in time"),
            plain("rate.limit.exceeded", "A rate limit was exceeded"),
        ],
    },
    Preset {
        name: "errors",
        summary: "What goes wrong behind an API gateway: FluxGate's error signals",
        types: &[
            PresetType { name: "route.error", description: "A route answered with an error", schema: Some(ROUTE_ERROR) },
            plain("service.5xx", "A service answered with a 5xx status"),
            plain("tls.handshake.fail", "A TLS handshake failed"),
            plain("circuit.broken", "A circuit was broken after failures in a row"),
        ],
    },
    Preset {
        name: "config",
        summary: "Changes of an API gateway's configuration: FluxGate's config changes",
        types: &[
            plain("route.created", "A route was created"),
            plain("policy.updated", "A policy was changed"),
            plain("secret.rotated", "A secret was replaced by a new one"),
        ],
    },
    Preset {
        name: "system",
        summary: "A system's own life: the Python webhook system's category System",
        types: &[
            plain("system.startup", "The system started"),
            plain("system.shutdown", "The system is shutting down"),
            plain("system.error", "An error in the system itself"),
        ],
    },
    Preset {
        name: "data",
        summary: "Records that change: the Python webhook system's category Data",
        types: &[
            PresetType { name: "data.created", description: "A record was created", schema: Some(DATA_CREATED) },
            plain("data.updated", "A record was changed"),
            plain("data.deleted", "A record was deleted"),
        ],
    },
    Preset {
        name: "process",
        summary: "Work that takes its time: the Python webhook system's category Process",
        types: &[
            plain("process.started", "A process was started"),
            plain("process.completed", "A process came to its end"),
            plain("process.failed", "A process failed"),
        ],
    },
    Preset {
        name: "monitoring",
        summary: "What watches over systems: the Python webhook system's category Monitoring",
        types: &[
            plain("health.check", "A health check was made"),
            plain("alert.triggered", "An alert was triggered"),
            plain("metric.threshold", "A metric crossed its threshold"),
        ],
    },
];

/// The event types of all presets that a list names.
pub(crate) fn read(node: &Node, report: &mut Report) -> BTreeMap<EventType, EventTypeSettings> {
    let mut seen: Vec<&str> = Vec::new();
    let mut types = BTreeMap::new();
    for (text, node) in read::strings(node, "catalogue", "gateway", report).unwrap_or_default() {
        let Some(preset) = PRESETS.iter().find(|preset| preset.name == text.value()) else {
            unknown(text, node, report);
            continue;
        };
        if seen.contains(&preset.name) {
            report.warning(node.span, format!("the preset `{}` is listed twice", preset.name));
            continue;
        }
        seen.push(preset.name);
        for declared in preset.types {
            match settings(preset, declared) {
                Ok((kind, settings)) => {
                    types.insert(kind, settings);
                }
                Err(error) => {
                    let message = format!("`{}` of the preset `{}` cannot be used: {error}", declared.name, preset.name);
                    report.error(node.span, message);
                }
            }
        }
    }
    types
}

fn unknown(text: &Text, node: &Node, report: &mut Report) {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    let there_are = format!("there are {}", list(&names));
    let help = match nearest(text.value(), &names).filter(|_| text.expanded.is_none()) {
        Some(name) => format!("did you mean \"{name}\"? {there_are}"),
        None => there_are,
    };
    report.error_about(node.span, [node], "unknown preset", &quote(text.value())).help(help);
}

fn settings(preset: &Preset, declared: &PresetType) -> Result<(EventType, EventTypeSettings), String> {
    let kind = EventType::parse(declared.name).map_err(|error| error.to_string())?;
    let schema = match declared.schema {
        Some(text) => Some(Schema::compile(serde_json::from_str(text).map_err(|error| error.to_string())?)?),
        None => None,
    };
    Ok((kind, EventTypeSettings { description: Some(declared.description.to_owned()), schema, preset: Some(preset.name) }))
}
