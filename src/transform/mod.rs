//! Transformers: WebAssembly components that turn events into requests. Owns the engine, compiling and caching, the
//! limits of a call, the border (one file per published version of `wit/`), and the check of what comes back. Refuses
//! to give a module anything but its events, its options, a log, clocks and random numbers: no files, no network, no
//! environment, and nothing that an earlier call left behind.

mod bindings;
mod cache;
pub mod cases;
mod core;
mod engine;
mod error;
mod host;
mod inspect;
mod module;
mod output;
mod pipeline;
mod resolve;
mod schema;
mod slow_pool;
mod state;
mod ticker;
mod usage;

#[cfg(test)]
mod tests;

pub use bindings::{Description, EventInput};
pub use error::{CheckError, HostError, LoadError, TransformError};
pub use host::{Host, HostOptions};
pub use inspect::Inspection;
pub use module::{Module, Transformed};
pub use output::{Output, RequestParts, same_origin};
pub use pipeline::Pipeline;
pub use resolve::{Source, available, prebuilt, prebuilt_names, resolve};
pub use usage::Usage;

/// The modules in this binary, by name: `build.rs` builds and embeds them.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/prebuilt.rs"));
}
