//! Commands of the writer, each with the type of its answer.

use std::time::Duration;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::idempotency;
use super::prune::{PruneAt, PruneStep};
use super::settle::EncodedSettle;
use super::work::Work;
use super::writer::Writer;
use crate::model::{DeliveryId, DeliveryState, StorageKeys, Timestamp, WebhookId, WebhookKey};
use crate::store::{Accepted, IdempotencyState, NewEvent, Settled, StatusChange, StoreError, StoredSecret, Sweep};

pub(super) type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

/// What a command is given, what it came to, and who waits for that.
pub(super) struct Call<I, O> {
    input: I,
    /// Until the commit: an answer is given only after it.
    output: Option<O>,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

impl<I, O> Call<I, O> {
    pub(super) fn new(input: I) -> (Self, Answer<O>) {
        let (reply, answer) = oneshot::channel();
        (Self { input, output: None, reply }, answer)
    }

    /// Runs again when the group that it came with broke.
    fn run(&mut self, work: impl FnOnce(&I) -> Result<O, rusqlite::Error>) -> Result<(), rusqlite::Error> {
        self.output = Some(work(&self.input)?);
        Ok(())
    }

    fn answer(self, committed: Result<(), StoreError>) {
        let not_run = || StoreError::Unavailable { reason: "a command of the store was not run".to_owned() };
        let result = committed.and_then(|()| self.output.ok_or_else(not_run));
        // The caller may be gone; the work is durable all the same.
        let _ = self.reply.send(result);
    }
}

pub(super) struct Rotation {
    pub(super) webhook: WebhookKey,
    pub(super) text: Zeroizing<String>,
    pub(super) overlap: Duration,
}

pub(super) struct Prune {
    pub(super) at: PruneAt,
    pub(super) events_before: Timestamp,
    pub(super) failed_before: Timestamp,
}

/// Makes the text of a secret.
type MakeSecret = fn() -> String;

pub(super) enum Command {
    Append(Call<Vec<NewEvent>, Vec<Accepted>>),
    Settle(Call<Box<EncodedSettle>, Settled>),
    Intern(Call<Vec<WebhookId>, Vec<WebhookKey>>),
    Sweep(Call<(WebhookKey, Sweep), u64>),
    CloseDueBatch(Call<(WebhookKey, Timestamp), ()>),
    /// Whether its payload is built again.
    Retry(Call<(DeliveryId, bool), Option<DeliveryState>>),
    Cancel(Call<DeliveryId, Option<DeliveryState>>),
    /// What makes a secret where there is none.
    Secrets(Call<Vec<(WebhookKey, MakeSecret)>, Vec<Vec<StoredSecret>>>),
    RotateSecret(Call<Rotation, Vec<StoredSecret>>),
    Rekey(Call<StorageKeys, u64>),
    Prune(Call<Prune, PruneStep>),
    SaveStatus(Call<Vec<(WebhookKey, StatusChange)>, ()>),
    Idempotency(Call<idempotency::Step, IdempotencyState>),
    Probe(Call<(), ()>),
    /// Rare ones, in the commit of their group like all others.
    Work(Work),
    Close(Call<(), ()>),
}

impl Command {
    pub(super) fn run(&mut self, writer: &mut Writer) -> Result<(), rusqlite::Error> {
        match self {
            Self::Append(call) => call.run(|events| writer.append(events)),
            Self::Settle(call) => call.run(|settle| writer.settle(settle)),
            Self::Intern(call) => call.run(|ids| writer.intern(ids)),
            Self::Sweep(call) => call.run(|(webhook, sweep)| writer.sweep(*webhook, *sweep)),
            Self::CloseDueBatch(call) => call.run(|(webhook, now)| {
                writer.close_due_batch(*webhook, *now);
                Ok(())
            }),
            Self::Retry(call) => call.run(|(delivery, retransform)| writer.retry(*delivery, *retransform)),
            Self::Cancel(call) => call.run(|delivery| writer.cancel(*delivery)),
            Self::Secrets(call) => {
                call.run(|webhooks| webhooks.iter().map(|(webhook, make)| writer.secrets(*webhook, *make)).collect())
            }
            Self::RotateSecret(call) => call.run(|new| writer.rotate_secret(new.webhook, &new.text, new.overlap)),
            Self::Rekey(call) => call.run(|keys| writer.rekey(keys)),
            Self::Prune(call) => call.run(|prune| writer.prune(prune.at, prune.events_before, prune.failed_before)),
            Self::SaveStatus(call) => call.run(|changes| writer.save_status(changes)),
            Self::Idempotency(call) => call.run(|step| writer.idempotency_step(step)),
            // An update, so that a commit really writes.
            Self::Probe(call) => call.run(|()| writer.save_meta("probe", writer.clock.now().as_millis())),
            Self::Work(work) => (work.run)(writer),
            Self::Close(call) => call.run(|()| Ok(())),
        }
    }

    /// After the commit, or instead of it.
    pub(super) fn answer(self, committed: Result<(), StoreError>) {
        match self {
            Self::Append(call) => call.answer(committed),
            Self::Settle(call) => call.answer(committed),
            Self::Intern(call) => call.answer(committed),
            Self::Sweep(call) => call.answer(committed),
            Self::CloseDueBatch(call) => call.answer(committed),
            Self::Retry(call) => call.answer(committed),
            Self::Cancel(call) => call.answer(committed),
            Self::Secrets(call) => call.answer(committed),
            Self::RotateSecret(call) => call.answer(committed),
            Self::Rekey(call) => call.answer(committed),
            Self::Prune(call) => call.answer(committed),
            Self::SaveStatus(call) => call.answer(committed),
            Self::Idempotency(call) => call.answer(committed),
            Self::Work(work) => (work.answer)(committed),
            Self::Probe(call) | Self::Close(call) => call.answer(committed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_not_run_is_an_error_and_no_empty_answer() {
        let (call, mut answer) = Call::new(Vec::new());
        Command::Append(call).answer(Ok(()));
        assert!(matches!(answer.try_recv(), Ok(Err(StoreError::Unavailable { .. }))));
    }
}
