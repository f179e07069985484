//! The keyring: seals secrets, webhooks made over the API and stored responses at rest (AES-256-GCM) when there is a storage key.
//!
//! Each text says which key sealed it, and is bound to what it belongs to: one that is copied elsewhere does not open.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::model::{StorageKey, StorageKeys, WebhookId, WebhookKey};

const NONCE_BYTES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub(super) enum KeyringError {
    #[error("the storage key cannot be used")]
    Unusable,
    #[error("a secret cannot be sealed")]
    NotSealed,
    #[error(
        "its secrets are sealed with the storage key {0}, which is not given: set `[storage] key` to it, or add it to `[storage] previous_keys` beside the new one"
    )]
    Missing(String),
    #[error("{0} is damaged")]
    Damaged(String),
}

/// What a sealed text belongs to: it opens nowhere else.
#[derive(Clone, Copy)]
pub(super) enum Bound<'a> {
    Secret(WebhookKey),
    /// The keys of a webhook that was made over the API.
    Webhook(&'a WebhookId),
    /// A response stored for its Idempotency-Key.
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

    fn damaged(self) -> KeyringError {
        KeyringError::Damaged(match self {
            Self::Secret(webhook) => format!("the stored secret of webhook number {}", webhook.0),
            Self::Webhook(id) => format!("the stored webhook `{id}`"),
            Self::Answer => "a response stored for its Idempotency-Key".to_owned(),
        })
    }
}

/// The storage keys, by their ids.
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

    pub(super) fn new(keys: &StorageKeys) -> Result<Self, KeyringError> {
        let usable = |key: &StorageKey| {
            let made = RandomizedNonceKey::new(&AES_256_GCM, key.expose());
            made.map(|made| (key.id(), made)).map_err(|_| KeyringError::Unusable)
        };
        let all = keys.current.iter().chain(&keys.previous).map(usable).collect::<Result<_, _>>()?;
        Ok(Self { current: keys.current.as_ref().map(StorageKey::id), keys: all })
    }

    /// With the id of the key that did it; as it is when there is none.
    pub(super) fn seal(&self, bound: Bound<'_>, text: &str) -> Result<(Option<&str>, Vec<u8>), KeyringError> {
        let Some((id, key)) = self.current.as_deref().and_then(|id| Some((id, self.keys.get(id)?))) else {
            return Ok((None, text.as_bytes().to_vec()));
        };
        let mut bytes = text.as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(bound.aad(), &mut bytes).map_err(|_| KeyringError::NotSealed)?;
        Ok((Some(id), [nonce.as_ref().as_slice(), &bytes].concat()))
    }

    pub(super) fn open(
        &self,
        bound: Bound<'_>,
        sealed_by: Option<&str>,
        bytes: &[u8],
    ) -> Result<Zeroizing<String>, KeyringError> {
        let damaged = || bound.damaged();
        let Some(id) = sealed_by else {
            return String::from_utf8(bytes.to_vec()).map(Zeroizing::new).map_err(|_| damaged());
        };
        let key = self.keys.get(id).ok_or_else(|| KeyringError::Missing(id.to_owned()))?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let text = key.open_in_place(nonce, bound.aad(), &mut sealed).map_err(|_| damaged())?;
        std::str::from_utf8(text).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| damaged())
    }
}
