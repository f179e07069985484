//! What the writer can be asked for, and what it answers.

use std::time::Duration;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::idempotency;
use super::prune::{PruneAt, PruneStep};
use super::settle::EncodedSettle;
use super::work::Work;
use crate::model::{DeliveryId, DeliveryState, StorageKeys, Timestamp, WebhookId, WebhookKey};
use crate::store::{Accepted, Begun, KeptSecret, NewEvent, Settled, StandingChange, StoreError, Sweep};

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer can be asked for.
pub(super) enum Command {
    Append {
        events: Vec<NewEvent>,
        reply: Reply<Vec<Accepted>>,
    },
    Settle {
        settle: Box<EncodedSettle>,
        reply: Reply<Settled>,
    },
    Intern {
        ids: Vec<WebhookId>,
        reply: Reply<Vec<WebhookKey>>,
    },
    Sweep {
        webhook: WebhookKey,
        sweep: Sweep,
        reply: Reply<u64>,
    },
    Seal {
        webhook: WebhookKey,
        now: Timestamp,
        reply: Reply<()>,
    },
    Retry {
        delivery: DeliveryId,
        retransform: bool,
        reply: Reply<Option<DeliveryState>>,
    },
    Cancel {
        delivery: DeliveryId,
        reply: Reply<Option<DeliveryState>>,
    },
    Secrets {
        webhooks: Vec<(WebhookKey, fn() -> String)>,
        reply: Reply<Vec<Vec<KeptSecret>>>,
    },
    RotateSecret {
        webhook: WebhookKey,
        text: Zeroizing<String>,
        overlap: Duration,
        reply: Reply<Vec<KeptSecret>>,
    },
    Rekey {
        keys: StorageKeys,
        reply: Reply<u64>,
    },
    Prune {
        at: PruneAt,
        events_before: Timestamp,
        failed_before: Timestamp,
        reply: Reply<PruneStep>,
    },
    Stand {
        changes: Vec<(WebhookKey, StandingChange)>,
        reply: Reply<()>,
    },
    Once {
        step: idempotency::Step,
        reply: Reply<Begun>,
    },
    Probe {
        reply: Reply<()>,
    },
    /// What is asked for seldom, in the commit of its group like everything else.
    Work(Work),
    Close {
        reply: Reply<()>,
    },
}

/// What a command came to, until the commit.
pub(super) enum Done {
    Append(Vec<Accepted>),
    Keys(Vec<WebhookKey>),
    Count(u64),
    State(Option<DeliveryState>),
    Secrets(Vec<Vec<KeptSecret>>),
    Pruned(PruneStep),
    Begun(Begun),
    Settled(Settled),
    Nothing,
}

impl Command {
    /// Whoever asked learns what it came to.
    pub(super) fn answer(self, result: Result<Done, StoreError>) {
        /// Whoever asked may have gone meanwhile; the work is durable all the same.
        fn send<T>(reply: Reply<T>, result: Result<T, StoreError>) {
            let _ = reply.send(result);
        }
        match (self, result) {
            (Self::Append { reply, .. }, Ok(Done::Append(accepted))) => send(reply, Ok(accepted)),
            (Self::Append { reply, .. }, result) => send(reply, result.map(|_| Vec::new())),
            (Self::Intern { reply, .. }, Ok(Done::Keys(keys))) => send(reply, Ok(keys)),
            (Self::Intern { reply, .. }, result) => send(reply, result.map(|_| Vec::new())),
            (Self::Sweep { reply, .. } | Self::Rekey { reply, .. }, Ok(Done::Count(count))) => send(reply, Ok(count)),
            (Self::Sweep { reply, .. } | Self::Rekey { reply, .. }, result) => send(reply, result.map(|_| 0)),
            (Self::Retry { reply, .. } | Self::Cancel { reply, .. }, Ok(Done::State(state))) => send(reply, Ok(state)),
            (Self::Retry { reply, .. } | Self::Cancel { reply, .. }, result) => send(reply, result.map(|_| None)),
            (Self::Secrets { reply, .. }, Ok(Done::Secrets(secrets))) => send(reply, Ok(secrets)),
            (Self::Secrets { reply, .. }, result) => send(reply, result.map(|_| Vec::new())),
            (Self::RotateSecret { reply, .. }, Ok(Done::Secrets(secrets))) => {
                send(reply, Ok(secrets.into_iter().next().unwrap_or_default()));
            }
            (Self::RotateSecret { reply, .. }, result) => send(reply, result.map(|_| Vec::new())),
            (Self::Work(work), result) => (work.answer)(result.map(|_| ())),
            (Self::Prune { reply, .. }, Ok(Done::Pruned(step))) => send(reply, Ok(step)),
            (Self::Prune { reply, .. }, result) => send(reply, result.map(|_| PruneStep::default())),
            (Self::Once { reply, .. }, Ok(Done::Begun(begun))) => send(reply, Ok(begun)),
            (Self::Once { reply, .. }, result) => send(reply, result.map(|_| Begun::UnderWay)),
            (Self::Settle { reply, .. }, Ok(Done::Settled(settled))) => send(reply, Ok(settled)),
            (Self::Settle { reply, .. }, result) => send(reply, result.map(|_| Settled::default())),
            (Self::Seal { reply, .. } | Self::Stand { reply, .. } | Self::Probe { reply } | Self::Close { reply }, result) => {
                send(reply, result.map(|_| ()))
            }
        }
    }
}
