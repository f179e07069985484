//! `POST /v1/erase`: the events of a tenant, or those with a value in their metadata, are removed with everything that
//! was made of them, as a job; of a tenant also the webhooks that were made for it over the API, with their secrets. What
//! comes after it was asked for stays.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::Shared;
use crate::http::fields::{self, Fields};
use crate::http::middleware::auth::MayManage;
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::jobs;
use crate::http::routes::v1::webhooks::replay::COUNT_TIME_MAX;
use crate::jobs::webhooks_of;
use crate::model::Timestamp;
use crate::store::{JobSpec, Store, StoreError, Subject};

/// Asked of the store at once.
const ROWS: usize = 1000;

const FIELDS: [&str; 3] = ["tenant", "metadata", "dry_run"];

pub(crate) async fn erase(
    MayManage(caller): MayManage,
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = Fields::new(fields::object(&shared, &headers, body).await?, &FIELDS);
    let dry_run = fields.boolean("dry_run");
    let subject = subject(&mut fields);
    fields.finish()?;
    let Some(subject) = subject else { return Err(Problem::new(Kind::Invalid, "the subject cannot be read")) };
    let until = shared.api.clock.now();
    let (matching, complete) = count(&shared.api.store, &subject, until).await?;
    if dry_run {
        let webhooks = match &subject {
            Subject::Tenant(tenant) => webhooks_of(&shared.api.store, tenant, until).await?.len(),
            Subject::Metadata { .. } => 0,
        };
        let preview = json!({"dry_run": true, "matching": matching, "complete": complete, "webhooks": webhooks});
        return Ok(Json(preview).into_response());
    }
    let spec = JobSpec::Erase { subject, until };
    let job = shared.api.store.create_job(spec, caller.token.to_string(), complete.then_some(matching)).await?;
    shared.api.jobs.notify_one();
    Ok(jobs::accepted(&job))
}

fn subject(fields: &mut Fields) -> Option<Subject> {
    let tenant = fields.text("tenant").filter(|tenant| !tenant.is_empty());
    let metadata = fields.take("metadata");
    match (tenant, metadata) {
        (Some(tenant), None) => Some(Subject::Tenant(tenant)),
        (None, Some(Value::Object(pair))) if pair.len() == 1 => {
            let (key, value) = pair.into_iter().next()?;
            if value.is_object() || value.is_array() {
                fields.refuse("metadata", "the value must be a string, a number or true or false");
                return None;
            }
            Some(Subject::Metadata { key, value })
        }
        (None, Some(_)) => {
            fields.refuse("metadata", "`metadata` must be an object of one field, such as {\"user_id\": \"u-1\"}");
            None
        }
        (Some(_), Some(_)) => {
            fields.refuse("metadata", "name either `tenant` or `metadata`: each is a job of its own");
            None
        }
        (None, None) => {
            fields.refuse("tenant", "name whose events to erase: `tenant`, or `metadata` such as {\"user_id\": \"u-1\"}");
            None
        }
    }
}

async fn count(store: &Store, subject: &Subject, until: Timestamp) -> Result<(u64, bool), StoreError> {
    let deadline = Instant::now() + COUNT_TIME_MAX;
    let (mut matching, mut after) = (0, None);
    loop {
        let page = store.erasable(subject.clone(), until, after, ROWS).await?;
        matching += page.rows.len() as u64;
        match page.next {
            None => return Ok((matching, true)),
            Some(_) if Instant::now() >= deadline => return Ok((matching, false)),
            next => after = next,
        }
    }
}
