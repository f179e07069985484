//! Commands that wait for the writer: bounded, and taken in groups, because a commit costs about the same for one command as
//! for a hundred. A publisher waits for the answer to an append, so it goes immediately, unless the last groups show that
//! others are about to come; nobody waits for a settled attempt to be on disk, so it waits for a batching window.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::writer::Command;

/// Commands that wait: beyond it, publishers wait, which is the back-pressure that HTTP understands.
pub(super) const COMMANDS_MAX: usize = 8192;

/// Commands in one commit: some 10 ms of work, so that nobody waits long behind a burst.
const GROUP_MAX: usize = 1024;

/// Batching window of settled attempts. A crash within it repeats the attempt, so no longer than it pays: at
/// 10,000 attempts a second this makes groups of 20, and the cost of the commit all but disappears.
const SETTLE_WAIT: Duration = Duration::from_millis(2);

/// Settled attempts that make a commit worth its cost.
const SETTLES_ENOUGH: usize = 128;

/// Batching window of appends: how long one waits for as many others as came with the last one. Only under load (see [`BUSY`]): then the
/// answer comes sooner for everybody, since the cores have fewer commits to pay for.
const APPEND_WAIT: Duration = Duration::from_millis(1);

/// Appends in the last group from which on the store is busy: more than 4,000 a second on a disk that takes 1 ms.
const BUSY: usize = 4;

/// Appends that make a commit worth its cost.
const APPENDS_ENOUGH: usize = 64;

#[derive(Default)]
struct Waiting {
    /// Somebody waits for these.
    urgent: Vec<Command>,
    urgent_since: Option<Instant>,
    /// Among `urgent` is one that has no batching window.
    at_once: bool,
    settles: Vec<Command>,
    settles_since: Option<Instant>,
    /// What the writer sleeps for, while it does.
    sleeps: Option<Sleep>,
    /// The writer is gone, or about to go: nothing more is taken in.
    closed: bool,
    /// Nobody is left to send anything.
    abandoned: bool,
}

#[derive(Debug, Clone, Copy)]
enum Sleep {
    /// Anything wakes it.
    Idle,
    /// A number of urgent commands, or enough settled attempts.
    Until { urgent: usize },
}

struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    permits: Semaphore,
}

/// The callers' side; when it is dropped the writer ends.
pub(super) struct Sender(Arc<Inbox>);

/// The writer's side; when it is dropped nothing more is taken in, and callers get an error.
pub(super) struct Receiver {
    inbox: Arc<Inbox>,
    /// Appends in the group that was taken last.
    last_appends: usize,
}

/// The writer is gone.
#[derive(Debug)]
pub(super) struct Closed;

pub(super) fn new() -> (Sender, Receiver) {
    let inbox = Arc::new(Inbox { waiting: Mutex::default(), changed: Condvar::new(), permits: Semaphore::new(COMMANDS_MAX) });
    (Sender(Arc::clone(&inbox)), Receiver { inbox, last_appends: 0 })
}

impl Inbox {
    /// Nothing in these sections can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Waits for a permit. Cancel-safe: a command is in or it is not.
    pub(super) async fn send(&self, command: Command) -> Result<(), Closed> {
        let permit = self.0.permits.acquire().await.map_err(|_| Closed)?;
        let mut waiting = self.0.lock();
        if waiting.closed {
            return Err(Closed);
        }
        // Given back when the writer takes the command.
        permit.forget();
        if waiting.put(command) {
            waiting.sleeps = None;
            drop(waiting);
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().abandoned = true;
        self.0.changed.notify_one();
    }
}

impl Waiting {
    /// Answers whether the writer has to be woken.
    fn put(&mut self, command: Command) -> bool {
        match command {
            Command::Settle(_) => {
                self.settles_since.get_or_insert_with(Instant::now);
                self.settles.push(command);
            }
            Command::Append(_) => {
                self.urgent_since.get_or_insert_with(Instant::now);
                self.urgent.push(command);
            }
            other => {
                self.at_once = true;
                self.urgent.push(other);
            }
        }
        match self.sleeps {
            None => false,
            Some(Sleep::Idle) => true,
            Some(Sleep::Until { urgent }) => self.at_once || self.urgent.len() >= urgent || self.settles.len() >= SETTLES_ENOUGH,
        }
    }

    /// How much longer to wait before a group is taken, and for what; `None`: now.
    fn linger(&self, min_batch: usize) -> Option<(Duration, Sleep)> {
        if self.at_once || self.settles.len() >= SETTLES_ENOUGH || self.urgent.len() >= min_batch {
            return None;
        }
        let left = |since: Option<Instant>, wait: Duration| wait.saturating_sub(since.map_or(wait, |since| since.elapsed()));
        let (left, sleep) = match (self.urgent.is_empty(), self.settles.is_empty()) {
            (true, true) => return Some((Duration::MAX, Sleep::Idle)),
            (true, false) => (left(self.settles_since, SETTLE_WAIT), Sleep::Until { urgent: 1 }),
            (false, _) => (left(self.urgent_since, APPEND_WAIT), Sleep::Until { urgent: min_batch }),
        };
        (!left.is_zero()).then_some((left, sleep))
    }

