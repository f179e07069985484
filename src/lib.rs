//! Tenterhook, a webhook delivery engine: events in, signed and transformed deliveries out, durable, from a
//! hot-reloaded `config.toml`. `ARCHITECTURE.md` has the way of one event through these modules.
#![deny(unsafe_code)]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod dispatch;
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
