//! Stored secrets: several per webhook during a rotation, sealed by the [keyring](crate::store::keyring). A new storage key takes
//! over by sealing every row again in one commit.

use std::time::Duration;

use rusqlite::params;
use zeroize::Zeroizing;

use super::writer::Writer;
use crate::model::{StorageKeys, Timestamp, WebhookKey};
use crate::store::StoredSecret;
use crate::store::keyring::{Bound, Keyring, KeyringError};

/// Live secrets of one webhook: more rotations than that within one overlap retire the oldest at once.
const LIVE_MAX: usize = 5;

/// Several secrets per webhook, where there was one.
pub(super) const MIGRATION: &str = "
ALTER TABLE secrets RENAME TO secrets_before;
CREATE TABLE secrets(
  webhook INTEGER NOT NULL, n INTEGER NOT NULL, sealed_by TEXT, secret BLOB NOT NULL, until INTEGER, PRIMARY KEY(webhook, n)
) WITHOUT ROWID;
INSERT INTO secrets(webhook, n, secret) SELECT webhook, 1, CAST(secret AS BLOB) FROM secrets_before;
DROP TABLE secrets_before;
";

pub(super) fn failure(message: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(message.into())
}

impl From<KeyringError> for rusqlite::Error {
    fn from(error: KeyringError) -> Self {
        Self::ToSqlConversionFailure(Box::new(error))
    }
}

impl Writer {
    /// All that are live, newest first; made when there is none.
    pub(super) fn secrets(&self, webhook: WebhookKey, make: fn() -> String) -> Result<Vec<StoredSecret>, rusqlite::Error> {
        let live = self.live_secrets(webhook)?;
        if !live.is_empty() {
            return Ok(live);
        }
        let text = Zeroizing::new(make());
        self.insert_secret(webhook, 1, &text)?;
        Ok(vec![StoredSecret { text, until: None }])
    }

    /// The new one signs from now on, those before it for `overlap` longer.
    pub(super) fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: &str,
        overlap: Duration,
    ) -> Result<Vec<StoredSecret>, rusqlite::Error> {
        let now = self.clock.now();
        let until = now.after(overlap).as_millis();
        self.connection
            .prepare_cached("UPDATE secrets SET until = min(coalesce(until, ?2), ?2) WHERE webhook = ?1")?
            .execute(params![webhook.0, until])?;
        let last: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(n), 0) FROM secrets WHERE webhook = ?1")?
            .query_row([webhook.0], |row| row.get(0))?;
        self.insert_secret(webhook, last + 1, text)?;
        self.connection
            .prepare_cached("DELETE FROM secrets WHERE webhook = ?1 AND (until <= ?2 OR n <= ?3)")?
            .execute(params![webhook.0, now.as_millis(), last + 1 - i64::try_from(LIVE_MAX).unwrap_or(i64::MAX)])?;
        self.live_secrets(webhook)
    }

    /// Seals every stored secret, every webhook made over the API and every stored response with the current key, or opens them
    /// for good when there is none.
    pub(super) fn rekey(&mut self, keys: &StorageKeys) -> Result<u64, rusqlite::Error> {
        let ring = Keyring::new(keys)?;
        let mut statement = self.connection.prepare("SELECT webhook, n, sealed_by, secret FROM secrets")?;
        let rows = statement.query_map([], |row| {
            let (webhook, sealed_by) = (WebhookKey(row.get(0)?), row.get::<_, Option<String>>(2)?);
            Ok((webhook, row.get::<_, i64>(1)?, sealed_by, Zeroizing::new(row.get::<_, Vec<u8>>(3)?)))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let open = |(webhook, n, sealed_by, bytes): (_, _, Option<String>, Zeroizing<Vec<u8>>)| {
            Ok((webhook, n, ring.open(Bound::Secret(webhook), sealed_by.as_deref(), &bytes)?, sealed_by))
        };
        let opened: Vec<_> = rows.into_iter().map(open).collect::<Result<_, rusqlite::Error>>()?;
        drop(statement);
        let webhooks = super::api_webhooks::opened(&self.connection, &ring)?;
        let mut changed = 0;
        for (webhook, n, text, _) in opened.iter().filter(|(.., sealed_by)| sealed_by.as_deref() != ring.current()) {
            let (sealed_by, bytes) = ring.seal(Bound::Secret(*webhook), text)?;
            self.connection
                .prepare_cached("UPDATE secrets SET sealed_by = ?3, secret = ?4 WHERE webhook = ?1 AND n = ?2")?
                .execute(params![webhook.0, n, sealed_by, bytes])?;
            changed += 1;
        }
        changed += super::api_webhooks::reseal(&self.connection, &ring, &webhooks)?;
        changed += super::idempotency::reseal(&self.connection, &ring)?;
        self.keyring = ring;
        Ok(changed)
    }

    fn insert_secret(&self, webhook: WebhookKey, n: i64, text: &str) -> Result<(), rusqlite::Error> {
        let (sealed_by, bytes) = self.keyring.seal(Bound::Secret(webhook), text)?;
        self.connection
            .prepare_cached("INSERT INTO secrets(webhook, n, sealed_by, secret) VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![webhook.0, n, sealed_by, bytes])
            .map(|_| ())
    }

    fn live_secrets(&self, webhook: WebhookKey) -> Result<Vec<StoredSecret>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sealed_by, secret, until FROM secrets WHERE webhook = ?1 AND (until IS NULL OR until > ?2) ORDER BY n DESC",
        )?;
        let mut rows = statement.query(params![webhook.0, self.clock.now().as_millis()])?;
        let mut live = Vec::new();
        while let Some(row) = rows.next()? {
            let text =
                self.keyring.open(Bound::Secret(webhook), row.get_ref(0)?.as_str_or_null()?, row.get_ref(1)?.as_blob()?)?;
            let until: Option<i64> = row.get(2)?;
            live.push(StoredSecret { text, until: until.map(Timestamp::from_millis) });
        }
        Ok(live)
    }
}
