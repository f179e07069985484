//! One integration binary: everything that needs more than one module, over real files and sockets.
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod cli;
mod crash;
mod disk;
#[path = "../../src/transform/tests/guests.rs"]
#[expect(dead_code, reason = "shared with the host's own tests, which use all of it")]
mod guests;
mod harness;
mod health;
mod hostile;
mod judges;
mod lanes;
mod publish;
mod reload;
mod signing;
mod store_contract;
mod tc7;
mod transform;
mod ui;
