//! `/v1/jobs`: replays and erasures, how far they are, and how to end them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use crate::http::middleware::auth::{Caller, MayManageOwn, MayReadOwn};
use crate::http::problem::{Kind, Problem};
use crate::http::query::{Query, show_cursor};
use crate::http::routes::v1::webhooks;
use crate::http::shapes::List;
use crate::http::{PathId, Shared};
use crate::store::{Job, JobSpec, JobState};

pub(crate) async fn list(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Json<List<Value>>, Problem> {
    let mut query = Query::read(&uri, &["state", "limit", "cursor"]);
    let state = query.take("state", |text| {
        JobState::from_name(text).ok_or_else(|| format!("is one of {}", JobState::ALL.map(JobState::name).join(", ")))
    });
    let window = query.window();
    query.finish()?;
    let page = shared.api.store.jobs(state, window.after, window.limit).await?;
    let data = page.rows.iter().filter(|job| is_visible(&caller, job)).map(shape).collect();
    Ok(Json(List { data, next: page.next.map(show_cursor) }))
}

pub(crate) async fn show(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let job = shared.api.store.job(number(&id)?).await?;
    let job = job.filter(|job| is_visible(&caller, job)).ok_or_else(|| not_found(&id))?;
    Ok(Json(shape(&job)))
}

/// What it has done stays done.
pub(crate) async fn cancel(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let known = shared.api.store.job(number(&id)?).await?;
    known.filter(|job| is_visible(&caller, job)).ok_or_else(|| not_found(&id))?;
    let reason = Some("cancelled manually".to_owned());
    let job = shared.api.store.end_job(number(&id)?, JobState::Cancelled, reason).await?.ok_or_else(|| not_found(&id))?;
    if job.state != JobState::Cancelled {
        let detail = format!("the job has ended already, it {}: there is nothing left to cancel", job.state.name());
        return Err(Problem::new(Kind::Conflict, detail).with("state", job.state.name()));
    }
    Ok(Json(shape(&job)))
}

/// A tenant's token sees the replays of its own webhooks.
fn is_visible(caller: &Caller, job: &Job) -> bool {
    match &job.spec {
        JobSpec::Replay { webhook, .. } => caller.tenant.is_none() || webhooks::find(caller, webhook).is_ok(),
        JobSpec::Erase { .. } => caller.tenant.is_none(),
    }
}

/// 202: it is in the store, and goes on after a restart.
pub(crate) fn accepted(job: &Job) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(shape(job))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/job_{}", job.number)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn number(id: &str) -> Result<i64, Problem> {
    id.strip_prefix("job_").and_then(|number| number.parse().ok()).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Problem {
    Problem::not_found("job", id)
}

pub(crate) fn shape(job: &Job) -> Value {
    let mut shape = match &job.spec {
        JobSpec::Replay { webhook, since, until, states, event_types, retransform } => json!({
            "kind": "replay", "webhook": webhook, "since": since, "until": until, "states": states,
            "event_types": event_types, "retransform": retransform,
        }),
        JobSpec::Erase { subject, until } => json!({"kind": "erase", "subject": subject, "until": until}),
    };
    shape["id"] = format!("job_{}", job.number).into();
    shape["state"] = job.state.name().into();
    shape["reason"] = json!(job.reason);
    shape["created_by"] = job.by.as_str().into();
    shape["created_at"] = json!(job.created);
    shape["updated_at"] = json!(job.updated);
    shape["ended_at"] = json!(job.ended);
    shape["progress"] = json!({"done": job.done, "total": job.total});
    shape
}
