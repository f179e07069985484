//! The threads of the store: one that writes, and the runtime's blocking ones that read; or, in a simulation, the
//! runtime's own.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::inbox;
use super::simulated::Simulated;
use super::wal::Checkpointer;
use super::writer::{Command, Writer};
use crate::store::StoreError;

pub(super) enum Workers {
    Threads { commands: inbox::Sender, writer: Mutex<Option<std::thread::JoinHandle<()>>> },
    Simulated(Simulated),
}

impl Workers {
    pub(super) fn start(writer: Writer, checkpointer: Connection) -> std::io::Result<Self> {
        let (commands, inbox) = inbox::new();
        let checkpoints = Checkpointer::start(checkpointer)?;
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || writer.run(inbox, checkpoints))?;
        Ok(Self::Threads { commands, writer: Mutex::new(Some(thread)) })
    }

    /// Waits for a permit. Cancel-safe: a command is in or it is not.
    pub(super) async fn send(&self, command: Command) -> Result<(), inbox::Closed> {
        match self {
            Self::Threads { commands, .. } => commands.send(command).await,
            Self::Simulated(simulated) => simulated.send(command).await,
        }
    }

    /// Runs `work`, which reads from disk, where that delays nobody else.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Threads { .. } => blocking(work).await,
            Self::Simulated(simulated) => simulated.read(work).await,
        }
    }

    /// Waits for the end of what writes; `false` when somebody else did so before.
    pub(super) async fn join(&self) -> bool {
        let ended = match self {
            Self::Threads { writer, .. } => {
                let thread = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(thread) = thread else { return false };
                matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
            Self::Simulated(simulated) => match simulated.join().await {
                Some(ended) => ended,
                None => return false,
            },
        };
        if !ended {
            tracing::error!("the store's writer panicked");
        }
        true
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(StoreError::Unavailable { reason: format!("a read of the store did not finish: {e}") }),
    }
}
