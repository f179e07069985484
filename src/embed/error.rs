//! Why an event was not accepted, and why a Tenterhook ended.

use crate::app::RunError;
use crate::model::EventId;
use crate::publish::Refusal;
use crate::store::StoreError;

/// Why [`emit`](super::Tenterhook::emit) did not accept an event.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// Emitting it again would fail the same way.
    #[error("the event is not valid: {}", .0.detail())]
    Invalid(Refusal),
    /// Events come faster than they can be stored: the caller decides whether to drop this one, or to wait for
    /// [`emit_durable`](super::Tenterhook::emit_durable).
    #[error(
        "the queue is full: {events} events wait to be stored; emit fewer, make it longer (`Builder::queue`), or await `emit_durable`"
    )]
    Full { events: usize },
    #[error("tenterhook has been shut down: it accepts no events any more")]
    Closed,
}

/// Why [`emit_durable`](super::Tenterhook::emit_durable) did not store an event.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum DurableError {
    /// Emitting it again would fail the same way.
    #[error("the event is not valid: {}", .0.detail())]
    Invalid(Refusal),
    #[error("an event with the id `{0}` was published before with other content: give this one an id of its own")]
    Conflict(EventId),
    /// Nothing was stored.
    #[error(transparent)]
    Store(StoreError),
    /// Before the event was accepted; or before the store had answered, when a shutdown ran out of time.
    #[error("tenterhook has been shut down: it accepts no events any more")]
    Closed,
}

/// Why a Tenterhook ended, other than by a clean shutdown.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum EndError {
    /// It ended by itself.
    #[error(transparent)]
    Failed(RunError),
    /// Emitted, but not stored before `shutdown_grace` was over.
    #[error("{events} events were emitted and could not be stored within `[server] shutdown_grace`: the log has the reason")]
    NotStored { events: usize },
    #[error("the task that runs tenterhook was ended from outside, with its runtime")]
    Aborted,
}
