//! `tenterhook transformer …`: see, try, test, measure and begin transformers. Runs them in the same sandbox as the server,
//! with the limits that config.toml declares; needs no server.

mod bench;
mod input;
mod inspect;
mod list;
mod new;
mod run;
mod test;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::Global;
use crate::config::TransformerSettings;
use crate::model::Limits;
use crate::reload;
use crate::transform::{self, Host, HostOptions, Module, Source};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook transformer list                      # names and sources
  tenterhook transformer new my-format --lang js   # a project of your own
  tenterhook transformer run slack --event event.json
  tenterhook transformer inspect my-format.wasm    # why a file does not load
  tenterhook transformer test my-format.wasm cases # golden cases of a folder
  tenterhook transformer bench my-format.wasm      # the cost of a call")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every transformer that can be used by name, prebuilt and from transformers/
    #[command(after_help = "Examples:
  tenterhook transformer list
  tenterhook transformer list --json")]
    List,
    /// Imports, exports, size, version and options of a module, and why it will not load
    Inspect(inspect::Args),
    /// Run a module on an event and show the resulting request and log
    Run(run::Args),
    /// Hold a module to golden cases from a folder
    Test(test::Args),
    /// Measure a module: time per call, memory, share of making the instance
    Bench(bench::Args),
    /// Write a project for a transformer of your own
    New(new::Args),
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::List => list::run(global).await,
        Command::Inspect(args) => inspect::run(global, args).await,
        Command::Run(args) => run::run(global, args).await,
        Command::Test(args) => test::run(global, args).await,
        Command::Bench(args) => bench::run(global, args).await,
        Command::New(args) => new::run(global, args),
    }
}

/// Modules as the server on this configuration would load them.
struct Modules {
    host: Host,
    dir: PathBuf,
    declared: BTreeMap<String, TransformerSettings>,
}

/// A module by name or file.
struct Found {
    name: String,
    source: Source,
    limits: Limits,
    pin: Option<[u8; 32]>,
}

impl Modules {
    /// A configuration that is not there, or wrong, leaves the files beside where it would be.
    fn new(global: &Global) -> anyhow::Result<Self> {
        let config_dir = global.config.parent().unwrap_or_else(|| Path::new(""));
        let (mut dir, mut declared, mut cache_dir) = (config_dir.join("transformers"), BTreeMap::new(), None);
        if global.config.exists() {
            match reload::load(&global.config) {
                Ok(loaded) => {
                    dir = loaded.settings.transformers_dir;
                    declared = loaded.settings.transformers.into_iter().collect();
                    // Only where a server has its data already.
                    cache_dir = Some(loaded.settings.storage.path).filter(|path| path.is_dir()).map(|path| path.join("modules"));
                }
                Err(_) => note!(
                    "{} has problems (see `tenterhook check`): its [transformers] are not looked at",
                    global.config.display()
                ),
            }
        }
        let cache_dir = cache_dir.or_else(user_cache);
        let host = Host::new(HostOptions { cache_dir, ..HostOptions::default() })?;
        Ok(Self { host, dir, declared })
    }

    /// `which` is a file if it looks like one, else a name.
    fn find(&self, which: &str) -> anyhow::Result<Found> {
        let path = Path::new(which);
        let is_file = path.components().count() > 1 || path.extension().is_some_and(|extension| extension == "wasm");
        if is_file {
            let name = path.file_stem().and_then(|stem| stem.to_str()).context("the file has no name that is text")?.to_owned();
            let declared = self.declared.get(&name);
            let limits = declared.map_or_else(Limits::default, |declared| declared.limits);
            return Ok(Found { name, source: Source::File(path.to_owned()), limits, pin: None });
        }
        let declared = self.declared.get(which);
        let source = transform::resolve(which, &self.dir, declared.and_then(|declared| declared.path.as_deref()))?;
        Ok(Found {
            name: which.to_owned(),
            source,
            limits: declared.map_or_else(Limits::default, |declared| declared.limits),
            pin: declared.and_then(|declared| declared.sha256),
        })
    }

    async fn load(&self, which: &str) -> anyhow::Result<Arc<Module>> {
        let Found { name, source, limits, pin } = self.find(which)?;
        Ok(self.host.load(&name, source, limits, pin).await?)
    }
}

/// Where compiled modules are cached when there is no server's data directory: the user's own cache.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let in_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(in_home)))?;
    Some(base.join("tenterhook").join("modules"))
}

/// `1,234,567`
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(super::grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
