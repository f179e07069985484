//! The host: one engine, the modules that are loaded, and the permits to run them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::bindings::{self, Guest};
use super::cache::{Cache, InUse, Key};
use super::resolve::{Source, prebuilt_bytes};
use super::slow_pool::SlowPool;
use super::state::State;
use super::ticker::{Ticker, Ticking};
use super::{HostError, Inspection, LoadError, Module, core, engine};
use crate::model::Limits;

/// The largest module that is read: Python's whole interpreter as a component has 18 MB.
const MODULE_BYTES_MAX: u64 = 128 << 20;

/// Python's interpreter takes 6 seconds on a core that has nothing else to do; on a busy, small machine ten times that.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// How a component begins, and how a core module does.
const COMPONENT_MAGIC: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MAGIC: &[u8] = b"\0asm\x01\0\0\0";

/// Compiles and runs modules. Cheap to clone: all clones are one host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

/// How a host is made.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where compiled modules are cached; `None`: every start compiles them again.
    pub cache_dir: Option<PathBuf>,
    /// Calls at the same time; others wait. Each keeps up to 2 MiB of memory for ever.
    pub instances_max: usize,
}

impl Default for HostOptions {
    /// No cache, and eight instances for every core: four modules can be as slow as they like, and there still is one for
    /// the others.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cache_dir: None, instances_max: 8 * cores }
    }
}

struct Inner {
    engine: Engine,
    ticker: Ticker,
    linker: Linker<State>,
    cache: Option<Cache>,
    permits: Arc<Semaphore>,
    instances_max: usize,
    slow_pool: SlowPool,
    compiles: AtomicU64,
    loaded: Mutex<Loaded>,
}

/// What is in use somewhere; the host itself keeps nothing alive.
#[derive(Default)]
struct Loaded {
    code: HashMap<[u8; 32], Weak<OnceCell<Arc<Code>>>>,
    modules: HashMap<ModuleKey, Weak<Module>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ModuleKey {
    name: String,
    hash: [u8; 32],
    limits: Limits,
}

/// A compiled module with its imports bound, shared by all that have the same content.
pub(super) struct Code {
    pub(super) guest: Guest,
    pub(super) hash: [u8; 32],
    /// Bytes of the WebAssembly.
    pub(super) size: usize,
}

impl Host {
    /// # Errors
    /// The engine does not work on this machine. An address space too small for the pool of instances, or a cache
    /// directory that is not ours alone, are logged, and the host goes on without.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let instances_max = u32::try_from(options.instances_max.clamp(1, 1_000)).unwrap_or(1_000);
        Self::with_engine(engine::build(instances_max)?, instances_max, options.cache_dir.as_deref())
    }

