//! Core modules: what compilers for `wasm32-unknown-unknown` and `wasm32-wasip1` make. One that was built with bindings for our
//! world carries the world along, and becomes a component when it is loaded.

use wit_component::ComponentEncoder;

use super::LoadError;

/// The imports of WASI preview 1, in terms of WASI 0.2.
const WASI_PREVIEW1: &str = "wasi_snapshot_preview1";

/// The custom section in which bindings keep the world that they were made for.
const WORLD_SECTION: &[u8] = b"component-type";

/// The module as a component.
pub(super) fn componentize(name: &str, module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let fail = |cause: String| LoadError::CoreModule { module: name.to_owned(), cause };
    if !module.windows(WORLD_SECTION.len()).any(|window| window == WORLD_SECTION) {
        return Err(fail("it does not say which world it was built for".to_owned()));
    }
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_PREVIEW1, adapter))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| fail(format!("{error:#}")))
}
