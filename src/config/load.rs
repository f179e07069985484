//! Loading: from a path to settings, or to every problem there is. Owns what a reload needs besides the settings: the
//! fingerprint, what to watch, and the way back from a place to its line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Document;
use super::event_types::{self, SchemaFiles};
use super::files::{Files, Looked};
use super::gather::{Env, Gathered, gather};
use super::problem::{Draft, Problem, Problems, Severity};
use super::report::Report;
use super::settings::{Place, Settings};
use super::sources::Sources;
use super::transform;
use super::webhook::{self, Policies, Policy, Surroundings};

/// A configuration that is whole, and what it was made of.
pub struct Loaded {
    pub settings: Settings,
    /// 16 hex digits over the content of every file and every value filled in: equal for equal configurations.
    pub fingerprint: String,
    /// Every file read: config.toml, included ones, those of `${file:…}`.
    pub files: Vec<PathBuf>,
    /// Directories whose listing matters to `include`; they need not exist.
    pub include_dirs: Vec<PathBuf>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Problem>,
    sources: Sources,
    looked: Looked,
    /// `[defaults]`, which webhooks of the API have too.
    pub(super) defaults: Policy,
}

/// Reads a configuration from disk. `env` gives environment variables.
///
/// # Errors
/// Everything that is wrong with it, in all its files, in their order.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Problems> {
    load_from(&Files::disk(), path, env)
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
    let gathered = gather_apart(files, path, env, &mut report);
    let mut schemas = SchemaFiles::default();
    let (settings, unread, defaults) = settings(&gathered, path, files, &mut schemas, &mut report);
    let Gathered { files: mut paths, include_dirs, mut fingerprint, .. } = gathered;
    if !schemas.paths.is_empty() {
        schemas.content.add(fingerprint.as_bytes());
        fingerprint = schemas.content.finish();
        paths.append(&mut schemas.paths);
    }
    let errors = report.errors();
    let (problems, warnings, sources) = report.finish();
    let (files, looked) = (paths, files.looked());
    if problems.is_empty() && errors == 0 {
        return Ok(Loaded { settings, fingerprint, files, include_dirs, warnings, sources, looked, defaults });
    }
    let draft = Arc::new(Draft { settings, unread, whole: !sources.any_broken() });
    Err(Problems { problems, files, include_dirs, fingerprint, draft })
}

/// In a thread of its own. What is read, texts and trees, is many times larger than what is made of it, and goes when that
/// is made: allocators keep threads apart, so it goes as a whole instead of leaving holes between what stays.
fn gather_apart(files: &Files<'_>, path: &Path, env: Env<'_>, report: &mut Report) -> Gathered {
    let apart = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("config".to_owned());
        thread.spawn_scoped(scope, || gather(files, path, env, &mut *report)).ok().map(std::thread::ScopedJoinHandle::join)
    });
    match apart {
        Some(Ok(gathered)) => gathered,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // No thread to be had.
        None => gather(files, path, env, report),
    }
}

/// Every part is read whatever is wrong with the others; with the webhooks that could not be.
fn settings(
    gathered: &Gathered,
    path: &Path,
    files: &Files<'_>,
    schemas: &mut SchemaFiles,
    report: &mut Report,
) -> (Settings, Vec<String>, Policy) {
    let config_dir = path.parent().unwrap_or(Path::new(""));
    let document = Document::new(&gathered.root, report);
    let server = document.server(&gathered.pems, report);
    let tokens = document.tokens(server.listen, report);
    let storage = document.storage(config_dir, report);
    let retention = document.retention(report);
    let (network, network_egress, network_is_whole) = document.network(report);
    let defaults = match document.table("defaults", "[defaults]", report) {
        Some(table) => webhook::defaults(table, report),
        None => Policy::default(),
    };
    let network_known = network_is_whole.then_some(&network);
    let mut around = Surroundings { defaults: &defaults, network: network_known, policies: Policies::default() };
    let (mut webhooks, mut unread) = (BTreeMap::new(), Vec::new());
    for (entry, table) in document.named("webhooks", report) {
        match webhook::webhook(entry, table, &mut around, report) {
            Some(webhook) => drop(webhooks.insert(webhook.id.clone(), Arc::new(webhook))),
            None => unread.push(entry.key.name.clone()),
        }
    }
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
    /// Whether every file that it was read from, and every directory that was looked through, is on disk as it was then:
    /// reading it again would come to the same.
    pub fn is_on_disk(&self) -> bool {
        self.looked.is_on_disk()
    }

    /// Certificates and keys, each a file that is watched like config.toml itself; those of `[defaults]` too, which webhooks
    /// of the API may be the only ones to use.
    pub fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.settings.certificate_files().chain(self.defaults.certificate_files())
    }

    /// Without the files' texts, which only show where a problem is: for the time when there is none any more.
    #[must_use]
    pub fn without_texts(self) -> Self {
        Self { sources: Sources::default(), ..self }
    }

    /// A problem found later (a module that is missing, options that it refuses) at a place of these settings.
    pub fn problem_at(&self, place: &Place, message: String, help: Option<String>) -> Problem {
        let span = self.sources.span_of(place);
        let excerpts = span.and_then(|span| self.sources.excerpt(span, None)).into_iter().collect();
        let (file, line, column) = (place.file.to_path_buf(), place.line as usize, place.column as usize);
        Problem { severity: Severity::Error, file, line, column, message, help, excerpts }
    }

    /// These problems as the reason why this configuration is refused after all.
    pub fn refused(&self, problems: Vec<Problem>) -> Problems {
        Problems {
            problems,
            files: self.files.clone(),
            include_dirs: self.include_dirs.clone(),
            fingerprint: self.fingerprint.clone(),
            draft: Arc::new(Draft { settings: self.settings.clone(), unread: Vec::new(), whole: true }),
        }
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
