//! Long work over what is stored: replays and erasures. Each step is one small commit with the position that it leads
//! to, so that a job resumes where it was after a crash; between steps other writes have room. What concerns more than the
//! store (the webhooks of an erased tenant) is requested from the configuration's owner before the first step, and again
//! when a crash comes in between. Refuses to know of HTTP: a job is a row in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::control::{Change, ChangeError, Control, Effect};
use crate::model::{DeliveryState, Timestamp, WebhookId};
use crate::routing::Pattern;
use crate::snapshot::Live;
use crate::store::{
    ApiWebhook, AuditEntry, Cursor, DeliveryFilter, DeliveryRecord, Job, JobSpec, JobState, JobStep, Store, StoreError, Subject,
};

/// Deliveries made due, or events erased, in one commit: some 10 ms.
const STEP_ROWS: usize = 100;

/// A replay waits while this many of its webhook's deliveries are due: live events wait behind no more than these and one
/// step.
const DUE_MAX: usize = 50;

/// Between two rounds of steps.
const PAUSE: Duration = Duration::from_millis(20);

/// After a round that could only wait for deliveries to be made.
const WAIT: Duration = Duration::from_millis(100);

/// After an error of the store: for the job that it concerns, or for all when their list cannot be read.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Jobs that take a step in one round; with more of them running, the next round goes on with those after them.
const AT_ONCE: usize = 16;

pub struct Worker {
    store: Store,
    live: Arc<Live>,
    clock: Clock,
    control: Control,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Round {
    #[default]
    Idle,
    Waited,
    Worked,
}

/// Where the round over the running jobs is.
#[derive(Default)]
struct Progress {
    /// Those after this one; `None`: from the newest on.
    after: Option<Cursor>,
    /// What came of it since it began with the newest.
    round: Round,
    /// Jobs that failed, and when they are tried again.
    failed: HashMap<i64, Instant>,
}

impl Worker {
    pub fn new(store: Store, live: Arc<Live>, clock: Clock, control: Control) -> Self {
        Self { store, live, clock, control }
    }

    /// Does the jobs of the store until `shutdown`; `added` is notified when there is a new one.
    pub async fn run(self, added: Arc<Notify>, shutdown: CancellationToken) {
        let mut progress = Progress::default();
        loop {
            let pause = match self.round(&mut progress).await {
                Ok(Round::Idle) => None,
                Ok(Round::Worked) => Some(PAUSE),
                Ok(Round::Waited) => Some(WAIT),
                Err(error) => {
                    tracing::warn!(%error, "jobs cannot be read, retrying");
                    Some(STORE_PAUSE)
                }
            };
            let sleep = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => added.notified().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep => {}
            }
        }
    }

    /// A step of some of the running jobs, each in its turn: neither those that wait nor one that fails delay the others.
    async fn round(&self, progress: &mut Progress) -> Result<Round, StoreError> {
        let page = self.store.jobs(Some(JobState::Running), progress.after, AT_ONCE).await?;
        progress.after = page.next;
        for job in &page.rows {
            progress.round = progress.round.max(self.turn(job, &mut progress.failed).await);
        }
        if page.next.is_some() {
            return Ok(Round::Worked);
        }
        if progress.round == Round::Idle {
            progress.failed.clear();
        }
        Ok(std::mem::take(&mut progress.round))
    }

    /// What fails a job's step concerns that job: it is logged once, and retried until it goes on.
    async fn turn(&self, job: &Job, failed: &mut HashMap<i64, Instant>) -> Round {
        if failed.get(&job.number).is_some_and(|until| Instant::now() < *until) {
            return Round::Waited;
        }
        match self.step(job).await {
            Ok(round) => {
                failed.remove(&job.number);
                round
            }
            Err(error) => {
                let is_logged = failed.insert(job.number, Instant::now() + STORE_PAUSE).is_some();
                if is_logged {
                    tracing::debug!(job = job.number, %error, "job failed again, retrying");
                } else {
                    tracing::warn!(job = job.number, %error, "job failed, retrying");
                }
                Round::Waited
            }
        }
    }

    async fn step(&self, job: &Job) -> Result<Round, StoreError> {
        let (step, ended) = match &job.spec {
            JobSpec::Replay { webhook, retransform, .. } => {
                let snapshot = self.live.snapshot();
                let found = WebhookId::parse(webhook).ok().and_then(|id| snapshot.webhook(&id));
                let Some(found) = found else {
                    return self.end(job, JobState::Failed, Some("the webhook was removed".to_owned())).await;
                };
                let (id, tenant) = (found.settings.id.clone(), found.settings.tenant.clone());
                if self.store.due_count(found.key, DUE_MAX).await? >= DUE_MAX {
                    return Ok(Round::Waited);
                }
                let Some(matcher) = Matcher::new(&job.spec, tenant) else {
                    return self.end(job, JobState::Failed, Some("its event types cannot be read".to_owned())).await;
                };
                let (rows, next) = replay_page(&self.store, &id, &matcher, job.position, STEP_ROWS).await?;
                let requeue = rows.into_iter().map(|record| record.id).collect();
                (JobStep { requeue, retransform: *retransform, position: next, ..JobStep::default() }, next.is_none())
            }
            JobSpec::Erase { subject, until } => {
                if let (Subject::Tenant(tenant), None) = (subject, job.position)
                    && !self.forget_webhooks(job, tenant, *until).await?
                {
                    return Ok(Round::Waited);
                }
                let page = self.store.erasable(subject.clone(), *until, job.position, STEP_ROWS).await?;
                (JobStep { erase: page.rows, position: page.next, ..JobStep::default() }, page.next.is_none())
            }
        };
        if self.store.advance_job(job.number, step).await?.is_none() {
            return Ok(Round::Worked);
        }
        if ended { self.end(job, JobState::Succeeded, None).await } else { Ok(Round::Worked) }
    }

