//! config.toml: its keys, its problems (all at once, each with its place), and the validated settings. Refuses
//! handles: nothing here opens a socket, a store or a module.
//!
//! `text` turns files into one tree with places, `keys` reads the tables of that tree and reports every problem,
//! `load` runs both, `api` does the same for webhooks that the API makes.

mod api;
mod keys;
mod late;
mod load;
mod schema;
mod settings;
pub(crate) mod show;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use api::{FieldProblem, Fields, Judge, Judged};
pub use keys::catalogue::{PRESETS, Preset, PresetType};
pub use keys::event_types::{EventTypeSettings, Schema};
pub(crate) use keys::key::{Key, Kind};
pub use keys::protection::{CorsSettings, ProtectionSettings, Quota, RateLimits, TlsSettings};
pub use load::{Loaded, Texts, load, load_over, load_str};
pub use schema::schema;
pub(crate) use schema::{shown_properties, webhook_properties};
pub use settings::{
    LanePolicy, Location, OrderBy, OrderPolicy, Origin, RetentionSettings, Scope, ServerSettings, Settings, StorageSettings,
    TokenSettings, TransformerSettings, WebhookPolicy, WebhookSettings,
};
pub use text::problem::{Draft, Problem, Problems, Severity};
pub(crate) use text::units::parse_duration;
pub use write::{VARIABLE, toml_key, toml_value};

/// The keys of a webhook, as the registry has them.
pub(crate) fn webhook_keys() -> impl Iterator<Item = &'static Key> {
    keys::webhook::rows::ROWS.iter().map(|row| &row.key)
}

/// The keys of a top-level table, `server` or `retention`.
#[cfg(test)]
pub(crate) fn table_keys(table: &str) -> Vec<&'static str> {
    match keys::document::ROOT.get(table).map(|key| key.kind) {
        Some(Kind::Table(keys)) => keys.names(),
        other => panic!("[{table}] is no plain table: {other:?}"),
    }
}
