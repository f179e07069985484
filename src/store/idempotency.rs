//! What the store says about a request that must be done once.

use bytes::Bytes;

/// What is known of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// The key was free; it is taken now.
    New,
    /// The same request is in flight.
    InFlight,
    /// The same request was done.
    Done(StoredResponse),
    /// The key was used for something else.
    OtherRequest,
}

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}
