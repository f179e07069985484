//! Which webhooks an event goes to: patterns, filters, and the index over them. Pure.

mod filter;
mod pattern;

pub use filter::{Filter, InvalidFilter};
pub use pattern::{InvalidPattern, Pattern};
