//! Kept secrets: several per webhook during a rotation, sealed at rest (AES-256-GCM) when there is a storage key; and the
//! keyring, which seals webhooks made over the API and kept answers as well.
//!
//! Each row says which key sealed it, and is bound to what it belongs to: a row copied to another one does not open.
//! Another key takes over by sealing every row anew in one commit.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use rusqlite::params;
use zeroize::Zeroizing;

use super::writer::Writer;
use crate::model::{StorageKey, StorageKeys, Timestamp, WebhookId, WebhookKey};
use crate::store::KeptSecret;

/// Live secrets of one webhook: more rotations than that within one overlap retire the oldest at once.
const LIVE_MAX: usize = 5;

const NONCE_BYTES: usize = 12;

/// Several secrets per webhook, where there was one.
pub(super) const MIGRATION: &str = "
ALTER TABLE secrets RENAME TO secrets_before;
CREATE TABLE secrets(
  webhook INTEGER NOT NULL, n INTEGER NOT NULL, sealed_by TEXT, secret BLOB NOT NULL, until INTEGER, PRIMARY KEY(webhook, n)
) WITHOUT ROWID;
INSERT INTO secrets(webhook, n, secret) SELECT webhook, 1, CAST(secret AS BLOB) FROM secrets_before;
DROP TABLE secrets_before;
";

/// What a sealed text belongs to: it opens nowhere else.
#[derive(Clone, Copy)]
pub(super) enum Bound<'a> {
    Secret(WebhookKey),
    /// The keys of a webhook that was made over the API.
    Webhook(&'a WebhookId),
    /// An answer kept for its Idempotency-Key.
    Answer,
}

impl Bound<'_> {
    fn aad(self) -> Aad<Vec<u8>> {
        Aad::from(match self {
            Self::Secret(webhook) => webhook.0.to_be_bytes().to_vec(),
            Self::Webhook(id) => [b"webhook ", id.as_str().as_bytes()].concat(),
            Self::Answer => 0_i64.to_be_bytes().to_vec(),
        })
    }

    fn broken(self) -> rusqlite::Error {
        failure(match self {
            Self::Secret(webhook) => format!("the kept secret of webhook number {} is damaged", webhook.0),
            Self::Webhook(id) => format!("what is kept of the webhook `{id}` is damaged"),
            Self::Answer => "an answer kept for its Idempotency-Key is damaged".to_owned(),
        })
    }
}

/// The keys at hand, by their ids.
#[derive(Default)]
pub(super) struct Keyring {
    current: Option<String>,
    keys: HashMap<String, RandomizedNonceKey>,
}

impl Keyring {
    /// What seals now; `None`: nothing does.
    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    fn new(keys: &StorageKeys) -> Result<Self, rusqlite::Error> {
        let usable = |key: &StorageKey| {
            let made = RandomizedNonceKey::new(&AES_256_GCM, key.expose());
            made.map(|made| (key.id(), made)).map_err(|_| failure("the storage key cannot be used".to_owned()))
        };
        let all = keys.current.iter().chain(&keys.previous).map(usable).collect::<Result<_, _>>()?;
        Ok(Self { current: keys.current.as_ref().map(StorageKey::id), keys: all })
    }

    /// With the id of the key that did it; as it is when there is none.
    pub(super) fn seal(&self, bound: Bound<'_>, text: &str) -> Result<(Option<&str>, Vec<u8>), rusqlite::Error> {
        let Some((id, key)) = self.current.as_deref().and_then(|id| Some((id, self.keys.get(id)?))) else {
            return Ok((None, text.as_bytes().to_vec()));
        };
        let mut bytes = text.as_bytes().to_vec();
        let nonce =
            key.seal_in_place_append_tag(bound.aad(), &mut bytes).map_err(|_| failure("a secret cannot be sealed".to_owned()))?;
        Ok((Some(id), [nonce.as_ref().as_slice(), &bytes].concat()))
    }

    pub(super) fn open(
        &self,
        bound: Bound<'_>,
        sealed_by: Option<&str>,
        bytes: &[u8],
    ) -> Result<Zeroizing<String>, rusqlite::Error> {
        let broken = || bound.broken();
        let Some(id) = sealed_by else {
            return String::from_utf8(bytes.to_vec()).map(Zeroizing::new).map_err(|_| broken());
        };
        let key = self.keys.get(id).ok_or_else(|| {
            failure(format!(
                "its secrets are sealed with the storage key {id}, which is not given: set `[storage] key` to it, or add it to `[storage] previous_keys` beside the new one"
            ))
        })?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let text = key.open_in_place(nonce, bound.aad(), &mut sealed).map_err(|_| broken())?;
        std::str::from_utf8(text).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| broken())
    }
}

pub(super) fn failure(message: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(message.into())
}

impl Writer {
    /// All that are live, newest first; made when there is none.
    pub(super) fn secrets(&self, webhook: WebhookKey, make: fn() -> String) -> Result<Vec<KeptSecret>, rusqlite::Error> {
        let live = self.live_secrets(webhook)?;
        if !live.is_empty() {
            return Ok(live);
        }
        let text = Zeroizing::new(make());
        self.insert_secret(webhook, 1, &text)?;
        Ok(vec![KeptSecret { text, until: None }])
    }

    /// The new one signs from now on, those before it for `overlap` longer.
    pub(super) fn rotate_secret(
        &self,
        webhook: WebhookKey,
        text: &str,
        overlap: Duration,
    ) -> Result<Vec<KeptSecret>, rusqlite::Error> {
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

    /// Seals every kept secret, every webhook made over the API and every kept answer with the current key, or opens them
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
        // What is written over must not stay behind in the file's free space.
        self.connection.pragma_update(None, "secure_delete", true)?;
        let mut changed = 0;
        for (webhook, n, text, _) in opened.iter().filter(|(.., sealed_by)| *sealed_by != ring.current) {
            let (sealed_by, bytes) = ring.seal(Bound::Secret(*webhook), text)?;
            self.connection
                .prepare_cached("UPDATE secrets SET sealed_by = ?3, secret = ?4 WHERE webhook = ?1 AND n = ?2")?
                .execute(params![webhook.0, n, sealed_by, bytes])?;
            changed += 1;
        }
        changed += super::api_webhooks::sealed_anew(&self.connection, &ring, &webhooks)?;
        changed += super::idempotency::sealed_anew(&self.connection, &ring)?;
        self.connection.pragma_update(None, "secure_delete", false)?;
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

    fn live_secrets(&self, webhook: WebhookKey) -> Result<Vec<KeptSecret>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sealed_by, secret, until FROM secrets WHERE webhook = ?1 AND (until IS NULL OR until > ?2) ORDER BY n DESC",
        )?;
        let mut rows = statement.query(params![webhook.0, self.clock.now().as_millis()])?;
        let mut live = Vec::new();
        while let Some(row) = rows.next()? {
            let text =
                self.keyring.open(Bound::Secret(webhook), row.get_ref(0)?.as_str_or_null()?, row.get_ref(1)?.as_blob()?)?;
            let until: Option<i64> = row.get(2)?;
            live.push(KeptSecret { text, until: until.map(Timestamp::from_millis) });
        }
        Ok(live)
    }
}
