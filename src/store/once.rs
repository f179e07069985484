//! What the store says about a request that must be done once.

use bytes::Bytes;

/// How a request with a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The key was free; it is taken now.
    New,
    /// The same request is being done.
    UnderWay,
    /// The same request was done.
    Done(KeptAnswer),
    /// The key was used for something else.
    OtherRequest,
}

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}
