//! `GET /v1/audit`: the audit log, which [`crate::http::middleware::audit`] writes.

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};

use crate::http::Shared;
use crate::http::middleware::auth::MayManage;
use crate::http::problem::Problem;
use crate::http::query::{Query, show_cursor};
use crate::http::shapes::List;
use crate::store::{AuditFilter, AuditRecord};

/// Newest first.
pub(crate) async fn list(_: MayManage, State(shared): State<Shared>, uri: Uri) -> Result<Json<List<Value>>, Problem> {
    let mut query = Query::read(&uri, &["token", "action", "path", "since", "until", "limit", "cursor"]);
    let text = |text: &str| Ok::<_, String>(text.to_owned());
    let filter = AuditFilter {
        token: query.take("token", text),
        action: query.take("action", text),
        path: query.take("path", text),
        since: query.time("since"),
        until: query.time("until"),
    };
    let window = query.window();
    query.finish()?;
    let page = shared.api.store.audit_log(filter, window.after, window.limit).await?;
    let shape = |AuditRecord { number, entry }: &AuditRecord| {
        let mut shape = json!(entry);
        shape["id"] = format!("aud_{number}").into();
        shape
    };
    Ok(Json(List { data: page.rows.iter().map(shape).collect(), next: page.next.map(show_cursor) }))
}
