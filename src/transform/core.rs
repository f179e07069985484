//! Core modules: what compilers for `wasm32-unknown-unknown` and `wasm32-wasip1` make. One becomes a component when it is
//! loaded: with the world that its bindings stored in it, or, without one, with ours.

use std::borrow::Cow;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::LoadError;

/// The imports of WASI preview 1, in terms of WASI 0.2.
const WASI_PREVIEW1: &str = "wasi_snapshot_preview1";

/// The custom section in which bindings store the world that they were made for.
const WORLD_SECTION: &[u8] = b"component-type";

/// Each published version: the import that tells it, and its text. The last one is for modules that import nothing of ours.
const VERSIONS: [(&[u8], &str); 2] = [
    (b"tenterhook:transformer/host@1.0.0", include_str!("../../wit/1.0.0/transformer.wit")),
    (b"tenterhook:transformer/host@1.1.0", include_str!("../../wit/1.1.0/transformer.wit")),
];

/// The module as a component.
pub(super) fn componentize(name: &str, module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let fail = |cause: String| LoadError::CoreModule { module: name.to_owned(), cause };
    let mut module = Cow::Borrowed(module);
    if !contains(&module, WORLD_SECTION) {
        embed_world(module.to_mut()).map_err(fail)?;
    }
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(WASI_PREVIEW1, adapter))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| fail(format!("{error:#}")))
}

/// Says in the module that it was built for the world `transformer`, in the version whose `host` it imports.
fn embed_world(module: &mut Vec<u8>) -> Result<(), String> {
    let [.., (_, newest)] = VERSIONS;
    let text = VERSIONS.iter().find(|(import, _)| contains(module, import)).map_or(newest, |(_, text)| text);
    let mut resolve = Resolve::default();
    let package = resolve.push_source("transformer.wit", text).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("transformer")).map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(|error| format!("{error:#}"))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
