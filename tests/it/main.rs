//! One integration binary: everything that needs more than one module, over real files and sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod store_contract;
