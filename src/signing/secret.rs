//! Secrets: text as the user wrote it, never shown whole, gone from memory when dropped.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::ed25519::{self, PUBLIC_PREFIX, PublicKey, SECRET_PREFIX, SigningKey};
use crate::model::Timestamp;

/// Standard Webhooks' prefix of a symmetric secret.
const PREFIX: &str = "whsec_";

/// Bytes of a decoded `whsec_` secret: the Standard Webhooks specification, "Symmetric signatures".
const DECODED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A preview of a shorter secret would give too much of it away.
const PREVIEW_CHARS_MIN: usize = 12;

/// Bytes of a generated secret: as strong as the hash it keys.
const GENERATED_BYTES: usize = 32;

/// A webhook's signing secret: text as the user wrote it. Compared in constant time, shared by its clones, zeroised when
/// the last of them is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

/// Why a text is not a secret. None of these shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    #[error(
        "the secret is empty: leave it out to have one generated, or make one with `openssl rand -base64 32` and the prefix `whsec_`"
    )]
    Empty,
    #[error(
        "the secret begins with `whsec_` but what follows is not base64: copy it whole (letters, digits, `+`, `/`, padded with `=`), or take another prefix if it is plain text"
    )]
    NotBase64,
    #[error("the secret begins with `whsec_` but decodes to {bytes} bytes: Standard Webhooks takes 24 to 64")]
    WrongLength { bytes: usize },
    #[error(
        "the secret is an Ed25519 key (`whsk_`), and the dialect `{scheme}` has no such signatures: use it with `standard` alone, or a symmetric secret (`whsec_…`)"
    )]
    Asymmetric { scheme: &'static str },
    #[error("the secret is a public key (`whpk_`), which only verifies: sign with the key that begins with `whsk_`")]
    Public,
    #[error("the Ed25519 key is not base64 behind its prefix: copy it whole (letters, digits, `+`, `/`, padded with `=`)")]
    KeyNotBase64,
    #[error(
        "the Ed25519 key decodes to {bytes} bytes: a private one (`whsk_`) has 32 or 64 (seed and public key), a public one (`whpk_`) 32"
    )]
    KeyLength { bytes: usize },
    #[error("the Ed25519 key's two halves do not belong together: copy it whole, or its first 32 bytes alone")]
    KeyHalves,
    #[error("there is no secret to sign with: give the webhook a `secret`, or set `signature = \"none\"`")]
    Missing,
}

impl Secret {
    /// Refuses what no scheme can sign with: nothing, white space alone, `whsec_` with anything but base64 of 24 to 64
    /// bytes behind it, `whsk_` without an Ed25519 key. Whether a plain text is long enough to be safe is the caller's
    /// to warn about.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        if text.starts_with(PUBLIC_PREFIX) {
            return Err(InvalidSecret::Public);
        }
        Self::parse_verifying(text)
    }

    /// As [`Secret::parse`], and also a public key (`whpk_`), for verifying.
    pub fn parse_verifying(text: &str) -> Result<Self, InvalidSecret> {
        if text.trim().is_empty() {
            return Err(InvalidSecret::Empty);
        }
        let secret = Self::of(text);
        if secret.is_asymmetric() {
            secret.verifying_key()?;
        } else {
            secret.decoded()?;
        }
        Ok(secret)
    }

    /// `whsec_` and the base64 of 32 random bytes.
    pub fn generate() -> Self {
        Self::of(&Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(random_bytes()))))
    }

    /// `whsk_` and an Ed25519 key.
    pub fn generate_ed25519() -> Self {
        Self::of(&ed25519::generate(&random_bytes()).expect("any 32 bytes are an Ed25519 seed (RFC 8032 §5.1.5)"))
    }

    /// A new one of the same kind, for a rotation: an Ed25519 key for one, `whsec_` for one, hexadecimal digits for
    /// plain text.
    pub fn generate_like(&self) -> Self {
        if self.0.starts_with(SECRET_PREFIX) {
            Self::generate_ed25519()
        } else if self.0.starts_with(PREFIX) {
            Self::generate()
        } else {
            Self::generate_hex()
        }
    }

    /// 64 hexadecimal digits, for receivers that expect plain text.
    pub fn generate_hex() -> Self {
        Self::of(&Zeroizing::new(hex::encode(random_bytes())))
    }

    fn of(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself: for signing, and for showing it once to the person who made it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `whsec_…3f2a`, or `…3f2a` of a plain text; nothing of a text shorter than 12 characters.
    pub fn preview(&self) -> String {
        let prefixes = [PREFIX, SECRET_PREFIX, PUBLIC_PREFIX];
        let known = prefixes.into_iter().find_map(|prefix| Some((prefix, self.0.strip_prefix(prefix)?)));
        let (prefix, rest) = known.unwrap_or(("", self.expose()));
        let chars = rest.chars().count();
        let shown = if chars < PREVIEW_CHARS_MIN { chars } else { chars - 4 };
        format!("{prefix}…{}", rest.chars().skip(shown).collect::<String>())
    }

    /// Whether it is an Ed25519 key, private or public.
    pub fn is_asymmetric(&self) -> bool {
        self.0.starts_with(SECRET_PREFIX) || self.0.starts_with(PUBLIC_PREFIX)
    }

    /// What receivers verify with, `whpk_…`; `None` for symmetric secrets.
    pub fn public_key(&self) -> Option<String> {
        self.is_asymmetric().then(|| self.verifying_key().ok().map(|key| key.text())).flatten()
    }

    pub(super) fn signing_key(&self) -> Result<SigningKey, InvalidSecret> {
        SigningKey::parse(self.0.strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret::Public)?)
    }

    pub(super) fn verifying_key(&self) -> Result<PublicKey, InvalidSecret> {
        match self.0.strip_prefix(PUBLIC_PREFIX) {
            Some(encoded) => PublicKey::parse(encoded),
            None => self.signing_key().map(|key| key.public()),
        }
    }

    /// The key that Standard Webhooks takes it for: `whsec_` decoded, plain text as its own bytes.
    pub(super) fn decoded(&self) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
        let Some(encoded) = self.0.strip_prefix(PREFIX) else {
            return Ok(Zeroizing::new(self.0.as_bytes().to_vec()));
        };
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidSecret::NotBase64)?);
        if !DECODED_BYTES.contains(&bytes.len()) {
            return Err(InvalidSecret::WrongLength { bytes: bytes.len() });
        }
        Ok(bytes)
    }
}

