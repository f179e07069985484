//! Which webhooks an event goes to: patterns over event types, the index over them, and filters over the event.
//! Pure: refuses I/O and clocks, and any cost that an event's author could choose.

mod filter;
mod index;
mod pattern;

pub use filter::{FIELDS, FieldPath, Filter, FilterInput, InvalidFilter, Mismatch, OPERATORS, OperatorRow};
pub use index::Index;
pub use pattern::{InvalidPattern, Pattern};
