//! `GET /v1/events`: what was published, and what became of it.

pub(crate) mod publish;

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use http::Uri;

use crate::http::middleware::auth::{Caller, MayReadOwn};
use crate::http::problem::Problem;
use crate::http::query::{Query, show_cursor};
use crate::http::routes::v1::webhooks;
use crate::http::shapes::{EventShape, List};
use crate::http::{PathId, Shared};
use crate::model::{EventId, EventType, Unmatched, WebhookId};
use crate::store::{EventFilter, EventRecord};

/// Bodies of one page: then the page ends early and `next` goes on. A page of 250 of the greatest events would be
/// 250 MiB.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Webhooks that one event is explained for; as many as a page of a list has.
const UNMATCHED_MAX: usize = 250;

/// Events asked of the store at once.
const ROWS_AT_ONCE: usize = 10;

pub(crate) async fn list(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Json<List<EventShape>>, Problem> {
    let mut query = Query::read(&uri, &["event_type", "tenant", "since", "until", "limit", "cursor"]);
    let mut filter = EventFilter {
        event_type: query.take("event_type", EventType::parse),
        tenant: query.take("tenant", |text| Ok::<_, String>(text.to_owned())),
        since: query.time("since"),
        until: query.time("until"),
    };
    let window = query.window();
    query.finish()?;
    filter.tenant = caller.narrowed(filter.tenant)?;
    let (mut data, mut bytes, mut after) = (Vec::new(), 0, window.after);
    loop {
        let rows = ROWS_AT_ONCE.min(window.limit - data.len());
        let page = shared.api.store.events(filter.clone(), after, rows).await?;
        let found = page.rows.len();
        bytes += page.rows.iter().map(|record| record.event.size()).sum::<usize>();
        after = page.next;
        data.extend(page.rows.into_iter().map(|mut record| {
            hide_others(&caller, &mut record);
            EventShape::of(&record)
        }));
        // A page with room left: the store's bounded scan found little, and the client goes on from there.
        if after.is_none() || data.len() >= window.limit || bytes >= PAGE_BYTES_MAX || found < rows {
            return Ok(Json(List { data, next: after.map(show_cursor) }));
        }
    }
}

pub(crate) async fn show(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<EventShape>, Problem> {
    let not_found = || Problem::not_found("event", &id);
    let event_id = EventId::parse(&id).map_err(|_| not_found())?;
    let found = shared.api.store.event(event_id).await?;
    let mut record = found.filter(|record| caller.sees(record.event.tenant.as_deref())).ok_or_else(not_found)?;
    hide_others(&caller, &mut record);
    explain_others(&caller, &mut record);
    Ok(Json(EventShape::of(&record)))
}

/// A tenant's token learns nothing of webhooks that are not its own, not even their names.
pub(crate) fn hide_others(caller: &Caller, record: &mut EventRecord) {
    let Some(tenant) = &caller.tenant else { return };
    record.unmatched.retain(|unmatched| {
        let webhook = WebhookId::parse(&unmatched.webhook).ok().and_then(|id| caller.snapshot.webhook(&id));
        webhook.is_some_and(|webhook| webhook.settings.tenant.as_ref() == Some(tenant))
    });
}

/// Near misses were stored when the event was published. The caller's other webhooks are explained as they are now.
fn explain_others(caller: &Caller, record: &mut EventRecord) {
    let with_delivery = record.deliveries.iter().map(|(_, webhook, _)| webhook.to_string());
    let known: HashSet<String> = with_delivery.chain(record.unmatched.iter().map(|it| it.webhook.clone())).collect();
    let others = webhooks::own(caller).filter(|webhook| !known.contains(webhook.settings.id.as_str()));
    for webhook in others.take(UNMATCHED_MAX.saturating_sub(record.unmatched.len())) {
        let reason = caller
            .snapshot
            .explain(webhook, &record.event)
            .unwrap_or_else(|| "it would get this event now, but did not when it was published".to_owned());
        record.unmatched.push(Unmatched { webhook: webhook.settings.id.to_string(), reason });
    }
}
