//! What a module is made of, for people: `tenterhook transformer inspect`.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// A compiled component, nothing of which ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub sha256: [u8; 32],
    /// Bytes of the file.
    pub size: usize,
    /// It is a core module that was made a component when it was loaded.
    pub is_core: bool,
    /// Names of interfaces and functions, as `wasi:cli/stderr@0.2.3`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

impl Inspection {
    pub(super) fn of(component: &Component, sha256: [u8; 32], size: usize, is_core: bool) -> Self {
        let (engine, shape) = (component.engine(), component.component_type());
        let imports = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let export = |name: &str, is_function: bool| if is_function { format!("{name}()") } else { name.to_owned() };
        let exports =
            shape.exports(engine).map(|(name, item)| export(name, matches!(item.ty, ComponentItem::ComponentFunc(_)))).collect();
        Self { sha256, size, is_core, imports, exports }
    }

    /// The version of our package that it was built for.
    pub fn wit_version(&self) -> Option<&str> {
        self.imports.iter().find_map(|import| Some(import.strip_prefix("tenterhook:transformer/")?.split_once('@')?.1))
    }
}

/// How to build it so that it does not ask for what is not there.
pub(super) fn advice(import: &str) -> Option<&'static str> {
    let (package, version) = import.split_once('@').unwrap_or((import, ""));
    if package.starts_with("wasi:http/") {
        return Some(
            "there is no network: build without HTTP (jco: `--backend qjs --backend-qjs-disable-async`, or `--disable http \
             fetch-event`; Rust: no crate that sends requests)",
        );
    }
    if package.starts_with("wasi:") && version.starts_with("0.3") {
        return Some(
            "WASI 0.3 is not served: build for WASI 0.2 (Rust: `--target wasm32-wasip2`; jco: `--backend-qjs-disable-async`)",
        );
    }
    if package.starts_with("wasi:") {
        return Some("of WASI only 0.2's command-line world is served: build for `wasm32-wasip2`");
    }
    if package.starts_with("tenterhook:transformer/") {
        return Some("build with the interface in wit/ of this Tenterhook (`tenterhook transformer new` brings it along)");
    }
    None
}
