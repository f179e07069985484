//! Webhooks made over the API: created, replaced, patched, deleted. Live when it answers. Those of config.toml are
//! changed there, and nowhere else.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::control::{Change, ChangeError, Changed, Effect};
use crate::http::middleware::auth::{Caller, MayManageOwn};
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::webhooks;
use crate::http::shapes;
use crate::http::{PathId, Shared, fields};
use crate::model::WebhookId;
use crate::snapshot::{Snapshot, Webhook};

/// What answers have beside the keys of config.toml: a webhook that was read can be sent back as it is.
const READ_ONLY: [&str; 13] = [
    "id",
    "origin",
    "created_at",
    "updated_at",
    "secret_preview",
    "status",
    "suspended",
    "file",
    "line",
    "disabled",
    "failing_since",
    "breaker_open",
    "previous_secrets",
];

/// `/v1/webhooks/status` is something else.
const RESERVED: &str = "status";

pub(crate) async fn create(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut body = fields::object(&shared, &headers, body).await?;
    let effect = effect(&mut body)?;
    let id = match body.remove("id") {
        None | Some(Value::Null) => new_id(),
        Some(Value::String(text)) => text,
        Some(_) => return Err(refused("/id", "`id` must be a string of letters, digits, _ and -")),
    };
    let id = parse_id(&id)?;
    let mut body = writable(body, current(&caller, &id)?)?;
    confine(&caller, &mut body)?;
    let changed = apply(&shared, &caller, Change::Create { id: id.clone(), body }, effect).await?;
    if effect == Effect::DryRun {
        return Ok(judged());
    }
    created(&changed.snapshot, &id)
}

pub(crate) async fn replace(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let mut body = fields::object(&shared, &headers, body).await?;
    let effect = effect(&mut body)?;
    let mut body = writable(body, current(&caller, &id)?)?;
    confine(&caller, &mut body)?;
    let changed = apply(&shared, &caller, Change::Replace { id: id.clone(), body }, effect).await?;
    if effect == Effect::DryRun {
        return Ok(judged());
    }
    if changed.is_new { created(&changed.snapshot, &id) } else { shown(&changed.snapshot, &id) }
}

pub(crate) async fn patch(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = WebhookId::parse(&id).map_err(|_| Problem::not_found("webhook", &id))?;
    let mut patch = fields::object(&shared, &headers, body).await?;
    let effect = effect(&mut patch)?;
    let mut patch = writable(patch, Some(&**webhooks::find(&caller, id.as_str())?))?;
    confine(&caller, &mut patch)?;
    let changed = apply(&shared, &caller, Change::Patch { id: id.clone(), patch }, effect).await?;
    if effect == Effect::DryRun {
        return Ok(judged());
    }
    shown(&changed.snapshot, &id)
}

/// 204; what waits for it is cancelled.
pub(crate) async fn delete(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<StatusCode, Problem> {
    let id = WebhookId::parse(&id).map_err(|_| Problem::not_found("webhook", &id))?;
    webhooks::find(&caller, id.as_str())?;
    apply(&shared, &caller, Change::Delete { id }, Effect::Live).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The webhook as it is, if there is one. Ids are the whole server's: one of somebody else is said to be taken.
fn current<'c>(caller: &'c Caller, id: &WebhookId) -> Result<Option<&'c Webhook>, Problem> {
    match caller.snapshot.webhook(id) {
        Some(webhook) if !caller.sees(webhook.settings.tenant.as_deref()) => {
            Err(Problem::new(Kind::Conflict, format!("the id `{id}` is taken: choose another one")))
        }
        found => Ok(found.map(|webhook| &**webhook)),
    }
}

/// A tenant's token makes webhooks of its tenant and no others.
fn confine(caller: &Caller, body: &mut Map<String, Value>) -> Result<(), Problem> {
    let Some(tenant) = &caller.tenant else { return Ok(()) };
    match body.get("tenant") {
        Some(Value::String(asked)) if **asked != **tenant => {
            let message = format!("the token `{}` belongs to the tenant `{tenant}`: leave `tenant` away", caller.token);
            Err(Problem::new(Kind::Forbidden, message).with("tenant", &**tenant))
        }
        _ => {
            body.insert("tenant".to_owned(), tenant.to_string().into());
            Ok(())
        }
    }
}