    fn with_engine(engine: Engine, instances_max: u32, cache_dir: Option<&Path>) -> Result<Self, HostError> {
        let mut linker = Linker::new(&engine);
        bindings::add_to_linker(&mut linker).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine)?;
        Ok(Self(Arc::new(Inner {
            engine,
            ticker,
            linker,
            cache: cache_dir.and_then(Cache::open),
            permits: Arc::new(Semaphore::new(instances_max as usize)),
            instances_max: instances_max as usize,
            slow_pool: SlowPool::default(),
            compiles: AtomicU64::new(0),
            loaded: Mutex::default(),
        })))
    }

    /// Loads a module and asks it what it is. The same content is compiled once, however often and under however many
    /// names it is loaded; while one with this name, content and limits is in use, it is given out again.
    ///
    /// `pin` is the SHA-256 that the content must have.
    pub async fn load(
        &self,
        name: &str,
        source: Source,
        limits: Limits,
        pin: Option<[u8; 32]>,
    ) -> Result<Arc<Module>, LoadError> {
        let (bytes, hash) = read_in_background(name, source).await?;
        if let Some(pin) = pin.filter(|pin| *pin != hash) {
            return Err(LoadError::Pin { module: name.to_owned(), found: hex::encode(hash), pinned: hex::encode(pin) });
        }
        let key = ModuleKey { name: name.to_owned(), hash, limits };
        if let Some(module) = self.lock().modules.get(&key).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let cell = self.code_cell(hash);
        let code = cell.get_or_try_init(|| self.compile_in_time(name, bytes, hash)).await?;
        let keeps_cell = Arc::clone(&cell);
        let module = Arc::new(Module::describe(self, name, (Arc::clone(code), keeps_cell), limits).await?);
        let mut loaded = self.lock();
        loaded.modules.retain(|_, module| module.strong_count() > 0);
        // Two may have come this far at once; the first one's is as good.
        if let Some(first) = loaded.modules.get(&key).and_then(Weak::upgrade) {
            return Ok(first);
        }
        loaded.modules.insert(key, Arc::downgrade(&module));
        Ok(module)
    }

    /// What a module is made of, whether or not it can be used: for people who wonder why it cannot.
    ///
    /// # Errors
    /// It cannot be read, or is nothing that the compiler takes.
    pub async fn inspect(&self, name: &str, source: Source) -> Result<Inspection, LoadError> {
        let (bytes, hash) = read_in_background(name, source).await?;
        let (host, name) = (self.clone(), name.to_owned());
        background(move || {
            let component = host.0.component(&name, &bytes, &hash)?;
            Ok(Inspection::of(&component, hash, bytes.len(), bytes.starts_with(CORE_MAGIC)))
        })
        .await
    }

    /// Compilations since the start, those that the cache spared not counted.
    pub fn compiles(&self) -> u64 {
        self.0.compiles.load(Ordering::Relaxed)
    }

    /// Where the address space is too small for a pool.
    #[cfg(test)]
    pub(super) fn without_pool() -> Self {
        Self::with_engine(engine::build_without_pool().unwrap(), 2, None).unwrap()
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(super) fn permits(&self) -> &Arc<Semaphore> {
        &self.0.permits
    }

    /// The guests' clock runs until this is dropped.
    pub(super) fn ticking(&self) -> Ticking {
        self.0.ticker.begin()
    }

    /// Calls at the same time, of all modules together.
    pub(super) fn instances_max(&self) -> usize {
        self.0.instances_max
    }

    /// Calls of one module at the same time, unless its limits say otherwise.
    pub(super) fn instances_usual(&self) -> usize {
        (self.0.instances_max / 4).max(1)
    }

    pub(super) fn slow_pool(&self) -> &SlowPool {
        &self.0.slow_pool
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of that content's code: filled once, by the first that comes.
    fn code_cell(&self, hash: [u8; 32]) -> Arc<OnceCell<Arc<Code>>> {
        let mut loaded = self.lock();
        if let Some(cell) = loaded.code.get(&hash).and_then(Weak::upgrade) {
            return cell;
        }
        loaded.code.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::default();
        loaded.code.insert(hash, Arc::downgrade(&cell));
        cell
    }

    /// A module can be made so that compiling it takes for ever: that thread is lost, but nobody waits for it.
    async fn compile_in_time(&self, name: &str, bytes: Cow<'static, [u8]>, hash: [u8; 32]) -> Result<Arc<Code>, LoadError> {
        let limit = COMPILE_TIME_MAX;
        let late = |_| LoadError::Compile { module: name.to_owned(), limit };
        tokio::time::timeout(limit, self.compile(name, bytes, hash)).await.map_err(late)?
    }

    /// From the cache or by the compiler, off the runtime: a large module takes seconds.
    async fn compile(&self, name: &str, bytes: Cow<'static, [u8]>, hash: [u8; 32]) -> Result<Arc<Code>, LoadError> {
        let (host, name) = (self.clone(), name.to_owned());
        background(move || {
            let inner = &*host.0;
            let component = inner.component(&name, &bytes, &hash)?;
            let guest = Guest::bind(&name, &component, &inner.linker)?;
            Ok(Arc::new(Code { guest, hash, size: bytes.len() }))
        })
        .await
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("compiles", &self.compiles()).finish_non_exhaustive()
    }
}

impl Inner {
    /// What is loaded, or about to be.
    fn in_use(&self) -> InUse {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.code.iter().filter(|(_, cell)| cell.strong_count() > 0).map(|(hash, _)| *hash).collect()
    }

    fn component(&self, name: &str, bytes: &[u8], hash: &[u8; 32]) -> Result<Component, LoadError> {
        if !bytes.starts_with(COMPONENT_MAGIC) && !bytes.starts_with(CORE_MAGIC) {
            let cause = "it does not begin as one".to_owned();
            return Err(LoadError::Invalid { module: name.to_owned(), cause });
        }
        let key = Key::new(hash, &self.engine);
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &key)) {
            return Ok(component);
        }
        self.compiles.fetch_add(1, Ordering::Relaxed);
        let bytes =
            if bytes.starts_with(CORE_MAGIC) { Cow::Owned(core::componentize(name, bytes)?) } else { Cow::Borrowed(bytes) };
        let component = Component::from_binary(&self.engine, &bytes)
            .map_err(|error| LoadError::NotCompiled { module: name.to_owned(), cause: format!("{error:#}") })?;
        if let Some(cache) = &self.cache {
            cache.store(&key, &component, &self.in_use());
        }
        Ok(component)
    }
}

/// Runs what blocks on a thread for that; a panic there is one here.
async fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels it, and then nobody polls this any more.
            Err(_) => std::future::pending().await,
        },
    }
}

async fn read_in_background(name: &str, source: Source) -> Result<(Cow<'static, [u8]>, [u8; 32]), LoadError> {
    let name = name.to_owned();
    background(move || {
        let bytes = match &source {
            Source::Prebuilt => Cow::Borrowed(prebuilt_bytes(&name).ok_or_else(|| not_prebuilt(&name))?),
            Source::File(path) => Cow::Owned(read(&name, path)?),
        };
        let hash = Sha256::digest(&bytes).into();
        Ok((bytes, hash))
    })
    .await
}

fn not_prebuilt(name: &str) -> LoadError {
    let known = super::prebuilt_names().map(str::to_owned).collect();
    LoadError::Unknown { name: name.to_owned(), near: None, known, dir: PathBuf::from("transformers") }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, LoadError> {
    let fail = |error: io::Error| LoadError::Read { module: name.to_owned(), path: path.to_owned(), error };
    let file = fs::File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("it is not a file")));
    }
    let size = metadata.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(MODULE_BYTES_MAX)).unwrap_or(0));
    // A file can grow while it is read; one byte more than allowed tells.
    file.take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MODULE_BYTES_MAX {
        let size = size.max(bytes.len() as u64);
        return Err(LoadError::TooLarge { module: name.to_owned(), path: path.to_owned(), size, max: MODULE_BYTES_MAX });
    }
    Ok(bytes)
}
