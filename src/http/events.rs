//! `GET /v1/events`: what was published, and what became of it.

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::auth::Reader;
use super::problem::Problem;
use super::query::{Query, show_cursor};
use super::shape::{EventShape, List};
use super::{PathId, Shared};
use crate::model::{EventId, EventType, Unmatched};
use crate::snapshot::Snapshot;
use crate::store::{EventFilter, EventRecord};

/// Bodies of one page: then the page ends early and `next` goes on. A page of 250 of the greatest events would be
/// 250 MiB.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Webhooks that one event is explained for; as many as a page of a list has.
const UNMATCHED_MAX: usize = 250;

/// Events asked of the store at once.
const ROWS_AT_ONCE: usize = 10;

pub(super) async fn list(_: Reader, State(shared): State<Shared>, uri: Uri) -> Result<Json<List<EventShape>>, Problem> {
    let mut query = Query::read(&uri, &["event_type", "tenant", "since", "until", "limit", "cursor"]);
    let filter = EventFilter {
        event_type: query.take("event_type", EventType::parse),
        tenant: query.take("tenant", |text| Ok::<_, String>(text.to_owned())),
        since: query.time("since"),
        until: query.time("until"),
    };
    let window = query.window();
    query.finish()?;
    let (mut data, mut bytes, mut after) = (Vec::new(), 0, window.after);
    loop {
        let rows = ROWS_AT_ONCE.min(window.limit - data.len());
        let page = shared.api.store.events(filter.clone(), after, rows).await?;
        bytes += page.rows.iter().map(|record| record.event.size()).sum::<usize>();
        data.extend(page.rows.iter().map(EventShape::of));
        after = page.next;
        // A page with room left is one bounded look of the store that found little: the client goes on from there.
        if after.is_none() || data.len() >= window.limit || bytes >= PAGE_BYTES_MAX || page.rows.len() < rows {
            return Ok(Json(List { data, next: after.map(show_cursor) }));
        }
    }
}

pub(super) async fn show(_: Reader, State(shared): State<Shared>, PathId(id): PathId) -> Result<Json<EventShape>, Problem> {
    let not_found = || Problem::not_found("event", &id);
    let event_id = EventId::parse(&id).map_err(|_| not_found())?;
    let mut record = shared.api.store.event(event_id).await?.ok_or_else(not_found)?;
    explain_others(&shared.api.live.snapshot(), &mut record);
    Ok(Json(EventShape::of(&record)))
}

/// Near misses were kept when the event was published. The other webhooks are explained as they stand now.
fn explain_others(snapshot: &Snapshot, record: &mut EventRecord) {
    for webhook in snapshot.webhooks() {
        if record.unmatched.len() >= UNMATCHED_MAX {
            return;
        }
        let id = &webhook.settings.id;
        let known = record.deliveries.iter().any(|(_, other, _)| other == id)
            || record.unmatched.iter().any(|unmatched| unmatched.webhook == id.as_str());
        if !known {
            let reason = snapshot
                .explain(webhook, &record.event)
                .unwrap_or_else(|| "it would get this event now, but did not when it was published".to_owned());
            record.unmatched.push(Unmatched { webhook: id.to_string(), reason });
        }
    }
}
