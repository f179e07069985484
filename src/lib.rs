//! Tenterhook, a webhook delivery engine: events in, signed and transformed deliveries out, durable, from a
//! hot-reloaded `config.toml`. `ARCHITECTURE.md` has the way of one event through these modules.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod model;
pub mod outbound;
pub mod routing;
pub mod signing;
pub mod store;
pub mod telemetry;
