//! config.toml: its shape, its problems (all at once, each with its place), and the validated settings. Refuses
//! handles: nothing here opens a socket, a store or a module.

mod settings;

pub use settings::{
    Place, RetentionSettings, Scope, ServerSettings, Settings, StorageSettings, TokenSettings, TransformerSettings,
    WebhookSettings,
};
