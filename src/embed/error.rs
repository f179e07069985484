//! Why an event was not taken, or how it ended.

use crate::app::RunError;
use crate::model::EventId;
use crate::publish::Refusal;
use crate::store::StoreError;

/// Why [`emit`](super::Tenterhook::emit) did not take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// Emitting it again would end the same way.
    #[error("the event is not valid: {}", .0.detail())]
    Invalid(Refusal),
    /// Events come faster than they can be stored: the caller decides whether to drop this one, or to wait for
    /// [`emit_durable`](super::Tenterhook::emit_durable).
    #[error(
        "the queue is full: {events} events wait to be stored; emit fewer, make it longer (`Builder::queue`), or await `emit_durable`"
    )]
    Full { events: usize },
    #[error("tenterhook has been shut down: it takes no events any more")]
    Closed,
}

/// Why [`emit_durable`](super::Tenterhook::emit_durable) did not store an event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DurableError {
    /// Emitting it again would end the same way.
    #[error("the event is not valid: {}", .0.detail())]
    Invalid(Refusal),
    #[error("an event with the id `{0}` was published before with other content: give this one an id of its own")]
    Conflict(EventId),
    /// Nothing was stored.
    #[error(transparent)]
    Store(StoreError),
    /// Before it took the event; or before the store had answered, when a shutdown was out of time.
    #[error("tenterhook has been shut down: it takes no events any more")]
    Closed,
}

/// How a Tenterhook ended, other than well.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EndError {
    /// By itself.
    #[error(transparent)]
    Failed(RunError),
    /// Emitted, but the store did not take them before `shutdown_grace` was over.
    #[error("{events} events were emitted and could not be stored within `shutdown_grace` of [server]: the log has the reason")]
    NotStored { events: usize },
    #[error("the task that runs tenterhook was ended from outside, with its runtime")]
    Aborted,
}
