//! What publishing means, for the HTTP API, for a program that Tenterhook is part of, and for Tenterhook itself. An event is checked, validated against the schema of its type, matched to webhooks by the current snapshot, and stored with
//! its deliveries: all of that by [`Publisher::accept`]. Refuses to know where an event came from and in which form.

mod cloud_event;
mod draft;
mod json;
mod publisher;

pub use cloud_event::CloudEventIdentity;
pub use draft::{Destination, Draft, Refusal, kind, tenant, too_large};
pub use json::{Unreadable, check as check_json, replace_half_surrogates};
pub use publisher::{Mode, Outcome, Publisher};
