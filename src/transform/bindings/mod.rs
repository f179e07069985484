//! The border: one file per published version of the package `tenterhook:transformer`, each turning its generated types
//! into those here. A new version is a new file and a new variant of [`Guest`]; the old ones stay.

mod v1_0;
mod v1_1;

use std::borrow::Cow;

use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::LoadError;
use super::state::State;
use crate::model::Event;

/// What a module says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema of the options: valid JSON, otherwise as the module made it.
    pub options_schema: String,
}

/// An event as a module gets it, its payload not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInput<'a> {
    pub(super) original: Cow<'a, Event>,
    /// RFC 3339.
    timestamp: String,
    /// JSON text.
    data: Cow<'a, str>,
    /// JSON text of an object.
    metadata: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Event> for EventInput<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            original: Cow::Borrowed(event),
            timestamp: event.timestamp.to_string(),
            data: String::from_utf8_lossy(&event.data),
            metadata: event.metadata.as_deref().map(String::from_utf8_lossy),
        }
    }
}

impl EventInput<'_> {
    /// One that a call can take along to another thread.
    pub(super) fn to_static(&self) -> EventInput<'static> {
        EventInput {
            original: Cow::Owned(self.original.clone().into_owned()),
            timestamp: self.timestamp.clone(),
            data: Cow::Owned(self.data.clone().into_owned()),
            metadata: self.metadata.clone().map(|metadata| Cow::Owned(metadata.into_owned())),
        }
    }
}

/// What a module returned, nothing of it checked yet.
#[derive(Debug)]
pub(super) enum RawOutcome {
    Event(RawEvent),
    Events(Vec<RawEvent>),
    Request(RawRequest),
    Drop(String),
}

/// Without tenant: a module cannot change it. Nor can it change the id, which only says which of the events it is.
#[derive(Debug)]
pub(super) struct RawEvent {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) timestamp: String,
    pub(super) data: String,
    pub(super) metadata: Option<String>,
}

#[derive(Debug)]
pub(super) struct RawRequest {
    pub(super) body: Bytes,
    pub(super) headers: Vec<(String, String)>,
    pub(super) method: Option<String>,
    pub(super) url: Option<String>,
}

/// A compiled module with its imports bound, whatever version it speaks.
pub(super) enum Guest {
    V1_0(v1_0::Guest),
    V1_1(v1_1::Guest),
}

const PACKAGE: &str = "tenterhook:transformer/";

/// The versions in `wit/`, each served as it was published.
pub(super) const SPOKEN: [&str; 2] = ["1.0.0", "1.1.0"];

/// What every version of the world exports.
const EXPORTS: [&str; 3] = ["describe", "check", "transform"];

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    v1_0::add_to_linker(linker)?;
    v1_1::add_to_linker(linker)
}

/// Whether an interface of that name is linked; what exactly it asks of it is another question.
fn served(import: &str) -> bool {
    const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    let is_wasi =
        |(name, version): (&str, &str)| version.starts_with("0.2") && WASI.iter().any(|package| name.starts_with(package));
    import.starts_with(PACKAGE) || import.split_once('@').is_some_and(is_wasi)
}

/// The version that a module was built for, as its imports say.
fn version_of(component: &Component) -> Option<String> {
    let (engine, shape) = (component.engine(), component.component_type());
    let version = |import: &str| Some(import.strip_prefix(PACKAGE)?.split_once('@')?.1.to_owned());
    shape.imports(engine).find_map(|(import, _)| version(import))
}

impl Guest {
    /// Recognises the version and binds the imports; nothing of the module runs yet.
    pub(super) fn bind(name: &str, component: &Component, linker: &Linker<State>) -> Result<Self, LoadError> {
        let (engine, shape) = (component.engine(), component.component_type());
        let version = version_of(component);
        // A patch of a version changes nothing but words.
        let known = version.as_deref().map(|version| version.rsplit_once('.').map_or(version, |(minor, _)| minor).to_owned());
        if known.as_deref().is_some_and(|known| !SPOKEN.iter().any(|spoken| spoken.strip_suffix(".0") == Some(known))) {
            let found = format!("tenterhook:transformer@{}", version.unwrap_or_default());
            return Err(LoadError::Version { module: name.to_owned(), found, spoken: SPOKEN.to_vec() });
        }
        for export in EXPORTS {
            if !matches!(shape.get_export(engine, export).map(|found| found.ty), Some(ComponentItem::ComponentFunc(_))) {
                return Err(LoadError::World { module: name.to_owned(), export });
            }
        }
        let misfit = |error: wasmtime::Error| {
            let (module, cause) = (name.to_owned(), format!("{error:#}"));
            match shape.imports(engine).find(|(import, _)| !served(import)) {
                Some((import, _)) => LoadError::Imports { module, import: import.to_owned() },
                None => LoadError::Misfit { module, cause },
            }
        };
        let pre = linker.instantiate_pre(component).map_err(misfit)?;
        match known.as_deref() {
            Some("1.0") => v1_0::Guest::new(pre).map(Self::V1_0).map_err(misfit),
            // Who imports nothing of ours uses none of its types.
            _ => v1_1::Guest::new(pre).map(Self::V1_1).map_err(misfit),
        }
    }

    /// The published version of the interface that it speaks.
    pub(super) fn version(&self) -> &'static str {
        match self {
            Self::V1_0(_) => "1.0.0",
            Self::V1_1(_) => "1.1.0",
        }
    }

    /// Makes an instance and leaves it: what every call begins with.
    pub(super) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        match self {
            Self::V1_0(guest) => guest.instantiate(store).await,
            Self::V1_1(guest) => guest.instantiate(store).await,
        }
    }

    pub(super) async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Description> {
        match self {
            Self::V1_0(guest) => guest.describe(store).await,
            Self::V1_1(guest) => guest.describe(store).await,
        }
    }

    pub(super) async fn check(&self, store: &mut Store<State>, options: &str) -> wasmtime::Result<Result<(), String>> {
        match self {
            Self::V1_0(guest) => guest.check(store, options).await,
            Self::V1_1(guest) => guest.check(store, options).await,
        }
    }

    pub(super) async fn transform(
        &self,
        store: &mut Store<State>,
        events: &[EventInput<'_>],
        options: &str,
    ) -> wasmtime::Result<Result<RawOutcome, String>> {
        match self {
            Self::V1_0(guest) => guest.transform(store, events, options).await,
            Self::V1_1(guest) => guest.transform(store, events, options).await,
        }
    }
}
