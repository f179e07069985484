//! The keys of config.toml: one module per table or group of keys, each with its rows of the registry and its readers,
//! which report problems instead of stopping at the first.

pub(crate) mod catalogue;
pub(crate) mod document;
pub(crate) mod egress;
pub(crate) mod event_types;
pub(crate) mod fields;
pub(crate) mod headers;
pub(crate) mod key;
pub(crate) mod lane;
pub(crate) mod protection;
pub(crate) mod ranges;
pub(crate) mod read;
pub(crate) mod retry;
pub(crate) mod secret;
pub(crate) mod tokens;
pub(crate) mod transform;
pub(crate) mod webhook;
