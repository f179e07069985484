//! `POST /v1/webhooks/{id}/replay`: deliveries that ended are due again, as a job; or a preview of them.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;
use tokio::time::Instant;

use crate::http::fields::{self, Fields};
use crate::http::middleware::auth::MayManageOwn;
use crate::http::problem::Problem;
use crate::http::routes::v1::{jobs, webhooks};
use crate::http::shapes::DeliveryShape;
use crate::http::{PathId, Shared};
use crate::jobs::{Matcher, replay_page};
use crate::model::{DeliveryState, WebhookId};
use crate::routing::Pattern;
use crate::store::{DeliveryRecord, JobSpec, Store, StoreError};

const FIELDS: [&str; 6] = ["since", "until", "state", "event_types", "dry_run", "retransform"];

/// For counting what a replay is about; a million deliveries take longer than a client waits.
pub(crate) const COUNT_TIME_MAX: Duration = Duration::from_secs(2);

/// Deliveries shown of a preview.
const SAMPLE: usize = 10;

/// Asked of the store at once.
const ROWS: usize = 250;

pub(crate) async fn replay(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let settings = &webhooks::find(&caller, &id)?.settings;
    let (webhook, tenant) = (settings.id.clone(), settings.tenant.clone());
    let mut fields = Fields::new(fields::object(&shared, &headers, body).await?, &FIELDS);
    let dry_run = fields.boolean("dry_run");
    let spec = spec(&shared, &webhook, &mut fields);
    fields.finish()?;
    let Some((spec, matcher)) = spec.and_then(|spec| Matcher::new(&spec, tenant).map(|matcher| (spec, matcher))) else {
        return Err(Problem::new(crate::http::problem::Kind::Invalid, "the replay cannot be read"));
    };
    let preview = count(&shared.api.store, &webhook, &matcher).await?;
    if dry_run {
        let sample: Vec<DeliveryShape> = preview.sample.iter().map(DeliveryShape::of).collect();
        let body = json!({"dry_run": true, "matching": preview.matching, "complete": preview.complete, "sample": sample});
        return Ok(Json(body).into_response());
    }
    let total = preview.complete.then_some(preview.matching);
    let job = shared.api.store.create_job(spec, caller.token.to_string(), total).await?;
    shared.api.jobs.notify_one();
    Ok(jobs::accepted(&job))
}

fn spec(shared: &Shared, webhook: &WebhookId, fields: &mut Fields) -> Option<JobSpec> {
    let since = fields.time("since");
    let now = shared.api.clock.now();
    let until = fields.time("until").unwrap_or(now).min(now);
    if since.is_none() {
        fields.refuse("since", "`since` is missing: from when on, such as 2026-01-28T10:30:45Z");
    }
    let mut states = Vec::new();
    for name in fields.texts("state") {
        match DeliveryState::from_name(&name) {
            Some(state) if !state.is_open() => states.push(state),
            Some(state) => fields.refuse("state", format!("what is {} is on its way already", state.name())),
            None => fields.refuse("state", "`state` is succeeded, failed, cancelled or dropped, or a list of these"),
        }
    }
    let event_types = fields.texts("event_types");
    for text in &event_types {
        if let Err(error) = Pattern::parse(text) {
            fields.refuse("event_types", error.to_string());
        }
    }
    let retransform = fields.boolean("retransform");
    if since.is_some_and(|since| since > until) {
        fields.refuse("until", "`until` is before `since`");
    }
    Some(JobSpec::Replay { webhook: webhook.to_string(), since: since?, until, states, event_types, retransform })
}

struct Preview {
    matching: u64,
    /// Whether all could be counted in time.
    complete: bool,
    sample: Vec<DeliveryRecord>,
}

async fn count(store: &Store, webhook: &WebhookId, matcher: &Matcher) -> Result<Preview, StoreError> {
    let deadline = Instant::now() + COUNT_TIME_MAX;
    let mut preview = Preview { matching: 0, complete: true, sample: Vec::new() };
    let mut after = None;
    loop {
        let (rows, next) = replay_page(store, webhook, matcher, after, ROWS).await?;
        preview.matching += rows.len() as u64;
        preview.sample.extend(rows.into_iter().take(SAMPLE - preview.sample.len()));
        match next {
            None => return Ok(preview),
            Some(_) if Instant::now() >= deadline => return Ok(Preview { complete: false, ..preview }),
            next => after = next,
        }
    }
}