/// `"dry_run": true` beside the webhook's own keys.
fn effect(body: &mut Map<String, Value>) -> Result<Effect, Problem> {
    match body.remove("dry_run") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Effect::Live),
        Some(Value::Bool(true)) => Ok(Effect::DryRun),
        Some(_) => Err(refused("/dry_run", "`dry_run` must be true or false")),
    }
}

fn judged() -> Response {
    Json(json!({"dry_run": true, "valid": true})).into_response()
}

async fn apply(shared: &Shared, caller: &Caller, change: Change, effect: Effect) -> Result<Changed, Problem> {
    let id = change.id().clone();
    shared.api.control.change(change, effect, caller.tenant.clone()).await.map_err(|error| problem(&id, error))
}

fn problem(id: &WebhookId, error: ChangeError) -> Problem {
    match error {
        ChangeError::Declared(place) => {
            let file = place.file.display().to_string();
            let detail = format!("the webhook `{id}` is declared in {file}, line {}: change it there, and save", place.line);
            Problem::new(Kind::Conflict, detail).with("file", file).with("line", place.line)
        }
        ChangeError::Exists => {
            let detail = format!("there is a webhook `{id}` already: change it with PUT or PATCH, or choose another id");
            Problem::new(Kind::Conflict, detail)
        }
        ChangeError::Unknown => Problem::not_found("webhook", id.as_str()),
        ChangeError::Full(most) => {
            Problem::new(Kind::Conflict, format!("there are {most} webhooks made by the API already: remove some first"))
        }
        ChangeError::Invalid(problems) => {
            let errors = problems.iter().map(|problem| json!(problem)).collect();
            fields::problem(errors).unwrap_or_else(|| Problem::new(Kind::Invalid, "the webhook is not valid"))
        }
        ChangeError::Store(error) => Problem::from(error),
        ChangeError::Unavailable(reason) => Problem::new(Kind::Unavailable, format!("nothing was changed: {reason}")),
    }
}

fn refused(field: &str, message: &str) -> Problem {
    Problem::new(Kind::Invalid, message.to_owned()).with("errors", json!([{"field": field, "message": message}]))
}

fn parse_id(text: &str) -> Result<WebhookId, Problem> {
    if text == RESERVED {
        return Err(refused("/id", "`status` cannot be the id of a webhook: /v1/webhooks/status is a page of its own"));
    }
    WebhookId::parse(text).map_err(|error| refused("/id", &error.to_string()))
}

fn new_id() -> String {
    format!("wh_{}", Uuid::now_v7().simple())
}

/// The keys of config.toml alone, with what answers mask put back where it came back as it was shown.
fn writable(mut body: Map<String, Value>, current: Option<&Webhook>) -> Result<Map<String, Value>, Problem> {
    body.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    if let Some(current) = current {
        shapes::webhook::unmask(&mut body, &current.settings);
    }
    // What is shown of these is for the file alone; unchanged it may come back.
    if let Some(current) = current {
        let shown = shapes::webhook::declared(&current.settings);
        for key in ["network", "tls"] {
            if body.get(key).is_some_and(|value| shown.get(key) == Some(value)) {
                body.remove(key);
            }
        }
    }
    if let Some(field) = shapes::webhook::masked_option(body.get("transform")) {
        let message = format!("`{field}` has a masked value (…): write it out, or leave the step as it was shown");
        return Err(refused("/transform", &message));
    }
    for key in ["url", "headers", "auth"] {
        if body.get(key).is_some_and(|value| value.to_string().contains('…')) {
            let message = format!("`{key}` has a masked value (…) in it: write it out, or leave the field as it was shown");
            return Err(refused(&format!("/{key}"), &message));
        }
    }
    Ok(body)
}

/// The one answer that shows the secret, unasked.
fn created(snapshot: &Snapshot, id: &WebhookId) -> Result<Response, Problem> {
    let webhook = found(snapshot, id)?;
    let mut shape = shapes::webhook::shape(webhook, snapshot);
    shape["secret"] = json!(webhook.secret().map(|secret| secret.expose()));
    let mut response = (StatusCode::CREATED, Json(shape)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/webhooks/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn shown(snapshot: &Snapshot, id: &WebhookId) -> Result<Response, Problem> {
    Ok(Json(shapes::webhook::shape(found(snapshot, id)?, snapshot)).into_response())
}

fn found<'s>(snapshot: &'s Snapshot, id: &WebhookId) -> Result<&'s Webhook, Problem> {
    snapshot.webhook(id).map(|webhook| &**webhook).ok_or_else(|| Problem::not_found("webhook", id.as_str()))
}
