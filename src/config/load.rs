//! Loading: from a path to settings, or to every problem there is. Owns what a reload needs besides the settings: the
//! fingerprint, and what to watch.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings::{Location, Settings};
use crate::config::keys::document::Document;
use crate::config::keys::event_types::{self, SchemaFiles};
use crate::config::keys::secret::Slips;
use crate::config::keys::transform;
use crate::config::keys::webhook::{self, Policies, PolicyDraft, Surroundings};
use crate::config::text::files::{FileReads, Files};
use crate::config::text::gather::{Env, Gathered, gather};
use crate::config::text::problem::{Draft, Problem, Problems};
use crate::config::text::report::Report;
use crate::config::text::source_map::SourceMap;
use crate::config::text::tree::Value;
use crate::model::TransformStep;

/// A configuration that is whole, and what it was made of.
pub struct Loaded {
    pub settings: Settings,
    /// 16 hex digits over the content of every file and every value filled in: equal for equal configurations.
    pub fingerprint: String,
    /// Every file read: config.toml, included ones, those of `${file:…}`.
    pub files: Vec<PathBuf>,
    /// How many of `files` are config.toml and the files that it includes: they come first.
    pub config_files: usize,
    /// Whether the files hold any table at all: without one they declare nothing.
    pub has_tables: bool,
    /// Directories whose listing matters to `include`; they need not exist.
    pub include_dirs: Vec<PathBuf>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Problem>,
    pub(super) sources: Arc<SourceMap>,
    reads: FileReads,
    /// `[defaults]`, which webhooks of the API have too.
    pub(super) defaults: PolicyDraft,
}

/// Reads a configuration from disk. `env` gives environment variables.
///
/// # Errors
/// Everything that is wrong with it, in all its files, in their order.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Problems> {
    load_from(&Files::disk(), path, env)
}

/// Texts that stand in for files, by path.
pub type Texts = BTreeMap<PathBuf, Vec<u8>>;

/// As [`load`], with texts in place of some files: for a configuration that a program holds, which may include files.
///
/// # Errors
/// As [`load`].
pub fn load_over(path: &Path, texts: &Texts, env: Env<'_>) -> Result<Loaded, Problems> {
    load_from(&Files::over(texts), path, env)
}

/// As [`load`], from memory: `config.toml` as given, and other files by path. For tests and fuzzing.
///
/// # Errors
/// As [`load`].
pub fn load_str(text: &str, others: &BTreeMap<PathBuf, Vec<u8>>, env: Env<'_>) -> Result<Loaded, Problems> {
    let path = PathBuf::from("config.toml");
    let mut files = others.clone();
    files.insert(path.clone(), text.as_bytes().to_vec());
    load_from(&Files::memory(&files), &path, env)
}

fn load_from(files: &Files<'_>, path: &Path, env: Env<'_>) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    let gathered = gather_in_thread(files, path, env, &mut report);
    let mut schemas = SchemaFiles::default();
    let (settings, unread, defaults) = settings(&gathered, path, files, &mut schemas, &mut report);
    let has_tables = gathered.root.entries().iter().any(|entry| matches!(entry.node.value, Value::Table(_)));
    let Gathered { files: mut paths, config_files, include_dirs, mut fingerprint, .. } = gathered;
    if !schemas.paths.is_empty() {
        schemas.content.add(fingerprint.as_bytes());
        fingerprint = schemas.content.finish();
        paths.append(&mut schemas.paths);
    }
    let config_files = paths[..config_files].iter().filter(|path| !files.is_fixed(path)).count();
    paths.retain(|path| !files.is_fixed(path));
    let errors = report.errors();
    let (problems, warnings, sources) = report.finish();
    let sources = Arc::new(sources);
    let (files, reads) = (paths, files.reads());
    if problems.is_empty() && errors == 0 {
        return Ok(Loaded {
            settings,
            fingerprint,
            files,
            config_files,
            has_tables,
            include_dirs,
            warnings,
            sources,
            reads,
            defaults,
        });
    }
    let Unread { webhooks: unread, stages: unread_stages } = unread;
    let draft = Arc::new(Draft { settings, unread, unread_stages, whole: !sources.any_broken() });
    Err(Problems { problems, files, include_dirs, fingerprint, draft, sources })
}

