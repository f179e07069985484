//! One integration binary: everything that needs more than one module, over real files and sockets.
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod access;
mod audit;
mod batches;
mod cli;
mod cli_manage;
mod cli_operate;
mod crash;
mod disk;
mod egress;
mod erase;
mod event_types;
#[path = "../../src/transform/tests/guests.rs"]
mod guests;
mod harness;
mod health;
mod hostile;
mod judges;
mod lanes;
mod manage;
mod messages;
mod once;
mod openapi;
mod order;
mod platform;
mod publish;
mod refused;
mod reload;
mod replay;
mod schema;
mod shutdown;
mod signing;
mod store_contract;
mod stream;
mod tc7;
mod toolchains;
mod transform;
mod trial;
mod ui;
