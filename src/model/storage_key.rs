//! The key that secrets at rest are sealed with, and those that it replaced. Refuses to encrypt: the store does.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// Hexadecimal digits of an id: enough to distinguish a handful of keys, nothing of a key.
const ID_CHARS: usize = 8;

/// 256 random bits. Compared in constant time, zeroised when dropped.
#[derive(Clone)]
pub struct StorageKey(Zeroizing<[u8; KEY_BYTES]>);

/// A text is no key. Does not show the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a storage key is 32 bytes in base64 or in 64 hexadecimal digits: make one with `openssl rand -base64 32`")]
pub struct InvalidStorageKey;

impl StorageKey {
    pub fn parse(text: &str) -> Result<Self, InvalidStorageKey> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_BYTES { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
        let bytes = Zeroizing::new(bytes.ok_or(InvalidStorageKey)?);
        let key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidStorageKey)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Says which key it is and nothing of it: stored with what it sealed.
    pub fn id(&self) -> String {
        let digest = Sha256::new().chain_update(b"tenterhook storage key").chain_update(self.0.as_slice()).finalize();
        let mut id = hex::encode(digest);
        id.truncate(ID_CHARS);
        id
    }

    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl PartialEq for StorageKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for StorageKey {}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageKey({})", self.id())
    }
}

/// What seals, and what may still be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageKeys {
    /// `None`: secrets are stored as they are, in a directory that only its owner reads.
    pub current: Option<StorageKey>,
    pub previous: Vec<StorageKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_spelling_is_the_same_key_and_neither_is_shown() {
        let base64 = StorageKey::parse(" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
        let digits = StorageKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
        assert_eq!((&base64, base64.id()), (&digits, digits.id()));
        assert_eq!(format!("{base64:?}"), format!("StorageKey({})", base64.id()));
        assert_eq!(base64.id().len(), 8);
        assert!(!"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".contains(&base64.id()));
        for bad in ["", "hunter22", "AAEC", &"00".repeat(31), &"zz".repeat(32)] {
            assert_eq!(StorageKey::parse(bad), Err(InvalidStorageKey), "{bad}");
        }
    }
}
