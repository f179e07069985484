//! `tenterhook:transformer@1.0.0`: calls its modules, and turns its generated types into those of the parent and back.

use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::{Description, EventInput, RawEvent, RawOutcome, RawRequest};
use crate::model::LogLevel;
use crate::transform::state::State;

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/1.0.0",
        world: "transformer",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use generated::tenterhook::transformer::{host, types};
use generated::{Transformer, TransformerPre};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    Transformer::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Debug => LogLevel::Debug,
            host::Level::Info => LogLevel::Info,
            host::Level::Warn => LogLevel::Warn,
            host::Level::Error => LogLevel::Error,
        };
        self.log.push(level, &message);
    }
}

/// A module of this version, ready to be instantiated.
pub(in crate::transform) struct Guest(TransformerPre<State>);

impl Guest {
    pub(super) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        TransformerPre::new(pre).map(Self)
    }

    pub(super) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        self.0.instantiate_async(store).await.map(|_| ())
    }

    pub(super) async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Description> {
        let instance = self.0.instantiate_async(&mut *store).await?;
        let description = instance.call_describe(store).await?;
        Ok(Description {
            name: description.name,
            version: description.version,
            summary: description.summary,
            options_schema: description.options_schema,
        })
    }

    pub(super) async fn check(&self, store: &mut Store<State>, options: &str) -> wasmtime::Result<Result<(), String>> {
        let instance = self.0.instantiate_async(&mut *store).await?;
        instance.call_check(store, options).await
    }

    pub(super) async fn transform(
        &self,
        store: &mut Store<State>,
        events: &[EventInput<'_>],
        options: &str,
    ) -> wasmtime::Result<Result<RawOutcome, String>> {
        let events: Vec<types::EventParam<'_>> = events.iter().map(lower).collect();
        let instance = self.0.instantiate_async(&mut *store).await?;
        let outcome = instance.call_transform(store, &events, options).await?;
        Ok(outcome.map(lift))
    }
}

fn lower<'a>(event: &'a EventInput<'_>) -> types::EventParam<'a> {
    types::EventParam {
        id: event.original.id.as_str(),
        type_: event.original.kind.as_str(),
        timestamp: &event.timestamp,
        data: &event.data,
        metadata: event.metadata.as_deref(),
        tenant: event.original.tenant.as_deref(),
    }
}

fn lift(outcome: types::Outcome) -> RawOutcome {
    match outcome {
        types::Outcome::Event(event) => RawOutcome::Event(RawEvent {
            id: event.id,
            kind: event.type_,
            timestamp: event.timestamp,
            data: event.data,
            metadata: event.metadata,
        }),
        types::Outcome::Request(request) => RawOutcome::Request(RawRequest {
            body: match request.body {
                types::Body::Text(text) => Bytes::from(text),
                types::Body::Bytes(bytes) => Bytes::from(bytes),
            },
            headers: request.headers,
            method: request.method,
            url: request.url,
        }),
        types::Outcome::Drop(reason) => RawOutcome::Drop(reason),
    }
}