    /// Settled attempts first: they make room for others.
    fn take(&mut self) -> Vec<Command> {
        let settles = self.settles.len().min(GROUP_MAX);
        let urgent = self.urgent.len().min(GROUP_MAX.saturating_sub(settles).max(GROUP_MAX / 2));
        let mut group: Vec<Command> = Vec::with_capacity(settles + urgent);
        group.extend(self.settles.drain(..settles));
        group.extend(self.urgent.drain(..urgent));
        if self.settles.is_empty() {
            self.settles_since = None;
        }
        if self.urgent.is_empty() {
            self.urgent_since = None;
            self.at_once = false;
        }
        group
    }
}

impl Receiver {
    /// The next group, in which every command is of use to the others; `None` when no more can come.
    pub(super) fn take(&mut self) -> Option<Vec<Command>> {
        let min_batch = if self.last_appends < BUSY { 1 } else { self.last_appends.min(APPENDS_ENOUGH) };
        let mut waiting = self.inbox.lock();
        while !waiting.closed
            && !waiting.abandoned
            && let Some((left, sleep)) = waiting.linger(min_batch)
        {
            waiting.sleeps = Some(sleep);
            waiting = if left == Duration::MAX {
                self.inbox.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.inbox.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        waiting.sleeps = None;
        let group = waiting.take();
        drop(waiting);
        self.inbox.permits.add_permits(group.len());
        self.last_appends = group.iter().filter(|command| matches!(command, Command::Append(_))).count();
        (!group.is_empty()).then_some(group)
    }

    /// Nothing more comes in; what is in can still be taken.
    pub(super) fn close(&self) {
        self.inbox.lock().closed = true;
        self.inbox.permits.close();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
        let mut waiting = self.inbox.lock();
        let left = (mem::take(&mut waiting.urgent), mem::take(&mut waiting.settles));
        // Dropping a command may run code that wants the lock.
        drop(waiting);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, Settlement, Timestamp, WebhookKey};
    use crate::store::Settle;
    use crate::store::embedded::command::Call;
    use crate::store::embedded::settle::EncodedSettle;

    fn append() -> Command {
        Command::Append(Call::new(Vec::new()).0)
    }

    fn probe() -> Command {
        Command::Probe(Call::new(()).0)
    }

    fn settle() -> Command {
        let delivery = DeliveryId { created: Timestamp::default(), number: 1 };
        let settle = Settle::untried(delivery, WebhookKey(1), Settlement::Succeed);
        Command::Settle(Call::new(Box::new(EncodedSettle::new(Arc::new(settle)))).0)
    }

    fn waiting(commands: impl IntoIterator<Item = Command>) -> Waiting {
        let mut waiting = Waiting::default();
        commands.into_iter().for_each(|command| {
            waiting.put(command);
        });
        waiting
    }

    #[test]
    fn an_append_goes_immediately_unless_others_came_with_the_last() {
        assert!(waiting([append()]).linger(1).is_none());
        let (left, sleep) = waiting([append()]).linger(8).unwrap();
        assert!(left <= APPEND_WAIT && matches!(sleep, Sleep::Until { urgent: 8 }));
        assert!(waiting((0..8).map(|_| append())).linger(8).is_none());
        assert!(waiting([append(), probe()]).linger(8).is_none(), "other commands have no batching window");
    }

    #[test]
    fn a_settled_attempt_waits_for_its_batching_window_at_most() {
        let mut alone = waiting([settle()]);
        let (left, sleep) = alone.linger(1).unwrap();
        assert!(left <= SETTLE_WAIT && matches!(sleep, Sleep::Until { urgent: 1 }));
        alone.settles_since = Instant::now().checked_sub(SETTLE_WAIT);
        assert!(alone.linger(1).is_none());
        assert!(waiting((0..SETTLES_ENOUGH).map(|_| settle())).linger(1).is_none());
        assert!(waiting([settle(), append()]).linger(1).is_none(), "an append takes it along");
    }

    #[test]
    fn nobody_is_passed_over_when_more_waits_than_a_commit_takes() {
        let mut waiting = waiting((0..2 * GROUP_MAX).map(|_| settle()).chain((0..GROUP_MAX).map(|_| append())));
        let group = waiting.take();
        let appends = group.iter().filter(|command| matches!(command, Command::Append(_))).count();
        assert_eq!((group.len() - appends, appends), (GROUP_MAX, GROUP_MAX / 2));
        assert!(waiting.linger(1).is_none());
    }

    #[tokio::test]
    async fn the_writer_sleeps_until_a_command_comes_and_ends_with_the_last_sender() {
        let (sender, mut receiver) = new();
        let writer = std::thread::spawn(move || {
            let groups: Vec<usize> = std::iter::from_fn(|| receiver.take().map(|group| group.len())).collect();
            groups.iter().sum::<usize>()
        });
        for _ in 0..3 {
            sender.send(append()).await.unwrap();
            sender.send(settle()).await.unwrap();
        }
        drop(sender);
        assert_eq!(writer.join().unwrap(), 6);
    }

    #[tokio::test]
    async fn a_closed_inbox_takes_nothing_in_and_gives_out_what_it_has() {
        let (sender, mut receiver) = new();
        sender.send(append()).await.unwrap();
        receiver.close();
        assert!(sender.send(append()).await.is_err());
        assert_eq!(receiver.take().map(|group| group.len()), Some(1));
        assert!(receiver.take().is_none());
    }

    #[tokio::test]
    async fn a_caller_that_waits_gets_an_error_when_the_writer_is_gone() {
        let (sender, receiver) = new();
        let (call, answer) = Call::new(());
        sender.send(Command::Probe(call)).await.unwrap();
        drop(receiver);
        assert!(answer.await.is_err());
    }
}
