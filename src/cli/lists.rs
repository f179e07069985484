//! Lists of the API narrowed by a pattern of event types, which the API itself takes one by one; and what a list that came
//! out empty was asked for: a name that does not exist is said to be none.

use anyhow::bail;
use serde_json::Value;

use super::client::{Client, Query, Refused, segment};
use super::output::one_line;
use crate::model::EventType;
use crate::routing::Pattern;

/// Where a list is, and the time that its rows are sorted by.
pub(super) struct List {
    path: &'static str,
    at: &'static str,
}

pub(super) const EVENTS: List = List { path: "/v1/events", at: "received_at" };
pub(super) const DELIVERIES: List = List { path: "/v1/deliveries", at: "created_at" };

/// For clap.
pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

/// Up to `limit` rows whose event types match, newest first.
pub(super) async fn matching(
    client: &Client,
    list: &List,
    query: &Query,
    kind: Option<&Pattern>,
    limit: usize,
) -> anyhow::Result<Vec<Value>> {
    let Some(pattern) = kind else { return client.list(list.path, query, limit).await };
    let kinds = match pattern.as_str() {
        one if !one.contains('*') => vec![one.to_owned()],
        _ => known_types(client, pattern).await?,
    };
    let mut rows = Vec::new();
    for kind in &kinds {
        let mut query = query.clone();
        query.add("event_type", Some(kind));
        rows.extend(client.list(list.path, &query, limit).await?);
    }
    if kinds.len() > 1 {
        // Stable: rows of one type stay in the server's order.
        rows.sort_by(|a, b| b[list.at].as_str().cmp(&a[list.at].as_str()));
        rows.truncate(limit);
    }
    Ok(rows)
}

/// Types, declared or seen, that match.
async fn known_types(client: &Client, pattern: &Pattern) -> anyhow::Result<Vec<String>> {
    let rows = client.list("/v1/event-types", &Query::default(), usize::MAX).await?;
    let names = rows.iter().filter_map(|row| row["type"].as_str());
    let matches = |name: &&str| EventType::parse(name).is_ok_and(|kind| pattern.matches(&kind));
    Ok(names.filter(matches).map(str::to_owned).collect())
}

/// # Errors
/// There is no such webhook. A type that nothing has yet is only noted: it may come.
pub(super) async fn check_names(client: &Client, webhook: Option<&str>, kind: Option<&Pattern>) -> anyhow::Result<()> {
    if let Some(id) = webhook
        && let Err(error) = client.get(&format!("/v1/webhooks/{}", segment(id))).await
    {
        match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == 404 => {
                bail!("there is no webhook `{}`: see `tenterhook webhook list`", one_line(id))
            }
            // A token that may not read webhooks says nothing of this one.
            Some(_) => {}
            None => return Err(error),
        }
    }
    if let Some(pattern) = kind
        && known_types(client, pattern).await.is_ok_and(|kinds| kinds.is_empty())
    {
        note!("no event type that was declared or seen matches `{}`: see `tenterhook events types`", pattern.as_str());
    }
    Ok(())
}
