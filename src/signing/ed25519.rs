//! Ed25519 keys of Standard Webhooks (`v1a`): `whsk_` and the base64 of 32 bytes (the seed) or 64 (seed and public
//! key, as other systems write it), `whpk_` and the base64 of the public key's 32 bytes.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::InvalidSecret;

pub(super) const SECRET_PREFIX: &str = "whsk_";
pub(super) const PUBLIC_PREFIX: &str = "whpk_";

pub(super) const SIGNATURE_BYTES: usize = 64;
const KEY_BYTES: usize = 32;

pub(super) type Signature = [u8; SIGNATURE_BYTES];

/// Cheap to clone; the key is wiped by the cryptography library when the last clone is dropped.
#[derive(Clone)]
pub(super) struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    /// From what follows `whsk_`.
    pub(super) fn parse(encoded: &str) -> Result<Self, InvalidSecret> {
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidSecret::KeyNotBase64)?);
        let pair = match bytes.len() {
            KEY_BYTES => Ed25519KeyPair::from_seed_unchecked(&bytes),
            SIGNATURE_BYTES => Ed25519KeyPair::from_seed_and_public_key(&bytes[..KEY_BYTES], &bytes[KEY_BYTES..]),
            bytes => return Err(InvalidSecret::KeyLength { bytes }),
        };
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| InvalidSecret::KeyHalves)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; SIGNATURE_BYTES];
        let made = self.0.sign(message);
        if made.as_ref().len() == SIGNATURE_BYTES {
            signature.copy_from_slice(made.as_ref());
        }
        signature
    }

    pub(super) fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        let made = self.0.public_key().as_ref();
        if made.len() == KEY_BYTES {
            key.copy_from_slice(made);
        }
        PublicKey(key)
    }
}

/// What a receiver verifies with; no secret.
#[derive(Clone, Copy)]
pub(super) struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// From what follows `whpk_`.
    pub(super) fn parse(encoded: &str) -> Result<Self, InvalidSecret> {
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret::KeyNotBase64)?;
        let length = bytes.len();
        bytes.try_into().map(Self).map_err(|_| InvalidSecret::KeyLength { bytes: length })
    }

    pub(super) fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    pub(super) fn text(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

/// Seed and public key, the form that other systems import.
pub(super) fn generate(seed: &[u8; KEY_BYTES]) -> Result<Zeroizing<String>, InvalidSecret> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| InvalidSecret::KeyHalves)?;
    let mut bytes = Zeroizing::new(seed.to_vec());
    bytes.extend_from_slice(pair.public_key().as_ref());
    let encoded = Zeroizing::new(STANDARD.encode(&bytes));
    Ok(Zeroizing::new(format!("{SECRET_PREFIX}{}", encoded.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 2: key and public key, and the signature of the one byte 0x72.
    const SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNED: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn the_vector_of_rfc_8032_comes_out_of_either_form_of_the_key() {
        let (seed, public) = (hex::decode(SEED).unwrap(), hex::decode(PUBLIC).unwrap());
        for bytes in [seed.clone(), [seed, public.clone()].concat()] {
            let key = SigningKey::parse(&STANDARD.encode(bytes)).unwrap();
            assert_eq!(hex::encode(key.sign(&[0x72])), SIGNED);
            assert_eq!(key.public().text(), format!("whpk_{}", STANDARD.encode(&public)));
        }
        let public = PublicKey::parse(&STANDARD.encode(&public)).unwrap();
        let signature: Signature = hex::decode(SIGNED).unwrap().try_into().unwrap();
        assert!(public.holds(&[0x72], &signature) && !public.holds(&[0x73], &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let parse = |bytes: &[u8]| SigningKey::parse(&STANDARD.encode(bytes)).err();
        assert_eq!(parse(&[7; 31]), Some(InvalidSecret::KeyLength { bytes: 31 }));
        assert_eq!(parse(&[7; 64]), Some(InvalidSecret::KeyHalves));
        assert_eq!(SigningKey::parse("no base64").err(), Some(InvalidSecret::KeyNotBase64));
        assert_eq!(PublicKey::parse("AAAA").err(), Some(InvalidSecret::KeyLength { bytes: 3 }));
    }
}
