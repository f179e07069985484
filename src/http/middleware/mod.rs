//! What goes around every route: a request's id, log line and metrics; who sent it, how often it may ask, the audit log;
//! keys that make a repeated request one; bodies within bounds.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod body;
mod content_encoding;
pub(crate) mod framing;
pub(crate) mod idempotency;
pub(crate) mod limits;
pub(crate) mod request_id;
