//! An event as it is being taken in, and everything that is wrong with it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::{EventId, Timestamp};
pub(super) use crate::publish::{Draft, Refusal, kind, tenant, too_large};

/// What events take from their request when they do not say it themselves.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) now: Timestamp,
    /// `Idempotency-Key`, bound to who sent it.
    pub(super) key: Option<[u8; 32]>,
    /// Bytes of one event.
    pub(super) event_bytes_max: usize,
}

impl Draft {
    pub(super) fn of_tenant(mut self, tenant: &Arc<str>, token: &str) -> Result<Self, Refusal> {
        match &self.event.tenant {
            Some(other) if other != tenant => {
                let mut refusal = Refusal::default();
                let detail = format!("the token `{token}` publishes for the tenant `{tenant}` only: leave `tenant` away");
                refusal.add("tenant", detail);
                Err(refusal)
            }
            _ => {
                self.set_tenant(Arc::clone(tenant));
                Ok(self)
            }
        }
    }
}

impl Refusal {
    /// `[{"field", "detail"}]`.
    pub(super) fn errors(&self) -> Value {
        let error = |(field, detail): (Option<&str>, &str)| match field {
            Some(field) => json!({"field": field, "detail": detail}),
            None => json!({"detail": detail}),
        };
        self.faults().map(error).collect()
    }
}

impl Defaults {
    /// For an event without an id: the same at the same position of a request with the same `Idempotency-Key`, so that a
    /// request that is sent twice is one.
    pub(super) fn id(&self, index: usize) -> EventId {
        let Some(key) = &self.key else { return EventId::generate() };
        let digest = Sha256::new().chain_update(key).chain_update((index as u64).to_be_bytes()).finalize();
        EventId::parse(&format!("evt_{}", hex::encode(&digest[..16]))).unwrap_or_else(|_| EventId::generate())
    }
}

/// The text of `part`, sharing the body where it makes up most of it, copied where keeping the whole body alive for
/// it would hold far more memory than the event is accounted for.
pub(super) fn keep(body: &Bytes, part: &RawValue) -> Bytes {
    let part = part.get().as_bytes();
    if part.len() >= body.len() / 2 { body.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}
