//! One loaded module, and one call of it: a permit, a fresh store and instance, a limit on everything, and a sentence
//! about what went wrong.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use tokio::sync::OnceCell;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::host::{Code, Permit};
use super::state::{State, printable};
use super::{CheckError, Description, EventInput, Host, LoadError, Output, TransformError, output};
use crate::model::{Limits, LogLine};

/// What a guest may hand over in one piece at least, whatever its limit of output: its description, a log line.
const HANDED_OVER_BYTES_MIN: usize = 2 << 20;

/// Handles that a guest may hold within the component model: runtimes need a few dozen.
const HANDLES_MAX: usize = 10_000;

/// An error of a guest is a sentence or a stack trace.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// A name or summary is a line.
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// A module that can be called. Every call gets an instance of its own.
pub struct Module {
    name: String,
    host: Host,
    code: Arc<Code>,
    /// Keeps the host's place for this content filled, so that another module of the same content finds it.
    _cell: Arc<OnceCell<Arc<Code>>>,
    limits: Limits,
    description: Description,
}

/// What came of a call, with what the module logged meanwhile.
#[derive(Debug)]
pub struct Transformed {
    pub result: Result<Output, TransformError>,
    pub log: Vec<LogLine>,
    /// Time within the module; waiting for a free instance does not count.
    pub duration: Duration,
}

impl Module {
    /// Asks the module what it is, under the limits of any call.
    pub(super) async fn describe(
        host: &Host,
        name: &str,
        (code, cell): (Arc<Code>, Arc<OnceCell<Arc<Code>>>),
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let nothing =
            Description { name: String::new(), version: String::new(), summary: String::new(), options_schema: String::new() };
        let mut module = Self { name: name.to_owned(), host: host.clone(), code, _cell: cell, limits, description: nothing };
        let _permit = module.permit().await;
        let mut store = module.store();
        let called = timeout(limits.cpu, module.code.guest.describe(&mut store)).await;
        let described = module.settle("describe", called, &store).map_err(LoadError::Describe)?;
        if let Err(error) = serde_json::from_str::<IgnoredAny>(&described.options_schema) {
            return Err(LoadError::Schema { module: name.to_owned(), cause: error.to_string() });
        }
        drop(store);
        drop(_permit);
        module.description = Description {
            name: printable(&described.name, DESCRIPTION_BYTES_MAX),
            version: printable(&described.version, DESCRIPTION_BYTES_MAX),
            summary: printable(&described.summary, DESCRIPTION_BYTES_MAX),
            options_schema: described.options_schema,
        };
        Ok(module)
    }

    /// The name that it is configured under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the WebAssembly, in hex.
    pub fn hash_hex(&self) -> String {
        hex::encode(self.code.hash)
    }

    /// Bytes of the WebAssembly.
    pub fn size(&self) -> usize {
        self.code.size
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the module says about itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Asks the module whether these options (the JSON text of an object) are good.
    pub async fn check(&self, options: &str) -> Result<(), CheckError> {
        let _permit = self.permit().await;
        let mut store = self.store();
        let called = timeout(self.limits.cpu, self.code.guest.check(&mut store, options)).await;
        match self.settle("check", called, &store) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => {
                Err(CheckError::Refused { module: self.name.clone(), message: printable(&message, MESSAGE_BYTES_MAX) })
            }
            Err(error) => Err(CheckError::Failed(error)),
        }
    }

    /// Runs the module over one event or a batch (oldest first), with options that [`Self::check`] took. What it returns
    /// is checked; an event of its making keeps the id and tenant of the first of these.
    pub async fn transform(&self, events: &[EventInput<'_>], options: &str) -> Transformed {
        if events.is_empty() {
            return Transformed { result: Err(TransformError::NoStage), log: Vec::new(), duration: Duration::ZERO };
        }
        let _permit = self.permit().await;
        let started = Instant::now();
        let mut store = self.store();
        let called = timeout(self.limits.cpu, self.code.guest.transform(&mut store, events, options)).await;
        let result = match self.settle("transform", called, &store) {
            Ok(Ok(outcome)) => {
                let originals: Vec<_> = events.iter().map(|event| event.original).collect();
                output::check(&self.name, outcome, &originals, self.limits.output)
            }
            Ok(Err(message)) => {
                Err(TransformError::Guest { module: self.name.clone(), message: printable(&message, MESSAGE_BYTES_MAX) })
            }
            Err(error) => Err(error),
        };
        let log = store.data().log.clone();
        // Its streams write their last lines when they go.
        drop(store);
        Transformed { result, log: log.take(), duration: started.elapsed() }
    }

    async fn permit(&self) -> Permit<'_> {
        self.host.permit().await
    }

    fn store(&self) -> Store<State> {
        let mut store = Store::new(self.host.engine(), State::new(self.limits.memory));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.output.saturating_add(HANDED_OVER_BYTES_MIN));
        store.set_max_component_handles(HANDLES_MAX);
        // At every tick of the engine's clock the guest gives way, and `timeout` gets its chance to end it.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// What a call came to, in the words of the limit that it hit.
    fn settle<T>(
        &self,
        function: &'static str,
        called: Result<wasmtime::Result<T>, Elapsed>,
        store: &Store<State>,
    ) -> Result<T, TransformError> {
        let module = || self.name.clone();
        let error = match called {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(TransformError::Timeout { module: module(), limit: self.limits.cpu }),
        };
        // A guest whose allocation was refused ends in whatever way its language has for that.
        if store.data().memory.exceeded {
            return Err(TransformError::Memory { module: module(), limit: self.limits.memory });
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let cause = trap.to_string();
            let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause).to_owned();
            return Err(TransformError::Trap { module: module(), cause, function });
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return Err(TransformError::Exit { module: module(), status: *status, function });
        }
        Err(TransformError::Broken {
            module: module(),
            cause: printable(&error.root_cause().to_string(), MESSAGE_BYTES_MAX),
            function,
        })
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).field("hash", &self.hash_hex()).finish_non_exhaustive()
    }
}
