//! Secrets (zeroised, redacted), signature schemes, signing and verification. Refuses I/O and clocks: the time is
//! an argument, the bytes are the caller's.
//!
//! Schemes: Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`, with Ed25519 keys
//! `v1a,…`), `sha256=<hex>` of the body, `t=…,v1=<hex>` (Stripe's form), GitHub's, Slack's, Shopify's, and templates.
//! A secret that begins with `whsec_` is base64 to Standard Webhooks and plain text to the others, because that is
//! what their verifiers do; any other secret is its own bytes everywhere.

mod ed25519;
mod scheme;
mod secret;
mod sign;
mod template;
mod verify;

pub use scheme::{Scheme, SignatureSpec};
pub use secret::{InvalidSecret, LiveSecret, Secret};
pub use sign::{Message, Signer};
pub use template::{Encoding, InvalidTemplate, Template};
pub use verify::{Verified, VerifyError, verify, verify_as};
