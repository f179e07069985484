//! Webhooks made by the API: their keys as JSON, as they came, sealed as a whole when there is a storage key: a URL, a
//! header or an option may be a credential. Their secrets are where the generated ones are.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Embedded;
use super::rows::{invalid, timestamp};
use crate::model::{Timestamp, WebhookId, WebhookKey};
use crate::store::keyring::{Bound, Keyring};
use crate::store::{ApiWebhook, StoreError};

/// Which key sealed the row; none: it is as it came.
pub(super) const MIGRATION: &str = "ALTER TABLE api_webhooks ADD COLUMN sealed_by TEXT;";

/// A webhook's keys as text, and what had sealed them.
pub(super) struct Opened {
    id: WebhookId,
    body: Zeroizing<String>,
    sealed_by: Option<String>,
}

fn id(row: &Row<'_>) -> Result<WebhookId, rusqlite::Error> {
    WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))
}

/// The columns `id`, `body`, `sealed_by` of a row.
fn open(row: &Row<'_>, keys: &Keyring) -> Result<Opened, rusqlite::Error> {
    let (id, sealed_by) = (id(row)?, row.get::<_, Option<String>>(2)?);
    // Plain ones are text, sealed ones are not.
    let body = keys.open(Bound::Webhook(&id), sealed_by.as_deref(), row.get_ref(1)?.as_bytes()?)?;
    Ok(Opened { id, body, sealed_by })
}

/// All of them, with these keys. Fails when one of them is sealed with another.
pub(super) fn opened(connection: &Connection, keys: &Keyring) -> Result<Vec<Opened>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT id, body, sealed_by FROM api_webhooks")?;
    statement.query_map([], |row| open(row, keys))?.collect()
}

/// Those that are sealed otherwise than these keys would; answers how many those were.
pub(super) fn reseal(connection: &Connection, keys: &Keyring, webhooks: &[Opened]) -> Result<u64, rusqlite::Error> {
    let mut changed = 0;
    for Opened { id, body, .. } in webhooks.iter().filter(|webhook| webhook.sealed_by.as_deref() != keys.current()) {
        let (sealed_by, bytes) = keys.seal(Bound::Webhook(id), body)?;
        connection
            .prepare_cached("UPDATE api_webhooks SET body = CASE WHEN ?2 IS NULL THEN CAST(?3 AS TEXT) ELSE ?3 END, sealed_by = ?2 WHERE id = ?1")?
            .execute(params![id.as_str(), sealed_by, bytes])?;
        changed += 1;
    }
    Ok(changed)
}

impl Embedded {
    /// Read where the keys are: on the writer.
    pub(in crate::store) async fn api_webhooks(&self) -> Result<Vec<ApiWebhook>, StoreError> {
        self.write(|writer| {
            let sql = "SELECT id, body, sealed_by, created, updated FROM api_webhooks ORDER BY id";
            let mut statement = writer.connection.prepare_cached(sql)?;
            let webhook = |row: &Row<'_>| {
                let Opened { id, body, .. } = open(row, &writer.keyring)?;
                let body = serde_json::from_str(&body).map_err(|e| invalid(1, e))?;
                Ok(ApiWebhook { id, body, created: timestamp(row, 3)?, updated: timestamp(row, 4)? })
            };
            statement.query_map([], webhook)?.collect()
        })
        .await
    }

    pub(in crate::store) async fn put_api_webhook(
        &self,
        webhook: ApiWebhook,
        key: WebhookKey,
        secret: Option<Zeroizing<String>>,
    ) -> Result<(), StoreError> {
        let body = Zeroizing::new(Value::Object(webhook.body).to_string());
        let (id, created, updated) = (webhook.id, webhook.created, webhook.updated);
        self.write(move |writer| {
            let (sealed_by, bytes) = writer.keyring.seal(Bound::Webhook(&id), &body)?;
            writer
                .connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO api_webhooks(id, body, sealed_by, created, updated)
                     VALUES(?1, CASE WHEN ?3 IS NULL THEN CAST(?2 AS TEXT) ELSE ?2 END, ?3, ?4, ?5)",
                )?
                .execute(params![id.as_str(), bytes, sealed_by, created.as_millis(), updated.as_millis()])?;
            writer.connection.prepare_cached("UPDATE webhooks SET removed = NULL WHERE key = ?1")?.execute([key.0])?;
            if let Some(secret) = &secret {
                // A secret that comes with the webhook signs alone.
                writer.rotate_secret(key, secret, Duration::ZERO)?;
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn delete_api_webhook(&self, id: WebhookId, key: WebhookKey) -> Result<bool, StoreError> {
        self.write(move |writer| {
            let deleted = writer.connection.prepare_cached("DELETE FROM api_webhooks WHERE id = ?1")?.execute([id.as_str()])? > 0;
            if deleted {
                // One of the same name made later is another webhook: it gets a secret and a status of its own.
                writer.connection.prepare_cached("DELETE FROM secrets WHERE webhook = ?1")?.execute([key.0])?;
                writer.connection.prepare_cached("DELETE FROM standings WHERE webhook = ?1")?.execute([key.0])?;
                writer
                    .connection
                    .prepare_cached("UPDATE webhooks SET removed = ?2 WHERE key = ?1")?
                    .execute(params![key.0, Timestamp::default().as_millis()])?;
            }
            Ok(deleted)
        })
        .await
    }

    pub(in crate::store) async fn webhook_key(&self, id: WebhookId) -> Result<Option<WebhookKey>, StoreError> {
        self.read(move |reader, _| {
            let mut statement = reader.prepare_cached("SELECT key FROM webhooks WHERE id = ?1")?;
            statement.query_row([id.as_str()], |row| row.get(0).map(WebhookKey)).optional()
        })
        .await
    }
}
