//! Webhooks made by the API: their keys as JSON, as they came. Their secrets are where the generated ones are.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::Embedded;
use super::rows::{invalid, timestamp};
use crate::model::{WebhookId, WebhookKey};
use crate::store::{ApiWebhook, StoreError};

fn api_webhook(row: &Row<'_>) -> Result<ApiWebhook, rusqlite::Error> {
    Ok(ApiWebhook {
        id: WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?,
        body: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|e| invalid(1, e))?,
        created: timestamp(row, 2)?,
        updated: timestamp(row, 3)?,
    })
}

impl Embedded {
    pub(in crate::store) async fn api_webhooks(&self) -> Result<Vec<ApiWebhook>, StoreError> {
        self.read(|reader, _| {
            let mut statement = reader.prepare_cached("SELECT id, body, created, updated FROM api_webhooks ORDER BY id")?;
            statement.query_map([], api_webhook)?.collect()
        })
        .await
    }

    pub(in crate::store) async fn put_api_webhook(
        &self,
        webhook: ApiWebhook,
        key: WebhookKey,
        secret: Option<Zeroizing<String>>,
    ) -> Result<(), StoreError> {
        let body = serde_json::Value::Object(webhook.body).to_string();
        let (id, created, updated) = (webhook.id, webhook.created, webhook.updated);
        self.write(move |writer| {
            writer
                .connection
                .prepare_cached("INSERT OR REPLACE INTO api_webhooks(id, body, created, updated) VALUES(?1, ?2, ?3, ?4)")?
                .execute(params![id.as_str(), body, created.as_millis(), updated.as_millis()])?;
            if let Some(secret) = &secret {
                // Whoever brings a secret wants no other to sign beside it.
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
                // One of the same name made later is another webhook: it gets a secret of its own.
                writer.connection.prepare_cached("DELETE FROM secrets WHERE webhook = ?1")?.execute([key.0])?;
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
