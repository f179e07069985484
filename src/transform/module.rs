//! One loaded module, and one call of it: permits, a fresh store and instance, a limit on everything, and a sentence
//! about what went wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::host::Code;
use super::slow_pool::Late;
use super::state::{State, printable};
use super::usage::{Counters, Usage};
use super::{CheckError, Description, EventInput, Host, LoadError, Output, TransformError, output, schema};
use crate::model::{Limits, LogLine};

/// What a guest may hand over in one piece at least, whatever its limit of output: its description, a log line.
const HANDED_OVER_BYTES_MIN: usize = 2 << 20;

/// Handles that a guest may hold within the component model: runtimes need a few dozen.
const HANDLES_MAX: usize = 10_000;

/// An error of a guest is a sentence or a stack trace.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// How long a call waits for a free instance: on a busy machine they come free within milliseconds, and a call that waits
/// longer holds a permit that others could use.
const WAIT_MAX: Duration = Duration::from_secs(30);

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
    /// Calls of this module at the same time: one module never takes all that there are.
    slots: Arc<Semaphore>,
    slots_max: usize,
    counters: Counters,
    description: Description,
}

/// What came of a call, with what the module logged meanwhile.
#[derive(Debug)]
pub struct Transformed {
    pub result: Result<Output, TransformError>,
    pub log: Vec<LogLine>,
    /// Bytes of linear memory that the instance had at its end; 0 when it was ended at its limit of time.
    pub memory: usize,
    /// Time within the module; waiting for a free instance, or for its turn on a thread, does not count.
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
        let slots_max = limits.instances.map_or_else(|| host.instances_usual(), |count| count.get() as usize);
        let slots_max = slots_max.min(host.instances_max());
        let mut module = Self {
            name: name.to_owned(),
            host: host.clone(),
            code,
            _cell: cell,
            limits,
            slots: Arc::new(Semaphore::new(slots_max)),
            slots_max,
            counters: Counters::default(),
            description: nothing,
        };
        let called =
            module.call("describe", |code, mut store| async move { (code.guest.describe(&mut store).await, store) }).await;
        let log = called.log;
        let described = called.result.map_err(|error| LoadError::Describe { error, log })?;
        if let Some(cause) = schema::problem(&described.options_schema) {
            return Err(LoadError::Schema { module: name.to_owned(), cause: printable(&cause, DESCRIPTION_BYTES_MAX) });
        }
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

    /// The version of `wit/` that it was built for.
    pub fn wit_version(&self) -> &'static str {
        self.code.guest.version()
    }

    /// Calls at the same time; more wait.
    pub fn instances_max(&self) -> usize {
        self.slots_max
    }

    /// What its calls came to since it was loaded.
    pub fn usage(&self) -> Usage {
        self.counters.look()
    }

    /// Asks the module whether these options (the JSON text of an object) are good.
    pub async fn check(&self, options: &str) -> Result<(), CheckError> {
        let options = options.to_owned();
        let called =
            self.call("check", |code, mut store| async move { (code.guest.check(&mut store, &options).await, store) }).await;
        match called.result {
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
            return Transformed { result: Err(TransformError::NoStage), log: Vec::new(), memory: 0, duration: Duration::ZERO };
        }
        let (inputs, options) = (events.iter().map(EventInput::to_static).collect::<Vec<_>>(), options.to_owned());
        let called =
            self.call("transform", |code, mut store| async move {
                (code.guest.transform(&mut store, &inputs, &options).await, store)
            })
            .await;
        let result = match called.result {
            Ok(Ok(outcome)) => {
                let originals: Vec<_> = events.iter().map(|event| &*event.original).collect();
                output::check(&self.name, outcome, &originals, self.limits.output)
            }
            Ok(Err(message)) => {
                Err(TransformError::Guest { module: self.name.clone(), message: printable(&message, MESSAGE_BYTES_MAX) })
            }
            Err(error) => Err(error),
        };
        self.counters.add(called.duration, result.is_err());
        Transformed { result, log: called.log, memory: called.memory, duration: called.duration }
    }

    /// How long it takes to make an instance, which every call does.
    ///
    /// # Errors
    /// As of any call.
    pub async fn instantiate(&self) -> Result<Duration, TransformError> {
        let called =
            self.call("instantiate", |code, mut store| async move { (code.guest.instantiate(&mut store).await, store) }).await;
        called.result.map(|()| called.duration)
    }

    /// One call, under all limits: within a permit of the module's and one of the host's, which are waited for only so
    /// long, and for at most `limits.cpu` of its own time. Whatever the guest does, nobody else waits for it.
    async fn call<T, F>(&self, function: &'static str, call: impl FnOnce(Arc<Code>, Store<State>) -> F) -> Called<T>
    where
        T: Send + 'static,
        F: Future<Output = (wasmtime::Result<T>, Store<State>)> + Send + 'static,
    {
        let permits = async { (permit(&self.slots).await, permit(self.host.permits()).await) };
        let Ok(permits) = tokio::time::timeout(WAIT_MAX, permits).await else {
            let busy = TransformError::Busy { module: self.name.clone(), limit: WAIT_MAX };
            return Called { result: Err(busy), log: Vec::new(), memory: 0, duration: Duration::ZERO };
        };
        let store = self.store();
        let log = store.data().log.clone();
        let (call, ticking) = (call(Arc::clone(&self.code), store), self.host.ticking());
        // They end with the call, wherever that has gone: without a tick nothing would interrupt it, and until it has
        // ended, which is later than nobody waiting for it any more, its instance is not free.
        let call = async move {
            let held = (ticking, permits);
            let (result, store) = call.await;
            (result, store, held)
        };
        let (ended, duration) = self.host.slow_pool().run(self.limits.cpu, call).await;
        let (result, memory) = match ended {
            // The store goes here: the guest's streams write their last lines.
            Ok((result, store, held)) => {
                let memory = store.data().memory.used();
                let result = result.map_err(|error| self.explain(function, &error, store.data()));
                drop(store);
                drop(held);
                (result, memory)
            }
            Err(Late) => (Err(TransformError::Timeout { module: self.name.clone(), limit: self.limits.cpu }), 0),
        };
        Called { result, log: log.take(), memory, duration }
    }

    fn store(&self) -> Store<State> {
        let mut store = Store::new(self.host.engine(), State::new(self.limits.memory, self.limits.log));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.output.saturating_add(HANDED_OVER_BYTES_MIN));
        store.set_max_component_handles(HANDLES_MAX);
        // At every tick of the engine's clock the guest gives way, and its limit of time gets a chance to end it.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// Why a call came to nothing, in the words of the limit that it hit.
    fn explain(&self, function: &'static str, error: &wasmtime::Error, state: &State) -> TransformError {
        let module = || self.name.clone();
        // A guest whose allocation was refused ends in whatever way its language has for that.
        if state.memory.exceeded {
            return TransformError::Memory { module: module(), limit: self.limits.memory };
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let cause = trap.to_string();
            let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause).to_owned();
            return TransformError::Trap { module: module(), cause, function };
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return TransformError::Exit { module: module(), status: *status, function };
        }
        TransformError::Broken {
            module: module(),
            cause: printable(&error.root_cause().to_string(), MESSAGE_BYTES_MAX),
            function,
        }
    }
}

/// What a call came to.
struct Called<T> {
    result: Result<T, TransformError>,
    log: Vec<LogLine>,
    memory: usize,
    duration: Duration,
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("the host never closes its semaphores")
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).field("hash", &self.hash_hex()).finish_non_exhaustive()
    }
}