    /// Removes the webhooks that were made over the API for a tenant, with their secrets; each leaves its line in the
    /// audit log. Before the events: so that they get no more deliveries. `false`: not now.
    async fn forget_webhooks(&self, job: &Job, tenant: &str, until: Timestamp) -> Result<bool, StoreError> {
        for webhook in webhooks_of(&self.store, tenant, until).await? {
            let change = Change::Delete { id: webhook.id.clone() };
            match self.control.change(change, Effect::Live, Some(tenant.into())).await {
                Ok(_) => self.store.audit(self.removed(job, tenant, &webhook)).await?,
                // An operator was faster.
                Err(ChangeError::Unknown) => {}
                Err(ChangeError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(job = job.number, webhook = %webhook.id, %error, "webhook cannot be erased yet, retrying");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn removed(&self, job: &Job, tenant: &str, webhook: &ApiWebhook) -> AuditEntry {
        AuditEntry {
            at: self.clock.now(),
            token: job.by.clone(),
            peer: None,
            request_id: format!("job_{}", job.number),
            method: "DELETE".to_owned(),
            path: format!("/v1/webhooks/{}", webhook.id),
            action: "DELETE /v1/webhooks/{id}".to_owned(),
            status: 204,
            detail: Some(format!("by the erasure of the tenant `{tenant}`")),
        }
    }

    async fn end(&self, job: &Job, state: JobState, reason: Option<String>) -> Result<Round, StoreError> {
        let ended = self.store.end_job(job.number, state, reason).await?;
        let done = ended.map_or(job.done, |job| job.done);
        let took = job.created.until(self.clock.now());
        tracing::info!(job = job.number, state = state.name(), done, ?took, "job ended");
        Ok(Round::Worked)
    }
}

/// The webhooks of a tenant that were made over the API until then: an erasure removes them.
///
/// # Errors
/// The store's.
pub async fn webhooks_of(store: &Store, tenant: &str, until: Timestamp) -> Result<Vec<ApiWebhook>, StoreError> {
    let all = store.api_webhooks().await?;
    Ok(all.into_iter().filter(|webhook| webhook.tenant() == Some(tenant) && webhook.created <= until).collect())
}

/// Which deliveries a replay is about.
pub struct Matcher {
    /// Whose webhook it is: one of the same id may have been another tenant's, and what it was sent stays that one's.
    tenant: Option<Arc<str>>,
    since: Timestamp,
    until: Timestamp,
    states: Vec<DeliveryState>,
    patterns: Vec<Pattern>,
}

impl Matcher {
    /// `None` for another kind of job, or for patterns that are none.
    pub fn new(spec: &JobSpec, tenant: Option<Arc<str>>) -> Option<Self> {
        let JobSpec::Replay { since, until, states, event_types, .. } = spec else { return None };
        let patterns = event_types.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>().ok()?;
        Some(Self { tenant, since: *since, until: *until, states: states.clone(), patterns })
    }

    fn filter(&self, webhook: &WebhookId) -> DeliveryFilter {
        // With one state the store has an index for it.
        let state = if let [state] = self.states[..] { Some(state) } else { None };
        DeliveryFilter {
            webhook: Some(webhook.clone()),
            state,
            since: Some(self.since),
            until: Some(self.until),
            ..DeliveryFilter::default()
        }
    }

    fn takes(&self, record: &DeliveryRecord) -> bool {
        !record.state.is_open()
            && record.tenant == self.tenant
            && (self.states.is_empty() || self.states.contains(&record.state))
            && (self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(&record.event_type)))
    }
}

/// Up to `rows` deliveries for a replay, newest first, and where to go on; `None` at the end.
pub async fn replay_page(
    store: &Store,
    webhook: &WebhookId,
    matcher: &Matcher,
    after: Option<Cursor>,
    rows: usize,
) -> Result<(Vec<DeliveryRecord>, Option<Cursor>), StoreError> {
    let page = store.deliveries(matcher.filter(webhook), after, rows).await?;
    let taken = page.rows.into_iter().filter(|record| matcher.takes(record)).collect();
    Ok((taken, page.next))
}
