//! One integration binary: everything that needs more than one module, over real files and sockets.
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod cli;
mod crash;
mod disk;
#[path = "../../src/transform/tests/guests.rs"]
mod guests;
mod harness;
mod hostile;
mod judges;
mod messages;
mod platform;
mod publish;
mod reload;
mod store_contract;
mod tc7;
mod toolchains;
mod transform;