fn random_bytes() -> Zeroizing<[u8; GENERATED_BYTES]> {
    let mut bytes = Zeroizing::new([0; GENERATED_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).expect("getrandom(2) of 32 bytes cannot fail on a kernel that has it (Linux 3.17)");
    bytes
}

/// A secret that signs, and for how long: during a rotation there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSecret {
    pub secret: Secret,
    /// `None`: until it is replaced.
    pub until: Option<Timestamp>,
}

impl LiveSecret {
    pub fn lasting(secret: Secret) -> Self {
        Self { secret, until: None }
    }
}

impl PartialEq for Secret {
    /// In constant time for texts of one length; the length is not a secret.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.preview())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_scheme_can_use_is_refused_in_words() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        let table = [
            (String::new(), InvalidSecret::Empty),
            (" \t\n".to_owned(), InvalidSecret::Empty),
            ("whsec_".to_owned(), InvalidSecret::WrongLength { bytes: 0 }),
            ("whsec_not base64!".to_owned(), InvalidSecret::NotBase64),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS".to_owned(), InvalidSecret::NotBase64),
            (of(23), InvalidSecret::WrongLength { bytes: 23 }),
            (of(65), InvalidSecret::WrongLength { bytes: 65 }),
            ("whsk_abc".to_owned(), InvalidSecret::KeyNotBase64),
            ("whsk_YWJj".to_owned(), InvalidSecret::KeyLength { bytes: 3 }),
            ("whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=".to_owned(), InvalidSecret::Public),
        ];
        for (text, problem) in table {
            assert_eq!(Secret::parse(&text).unwrap_err(), problem, "{text}");
        }
        assert!(Secret::parse(&of(24)).is_ok() && Secret::parse(&of(64)).is_ok());
        assert!(Secret::parse("It's a Secret to Everybody").is_ok() && Secret::parse("x").is_ok());
        let text = InvalidSecret::WrongLength { bytes: 23 }.to_string();
        assert_eq!(text, "the secret begins with `whsec_` but decodes to 23 bytes: Standard Webhooks takes 24 to 64");
    }

    #[test]
    fn generated_secrets_are_valid_and_differ() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one, other);
        assert_eq!(Secret::parse(one.expose()).unwrap(), one);
        assert_eq!(one.decoded().unwrap().len(), 32);
        let hex = Secret::generate_hex();
        assert!(hex.expose().len() == 64 && hex.expose().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(hex, Secret::generate_hex());
        let key = Secret::generate_ed25519();
        assert_eq!(Secret::parse(key.expose()).unwrap(), key);
        assert!(key.public_key().unwrap().starts_with("whpk_") && one.public_key().is_none());
        for secret in [one, hex, key] {
            let next = secret.generate_like();
            assert!(next != secret && next.expose().len() == secret.expose().len());
            assert_eq!(next.expose().starts_with("whsk_"), secret.expose().starts_with("whsk_"));
        }
        let public = Secret::parse_verifying("whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=").unwrap();
        assert_eq!(public.public_key().as_deref(), Some(public.expose()));
    }

    #[test]
    fn a_preview_shows_four_characters_of_a_long_secret_only() {
        let preview = |text: &str| Secret::parse(text).unwrap().preview();
        assert_eq!(preview("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "whsec_…LaSw");
        assert_eq!(preview("whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="), "whsk_…pvs=");
        assert_eq!(preview("correct horse battery"), "…tery");
        assert_eq!(preview("twelve chars"), "…hars");
        assert_eq!(preview("eleven char"), "…");
        assert_eq!(preview("ключключключ"), "…ключ");
    }

    proptest! {
        #[test]
        fn debug_never_shows_more_than_four_characters(text in "[a-z0-9]{1,40}") {
            let shown = format!("{:?}", Secret::parse(&text).unwrap());
            prop_assert!(shown.chars().filter(|c| *c != '…').count() <= 4);
            prop_assert!(text.len() >= 12 || shown == "…");
        }

        #[test]
        fn equality_is_equality_of_text(one in ".{1,8}", other in ".{1,8}") {
            if let (Ok(a), Ok(b)) = (Secret::parse(&one), Secret::parse(&other)) {
                prop_assert_eq!(a == b, one == other);
            }
        }

        #[test]
        fn no_text_panics_the_parser(text in "(whsec_|whsk_|whpk_)?([A-Za-z0-9+/]{43}=|.{0,80})") {
            let _ = Secret::parse(&text).map(|secret| secret.preview());
        }
    }
}
