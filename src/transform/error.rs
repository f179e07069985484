//! What can go wrong with a module, each in a sentence for the person who has to fix it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{LogLevel, LogLine};

/// The host itself cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot make the WebAssembly engine on this machine: {0}")]
    Engine(String),
    #[error("cannot start the WebAssembly engine's clock thread: {0}")]
    Ticker(#[source] io::Error),
}

/// A module cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("there is no transformer `{name}`{} Put {name}.wasm into {}, or use one of {}", suggestion(.near), .dir.display(), .known.join(", "))]
    Unknown { name: String, near: Option<String>, known: Vec<String>, dir: PathBuf },
    #[error("cannot read {} of transformer `{module}`: {error}", .path.display())]
    Read { module: String, path: PathBuf, error: io::Error },
    #[error("transformer `{module}` has {size} bytes, {max} are allowed: {}", .path.display())]
    TooLarge { module: String, path: PathBuf, size: u64, max: u64 },
    #[error("transformer `{module}` is not the one that `sha256` pins: the file has {found}, pinned is {pinned}")]
    Pin { module: String, found: String, pinned: String },
    #[error(
        "transformer `{module}` is a core module and cannot be made a component: {cause}. Build it for the target wasm32-wasip2, \
         with bindings for the world `transformer`, or add the world with `wasm-tools component embed` (see docs/transformers.md)"
    )]
    CoreModule { module: String, cause: String },
    #[error("transformer `{module}` did not compile within {}", time(*.limit))]
    Compile { module: String, limit: Duration },
    #[error("transformer `{module}` cannot be compiled: {cause}{}", async_advice(.cause))]
    NotCompiled { module: String, cause: String },
    #[error("transformer `{module}` is no WebAssembly component: {cause}")]
    Invalid { module: String, cause: String },
    #[error(
        "transformer `{module}` exports no `{export}`: it must be built for the world `transformer` of \
         tenterhook:transformer (wit/1.1.0; jco and componentize-py: `--world-name transformer`, `-w transformer`; see docs/transformers.md)"
    )]
    World { module: String, export: &'static str },
    #[error("transformer `{module}` was built for `{found}`; this Tenterhook speaks {}", .spoken.join(", "))]
    Version { module: String, found: String, spoken: Vec<&'static str> },
    #[error("transformer `{module}` imports `{import}`, which is not served{}", advised(.import))]
    Imports { module: String, import: String },
    #[error("transformer `{module}` does not fit the world `transformer`: {cause} (see docs/transformers.md)")]
    Misfit { module: String, cause: String },
    #[error("cannot load: {error}{}", logged(.log))]
    Describe {
        error: TransformError,
        /// What the module logged, its errors last.
        log: Vec<LogLine>,
    },
    #[error("transformer `{module}` describes its options with something that is no JSON Schema: {cause}")]
    Schema { module: String, cause: String },
}

/// A component that is refused for what it needs, and by the flag that builds it without.
fn async_advice(cause: &str) -> &'static str {
    if !cause.contains("async") {
        return "";
    }
    ". Transformers are not async: build it so (jco: `--backend qjs --backend-qjs-disable-async`; functions of Rust, Python and \
     JavaScript without `async`)"
}

fn advised(import: &str) -> String {
    let usual = "only `host` of tenterhook:transformer and WASI 0.2 can be imported; see docs/transformers.md";
    format!(": {}", super::inspect::advice(import).unwrap_or(usual))
}

/// The errors that a module logged say why it trapped: a trap itself has no words.
fn logged(log: &[LogLine]) -> String {
    let errors: Vec<&str> =
        log.iter().filter(|line| matches!(line.level, LogLevel::Error)).map(|line| line.message.as_str()).collect();
    if errors.is_empty() { String::new() } else { format!("; it logged: {}", errors.join("\n")) }
}

fn suggestion(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_else(|| ".".to_owned())
}

/// Options that a module does not take.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The module said so, with its own words.
    #[error("transformer `{module}`: {message}")]
    Refused { module: String, message: String },
    #[error(transparent)]
    Failed(TransformError),
}

/// A call that came to nothing. Each fails that call alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    #[error("transformer `{module}` used more than its {} of memory", size(*.limit))]
    Memory { module: String, limit: usize },
    #[error("transformer `{module}` did not finish within {}", time(*.limit))]
    Timeout { module: String, limit: Duration },
    /// It was not even called.
    #[error(
        "transformer `{module}` was not called: no instance came free within {}; calls that take long keep them all: see \
         `limits.cpu` and `limits.instances`, or lower the webhook's `concurrency`",
        time(*.limit)
    )]
    Busy { module: String, limit: Duration },
    #[error("transformer `{module}` trapped: {cause} in `{function}`")]
    Trap { module: String, cause: String, function: &'static str },
    #[error("transformer `{module}` ended its process with status {status} in `{function}` instead of returning")]
    Exit { module: String, status: i32, function: &'static str },
    #[error("transformer `{module}` returned {found}, more than its {} of output", size(*.limit))]
    Output { module: String, found: String, limit: usize },
    #[error("transformer `{module}` failed in `{function}`: {cause}")]
    Broken { module: String, cause: String, function: &'static str },
    /// What it returned cannot be used.
    #[error("transformer `{module}` returned {problem}")]
    Refused { module: String, problem: String },
    /// It returned an error of its own.
    #[error("transformer `{module}`: {message}")]
    Guest { module: String, message: String },
    #[error(
        "transformer `{module}` made a request, but `{next}` comes after it: only the last of a webhook's transformers can make \
         the request"
    )]
    NotLast { module: String, next: String },
    #[error("the webhook has no transformer to run")]
    NoStage,
}

/// `64 MiB`, `100 KiB`, `17 bytes`.
fn size(bytes: usize) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// `100 ms`, `2 s`.
fn time(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis >= 1_000 && millis.is_multiple_of(1_000) { format!("{} s", millis / 1_000) } else { format!("{millis} ms") }
}
