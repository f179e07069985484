//! Webhooks that are missing from the configuration: since when, so that what waits for them is held for a while and
//! cancelled only after that, also over restarts.

use rusqlite::params;

use super::Embedded;
use crate::model::{Timestamp, WebhookKey};
use crate::store::StoreError;

/// Since when the webhook is missing from the configuration; NULL while it is declared.
pub(super) const MIGRATION: &str = "ALTER TABLE webhooks ADD COLUMN removed INTEGER;";

/// Why such a delivery is held, as its `reason`.
pub(super) const REASON: &str =
    "the webhook is missing from the configuration: declare it again, or it is cancelled after `[retention] removed`";

impl Embedded {
    pub(in crate::store) async fn save_removed(&self, changes: Vec<(WebhookKey, Option<Timestamp>)>) -> Result<(), StoreError> {
        self.write(move |writer| {
            let sql =
                "UPDATE webhooks SET removed = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(removed, ?2) END WHERE key = ?1";
            let mut statement = writer.connection.prepare_cached(sql)?;
            for (webhook, since) in &changes {
                statement.execute(params![webhook.0, since.map(Timestamp::as_millis)])?;
            }
            Ok(())
        })
        .await
    }
}
