//! config.toml: its shape, its problems (all at once, each with its place), and the validated settings. Refuses
//! handles: nothing here opens a socket, a store or a module.
//!
//! Text becomes a tree with places (`parse`), its strings are filled in (`interpolate`), files are merged (`gather`),
//! and typed readers walk the tree (`document`, `webhook`, …), reporting instead of stopping.

mod api;
mod catalogue;
mod document;
mod egress;
mod event_types;
mod files;
mod gather;
mod headers;
mod interpolate;
mod json;
mod lane;
mod load;
mod mask;
mod parse;
mod problem;
mod protection;
mod ranges;
mod read;
mod report;
mod retry;
mod schema;
mod settings;
mod sources;
mod syntax;
#[cfg(test)]
mod tests;
mod tokens;
mod transform;
mod tree;
mod units;
mod webhook;

pub use api::{FieldProblem, Fields, Judge, Judged};
pub use catalogue::{PRESETS, Preset, PresetType};
pub use event_types::{EventTypeSettings, Schema};
pub use load::{Loaded, load, load_str};
pub use problem::{Draft, Problem, Problems, Severity};
pub use protection::{CorsSettings, ProtectionSettings, Quota, RateLimits, TlsSettings};
pub use schema::schema;
pub use settings::{
    LanePolicy, OrderBy, OrderPolicy, Origin, Place, RetentionSettings, Scope, ServerSettings, Settings, StorageSettings,
    TokenSettings, TransformerSettings, WebhookPolicy, WebhookSettings,
};
pub(crate) use units::parse_duration;
