//! Core modules as wit-bindgen makes them: they are components as soon as they are loaded.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{event, host, patient, try_load};
use crate::transform::{EventInput, Host, LoadError, Module, Output, Source};

/// Flattened signatures of the world, under the names that bindings give them; `transform` logs "text" and drops.
const CORE: &str = r#"(module
  (import "tenterhook:transformer/host@VERSION" "log" (func $log (param i32 i32 i32)))
  IMPORTS
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $next)
    (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 15)) (i32.const -16))))
  (data (i32.const 1024) "name1text{}")
  (data (i32.const 2048) "\00\04\00\00\04\00\00\00" "\04\04\00\00\01\00\00\00" "\05\04\00\00\04\00\00\00" "\09\04\00\00\02\00\00\00")
  (func (export "describe") (result i32) (i32.const 2048))
  (func (export "check") (param i32 i32) (result i32) (i32.const 3072))
  (func (export "transform") (param i32 i32 i32 i32) (result i32)
    (call $log (i32.const 1) (i32.const 1029) (i32.const 4))
    (i32.store (i32.const 4096) (i32.const 0))
    (i32.store (i32.const 4100) (i32.const DROP))
    (i32.store (i32.const 4104) (i32.const 1029))
    (i32.store (i32.const 4108) (i32.const 4))
    (i32.const 4096))
)"#;

/// As bindings make it, with the world.
fn core(version: &str, imports: &str) -> Vec<u8> {
    let mut module = plain(version, imports);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(format!("{}/wit/{version}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let world = resolve.select_world(&[package], Some("transformer")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// `drop` is the third case of an outcome in 1.0.0, and the fourth in 1.1.0.
fn plain(version: &str, imports: &str) -> Vec<u8> {
    let drop = if version == "1.0.0" { "2" } else { "3" };
    let text = CORE.replace("VERSION", version).replace("DROP", drop).replace("IMPORTS", imports);
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn a_core_module_without_a_world_is_given_ours() {
    for version in ["1.0.0", "1.1.0"] {
        let module = load(&host(), &plain(version, "")).await.unwrap();
        assert_eq!((module.wit_version(), module.description().name.as_str()), (version, "name"));
        let done = module.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await;
        assert_eq!(done.result.unwrap(), Output::Drop { reason: "text".to_owned() });
    }
}

async fn load(host: &Host, wasm: &[u8]) -> Result<std::sync::Arc<Module>, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.wasm");
    std::fs::write(&path, wasm).unwrap();
    host.load("guest", Source::File(path), patient(), None).await
}

#[tokio::test]
async fn a_core_module_with_bindings_works_in_either_version() {
    let host = host();
    let preview1 = r#"(import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))"#;
    for (version, imports) in [("1.0.0", ""), ("1.1.0", ""), ("1.1.0", preview1)] {
        let module = load(&host, &core(version, imports)).await.unwrap();
        assert_eq!((module.wit_version(), module.description().name.as_str()), (version, "name"));
        module.check("{}").await.unwrap();
        let done = module.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await;
        assert_eq!(done.result.unwrap(), Output::Drop { reason: "text".to_owned() });
        assert_eq!(done.log[0].message, "text");
    }
}

#[tokio::test]
async fn inspection_says_that_it_was_a_core_module() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.wasm");
    std::fs::write(&path, core("1.1.0", "")).unwrap();
    let inspection = host().inspect("guest", Source::File(path)).await.unwrap();
    assert!(inspection.is_core);
    assert_eq!(inspection.wit_version(), Some("1.1.0"));
    assert!(inspection.exports.contains(&"transform()".to_owned()), "{:?}", inspection.exports);
}

#[tokio::test]
async fn a_core_module_that_cannot_be_a_component_says_why() {
    let host = host();
    let broken = core("1.1.0", r#"(import "env" "f" (func))"#);
    let error = load(&host, &broken).await.unwrap_err().to_string();
    assert!(error.starts_with("transformer `guest` is a core module and cannot be made a component: "), "{error}");
    assert!(error.contains("env"), "{error}");
    let plain = try_load(&host, "(module (memory 1))", patient()).await.unwrap_err().to_string();
    assert!(plain.contains("`describe`"), "{plain}");
    assert!(plain.contains("or add the world with `wasm-tools component embed`"), "{plain}");
}
