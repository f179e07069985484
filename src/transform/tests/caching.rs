//! What is compiled, and how often.

use std::fs;
use std::sync::Arc;

use super::guests::{dropping, guest};
use super::{load_file, patient};
use crate::model::Limits;
use crate::transform::{Host, HostOptions, Source};

fn host_in(dir: &std::path::Path) -> Host {
    Host::new(HostOptions { cache_dir: Some(dir.join("cache")), instances_max: 2 }).unwrap()
}

#[tokio::test]
async fn the_same_content_is_compiled_once_under_any_name_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = wat::parse_str(guest(&dropping())).unwrap();
    let (a, b) = (dir.path().join("a.wasm"), dir.path().join("b.wasm"));
    fs::write(&a, &wasm).unwrap();
    fs::write(&b, &wasm).unwrap();
    let host = host_in(dir.path());
    let small = Limits { memory: 1 << 20, ..patient() };
    let (first, second, third) = tokio::join!(
        load_file(&host, "a", &a, patient()),
        load_file(&host, "b", &b, patient()),
        load_file(&host, "a", &a, small)
    );
    let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
    assert_eq!(host.compiles(), 1);
    assert_eq!((second.name(), third.limits().memory), ("b", 1 << 20));
    let again = load_file(&host, "a", &a, patient()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &third));
}

#[tokio::test]
async fn a_thousand_webhooks_over_eighty_modules_compile_eighty() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..80)
        .map(|n| {
            let path = dir.path().join(format!("m{n}.wasm"));
            let text = guest(&format!("(drop (i32.const {n})) {}", dropping()));
            fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
            path
        })
        .collect();
    let host = host_in(dir.path());
    let mut kept = Vec::new();
    for webhook in 0..1_000 {
        let (name, path) = (format!("m{}", webhook % 80), &paths[webhook % 80]);
        kept.push(load_file(&host, &name, path, patient()).await.unwrap());
    }
    assert_eq!(host.compiles(), 80);
    // Another start compiles none of them, in whatever order it loads them.
    let again = host_in(dir.path());
    for (n, path) in paths.iter().enumerate().rev() {
        load_file(&again, &format!("m{n}"), path, patient()).await.unwrap();
    }
    assert_eq!(again.compiles(), 0);
}

#[tokio::test]
async fn another_start_compiles_nothing_and_a_damaged_cache_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    fs::write(&path, wat::parse_str(guest(&dropping())).unwrap()).unwrap();
    for (damage, compiles) in [(false, 1), (false, 0), (true, 1), (false, 0)] {
        if damage {
            let file = fs::read_dir(dir.path().join("cache")).unwrap().next().unwrap().unwrap().path();
            let mut content = fs::read(&file).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs::write(&file, content).unwrap();
        }
        let host = host_in(dir.path());
        load_file(&host, "a", &path, patient()).await.unwrap();
        assert_eq!(host.compiles(), compiles);
    }
}

#[tokio::test]
async fn a_pin_must_match_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_in(dir.path());
    let slack = host.load("slack", Source::Prebuilt, patient(), None).await.unwrap();
    let hash: [u8; 32] = hex::decode(slack.hash_hex()).unwrap().try_into().unwrap();
    assert!(host.load("slack", Source::Prebuilt, patient(), Some(hash)).await.is_ok());
    let error = host.load("slack", Source::Prebuilt, patient(), Some([0; 32])).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "transformer `slack` is not the one that `sha256` pins: the file has {}, pinned is {}",
            slack.hash_hex(),
            "00".repeat(32)
        )
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_or_no_module_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_in(dir.path());
    let missing = dir.path().join("nope.wasm");
    let error = load_file(&host, "nope", &missing, patient()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read {} of transformer `nope`: ", missing.display())), "{error}");
    fs::write(&missing, "hello").unwrap();
    let error = load_file(&host, "nope", &missing, patient()).await.unwrap_err().to_string();
    assert_eq!(error, "transformer `nope` is no WebAssembly component: it does not begin as one");
    fs::write(&missing, b"\0asm\x0d\0\x01\0garbage").unwrap();
    let error = load_file(&host, "nope", &missing, patient()).await.unwrap_err().to_string();
    assert!(error.starts_with("transformer `nope` cannot be compiled: "), "{error}");
    let error = load_file(&host, "dir", dir.path(), patient()).await.unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}
