//! The host against modules that mean it ill, and against the prebuilt ones.

mod caching;
mod core_modules;
mod guests;
mod hostile;
mod prebuilt;
mod running;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Host, HostOptions, LoadError, Module, Source};
use crate::model::{Event, EventId, EventType, Limits, Timestamp};

/// A host with few slots: many of them exist side by side in these tests.
fn host() -> Host {
    Host::new(HostOptions { cache_dir: None, instances_max: 4 }).unwrap()
}

fn event(kind: &str, data: &str) -> Event {
    Event {
        id: EventId::parse("evt_0198").unwrap(),
        kind: EventType::parse(kind).unwrap(),
        timestamp: Timestamp::parse("2026-01-28T10:30:45.123Z").unwrap(),
        received: Timestamp::parse("2026-01-28T10:30:45.200Z").unwrap(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        metadata: None,
        tenant: None,
    }
}

/// Limits of time are generous where time is not what is tested: these tests share their cores.
fn patient() -> Limits {
    Limits { cpu: std::time::Duration::from_secs(20), ..Limits::default() }
}

async fn try_load(host: &Host, text: &str, limits: Limits) -> Result<Arc<Module>, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.wasm");
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    load_file(host, "guest", &path, limits).await
}

async fn load(host: &Host, text: &str, limits: Limits) -> Arc<Module> {
    try_load(host, text, limits).await.unwrap()
}

async fn load_file(host: &Host, name: &str, path: &Path, limits: Limits) -> Result<Arc<Module>, LoadError> {
    host.load(name, Source::File(path.to_owned()), limits, None).await
}
