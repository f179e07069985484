//! Webhook statuses, stored: who switched a webhook off, how long it has been failing, whether its breaker is open.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::rows::invalid;
use super::writer::Writer;
use crate::model::{Condition, Failing, Timestamp, WebhookKey, WebhookStatus};
use crate::store::StatusChange;

impl Writer {
    pub(super) fn save_status(&self, changes: &[(WebhookKey, StatusChange)]) -> Result<(), rusqlite::Error> {
        for (webhook, change) in changes {
            let (column, value) = match change {
                StatusChange::Disabled(disabled) => ("disabled", disabled.as_ref().map(to_json)),
                StatusChange::Condition(condition) => ("condition", (!condition.is_well()).then(|| to_json(condition))),
            };
            let sql = format!(
                "INSERT INTO standings(webhook, {column}) VALUES(?1, ?2) ON CONFLICT(webhook) DO UPDATE SET {column} = ?2"
            );
            self.connection.prepare_cached(&sql)?.execute(params![webhook.0, value])?;
            self.connection
                .prepare_cached("DELETE FROM standings WHERE webhook = ?1 AND disabled IS NULL AND condition IS NULL")?
                .execute([webhook.0])?;
        }
        Ok(())
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and times always have a JSON form")
}

/// The statuses at `now`: of the time since a webhook failed last, only the part that [counts](Failing::without_pause).
pub(super) fn webhook_statuses(
    connection: &Connection,
    now: Timestamp,
) -> Result<HashMap<WebhookKey, WebhookStatus>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT webhook, disabled, condition,
         (SELECT at FROM failures f WHERE f.webhook = s.webhook ORDER BY hour DESC LIMIT 1) FROM standings s",
    )?;
    let rows = statement.query_map([], |row| {
        let disabled = match row.get_ref(1)?.as_str_or_null()? {
            Some(json) => Some(serde_json::from_str(json).map_err(|e| invalid(1, e))?),
            None => None,
        };
        let mut condition: Condition = match row.get_ref(2)?.as_str_or_null()? {
            Some(json) => serde_json::from_str(json).map_err(|e| invalid(2, e))?,
            None => Default::default(),
        };
        if let (Some(since), Some(last)) = (condition.failing_since, row.get::<_, Option<i64>>(3)?) {
            condition.failing_since = Some(Failing::without_pause(since, Timestamp::from_millis(last), now));
        }
        Ok((WebhookKey(row.get(0)?), WebhookStatus { disabled, condition }))
    })?;
    rows.collect()
}
