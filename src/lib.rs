//! Tenterhook, a webhook delivery engine: events in, signed and transformed deliveries out, durable, from a
//! hot-reloaded `config.toml`. `ARCHITECTURE.md` describes the path of an event through its modules.
//!
//! In your own program it is a [`Tenterhook`]: it takes events, hands them to subscriptions, and delivers them to
//! webhooks. `docs/library.md` is the guide, `examples/gateway` a proxy that is built on it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tenterhook = tenterhook::Tenterhook::builder().config("config.toml").start().await?;
//! tenterhook.emit(("order.created", serde_json::json!({"id": "ORD-123"})))?;
//! tenterhook.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Cargo features, all on by default: `cli` (the command line), `ui` (the web UI), `prebuilt` (the transformers that come
//! with Tenterhook). An embedding program can do without all three.
//!
//! The public interface is what is listed here. The modules, which the documentation does not list, are open to the binary
//! and the tests only, and change without notice.
#![deny(unsafe_code)]
#![cfg_attr(not(feature = "cli"), allow(dead_code, reason = "parts of the modules serve the command line only"))]

#[doc(hidden)]
pub mod app;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod control;
#[doc(hidden)]
pub mod dispatch;
#[doc(hidden)]
pub mod embed;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod jobs;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod operational;
#[doc(hidden)]
pub mod outbound;
#[doc(hidden)]
pub mod publish;
#[doc(hidden)]
pub mod reload;
#[doc(hidden)]
pub mod routing;
#[doc(hidden)]
pub mod signing;
#[doc(hidden)]
pub mod snapshot;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod tasks;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod transform;

pub use self::http::Peer;
pub use app::{RunError, StartError};
pub use config::{Problem, Problems, Severity};
pub use embed::{
    Builder, DurableError, EmitError, EmitStats, Emitted, EndError, NewEvent, Received, Subscription, Tenterhook, Webhook,
};
pub use model::{Event, EventId, EventType, Timestamp};
pub use outbound::OutboundError;
pub use publish::Refusal;
pub use routing::InvalidPattern;
pub use signing::Secret;
pub use store::{SeenType, StoreError};
pub use transform::HostError;