/// In a thread of its own. Texts and trees are many times larger than the settings that are made of them, and are freed
/// afterwards. Allocators separate threads, so this memory is freed as a whole instead of leaving holes between what stays.
fn gather_in_thread(files: &Files<'_>, path: &Path, env: Env<'_>, report: &mut Report) -> Gathered {
    let gathered = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("config".to_owned());
        thread.spawn_scoped(scope, || gather(files, path, env, &mut *report)).ok().map(std::thread::ScopedJoinHandle::join)
    });
    match gathered {
        Some(Ok(gathered)) => gathered,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // The system has no thread left.
        None => gather(files, path, env, report),
    }
}

/// What could be read of webhooks that have problems.
#[derive(Default)]
struct Unread {
    webhooks: Vec<String>,
    /// Their transformers: they are judged together with all other problems.
    stages: Vec<(TransformStep, Location)>,
}

/// Every part is read, no matter what is wrong with the others; with the webhooks that could not be read.
fn settings(
    gathered: &Gathered,
    path: &Path,
    files: &Files<'_>,
    schemas: &mut SchemaFiles,
    report: &mut Report,
) -> (Settings, Unread, PolicyDraft) {
    let config_dir = path.parent().unwrap_or(Path::new(""));
    let document = Document::new(&gathered.root, report);
    let server = document.server(&gathered.pems, report);
    let tokens = document.tokens(server.listen, report);
    let storage = document.storage(config_dir, report);
    let retention = document.retention(report);
    let (network, network_egress, network_is_whole) = document.network(report);
    let defaults = match document.table("defaults", "[defaults]", report) {
        Some(table) => webhook::defaults(table, report),
        None => PolicyDraft::default(),
    };
    let network_known = network_is_whole.then_some(&network);
    let mut around = Surroundings {
        defaults: &defaults,
        network: network_known,
        slips: Slips::InFile,
        policies: Policies::default(),
        stages: Vec::new(),
    };
    let (mut webhooks, mut unread) = (BTreeMap::new(), Unread::default());
    for (entry, table) in document.named("webhooks", report) {
        match webhook::webhook(entry, table, &mut around, report) {
            Some(webhook) => drop(webhooks.insert(webhook.id.clone(), Arc::new(webhook))),
            None => unread.webhooks.push(entry.key.name.clone()),
        }
    }
    unread.stages = around.stages;
    let mut transformers = BTreeMap::new();
    for (entry, table) in document.named("transformers", report) {
        if let Some(transformer) = transform::transformer(entry, table, report) {
            transformers.insert(entry.key.name.clone(), transformer);
        }
    }
    // What the file declares itself replaces what a preset says of it.
    let mut event_types = document.catalogue(report);
    event_types.extend(event_types::event_types(document.named("event_types", report), files, schemas, report));
    let transformers_dir = config_dir.join("transformers");
    let settings = Settings {
        server,
        tokens,
        storage,
        retention,
        network,
        network_egress,
        webhooks: Arc::new(webhooks),
        transformers,
        event_types,
        transformers_dir,
    };
    (settings, unread, defaults)
}

impl Loaded {
    /// Whether every file that it was read from, and every directory that was listed, is on disk as it was then:
    /// reading it again would give the same settings.
    pub fn is_on_disk(&self) -> bool {
        self.reads.is_on_disk()
    }

    /// Certificates and keys, each a file that is watched like config.toml itself; those of `[defaults]` too, which webhooks
    /// of the API may be the only ones to use.
    pub fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.settings.certificate_files().chain(self.defaults.certificate_files())
    }

    /// Without the files' texts, which only show where a problem is: for the time when there is none any more.
    #[must_use]
    pub fn without_texts(self) -> Self {
        Self { sources: Arc::default(), ..self }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .field("fingerprint", &self.fingerprint)
            .field("files", &self.files)
            .field("include_dirs", &self.include_dirs)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
