//! Tenterhook, a webhook delivery engine: events in, signed and transformed deliveries out, durable, from a
//! hot-reloaded `config.toml`. `ARCHITECTURE.md` has the way of one event through these modules.
//!
//! As a part of your own program it is a [`Tenterhook`]: emit events, subscribe to them, and let it deliver.
//! `docs/library.md` is the guide, `examples/gateway` a proxy that is built on it.
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
//! What is named here at the top is meant for other programs. The modules are open to the binary, to tests and to the
//! curious, and change without notice.
#![deny(unsafe_code)]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod dispatch;
pub mod embed;
pub mod http;
pub mod jobs;
pub mod model;
pub mod operational;
pub mod outbound;
pub mod publish;
pub mod reload;
pub mod routing;
pub mod signing;
pub mod snapshot;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod transform;

pub use app::StartError;
pub use embed::{Builder, DurableError, EmitError, EmitStats, Emitted, EndError, Heard, NewEvent, Subscription, Tenterhook};
pub use model::{Event, EventId, EventType, Timestamp};
pub use routing::InvalidPattern;
pub use store::{SeenType, StoreError};
