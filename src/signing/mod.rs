//! Secrets (zeroised, redacted), signature dialects, signing and verification. Refuses I/O and clocks: the time is
//! an argument, the bytes are the caller's.
//!
//! A dialect is one row of `dialect.rs`; a template is a row that the user writes. Both are patterns (`pattern.rs`) over
//! the request (method, URL, headers, body), its id and its time; `sign.rs` writes them and `claim.rs` reads them.
//!
//! A secret that begins with `whsec_` is base64 to Standard Webhooks and plain text to the others, because that is
//! what their verifiers do; any other secret is its own bytes everywhere.

mod claim;
mod dialect;
mod ed25519;
mod pattern;
mod scheme;
mod secret;
mod sign;
mod slip;
mod template;
mod verify;

pub use dialect::{SCHEME_NAMES, dialect_names, is_companion, is_reserved, scheme_names};
pub use pattern::Encoding;
pub use scheme::{Scheme, SignatureSpec};
pub use secret::{InvalidSecret, LiveSecret, Secret};
pub use sign::{Message, Signer};
pub use slip::{Slip, slip, trim_secret};
pub use template::{InvalidTemplate, Template};
pub use verify::{SignedRequest, Verified, VerifyError, verify, verify_as};
