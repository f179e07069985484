//! The store without threads, for simulations: commits and reads run on the runtime's own thread, each after as much virtual
//! time as the simulated disk takes for it, so that a run depends on its seed alone. What the writer's thread does beside,
//! bounding the WAL, is left out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::inbox::{COMMANDS_MAX, Closed};
use super::writer::{Command, Writer};
use crate::store::StoreError;

/// A kind of access to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Commit,
    Read,
}

/// The simulated disk's answer to an access.
#[derive(Debug, Clone, Default)]
pub struct Served {
    pub after: Duration,
    /// Nothing was done.
    pub fault: Option<StoreError>,
}

pub type Disk = Arc<dyn Fn(Access) -> Served + Send + Sync>;

pub(super) struct Simulated {
    disk: Disk,
    commands: mpsc::Sender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Simulated {
    pub(super) fn start(writer: Writer, disk: Disk) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        #[expect(clippy::disallowed_methods, reason = "joined when the store is closed")]
        let writer = tokio::spawn(write(writer, inbox, Arc::clone(&disk)));
        Self { disk, commands, writer: Mutex::new(Some(writer)) }
    }

    pub(super) async fn send(&self, command: Command) -> Result<(), Closed> {
        self.commands.send(command).await.map_err(|_| Closed)
    }

    pub(super) async fn read<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let served = (self.disk)(Access::Read);
        tokio::time::sleep(served.after).await;
        served.fault.map_or_else(work, Err)
    }

    /// Whether the writer ended as it should; `None` when it was joined before.
    pub(super) async fn join(&self) -> Option<bool> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(writer.await.is_ok())
    }

    /// What waits to be written is lost, and what is being written.
    pub(super) async fn crash(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.abort();
            let _ = writer.await;
        }
    }
}

/// As [`Writer::run`]: all that came while the disk was busy goes in one commit, settled attempts first.
async fn write(mut writer: Writer, mut inbox: mpsc::Receiver<Command>, disk: Disk) {
    while let Some(first) = inbox.recv().await {
        let served = disk(Access::Commit);
        tokio::time::sleep(served.after).await;
        let mut group = vec![first];
        group.extend(std::iter::from_fn(|| inbox.try_recv().ok()));
        group.sort_by_key(|command| !matches!(command, Command::Settle(_)));
        if group.iter().any(|command| matches!(command, Command::Close(_))) {
            inbox.close();
        }
        match served.fault {
            Some(fault) => group.into_iter().for_each(|command| command.answer(Err(fault.clone()))),
            None => {
                if !writer.write(group) {
                    return;
                }
            }
        }
    }
    writer.finish();
}
