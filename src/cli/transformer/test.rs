//! `tenterhook transformer test`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::Modules;
use crate::cli::{Failed, Global};
use crate::transform::cases::{self, Case};
use crate::transform::{EventInput, Module};

#[derive(clap::Args)]
#[command(after_help = "A case is a JSON file:
  { \"event\": { \"type\": \"order.created\", \"data\": { \"total\": 9.9 } },
    \"options\": { \"channel\": \"#ops\" },
    \"expect\": { \"request\": { \"body\": … } } }
or with `events`, and `expect` any of `request`, `event`, `events`, `drop`, `error`.

Examples:
  tenterhook transformer test my-format.wasm
  tenterhook transformer test my-format.wasm cases --update   # rewrites them")]
pub(super) struct Args {
    /// A transformer's name, or a file
    #[arg(value_name = "NAME|FILE")]
    module: String,
    /// The folder of cases
    #[arg(value_name = "FOLDER", default_value = "cases")]
    cases: PathBuf,
    /// Write what the module makes into the cases, instead of comparing
    #[arg(long)]
    update: bool,
}

/// What became of a case; no differences is good.
struct Judged {
    name: String,
    updated: bool,
    differences: Vec<String>,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let paths = find(&args.cases)?;
    let module = Modules::new(global)?.load(&args.module).await?;
    let mut judged = Vec::with_capacity(paths.len());
    for path in paths {
        let verdict = judge(&module, &path, args.update).await;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        judged.push(match verdict {
            Ok((updated, differences)) => Judged { name, updated, differences },
            Err(error) => Judged { name, updated: false, differences: vec![format!("{error:#}")] },
        });
    }
    let failed = judged.iter().filter(|case| !case.differences.is_empty()).count();
    if global.json {
        let shown: Vec<_> = judged
            .iter()
            .map(|case| json!({ "case": case.name, "ok": case.differences.is_empty(), "differences": case.differences }))
            .collect();
        writeln!(std::io::stdout(), "{}", json!({ "cases": shown, "failed": failed }))?;
    } else {
        print(&judged, failed);
    }
    if failed == 0 { Ok(()) } else { Err(Failed.into()) }
}

fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list the folder of cases {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        bail!("there are no cases (*.json) in {}", folder.display());
    }
    Ok(paths)
}

async fn judge(module: &Module, path: &Path, update: bool) -> anyhow::Result<(bool, Vec<String>)> {
    let text = std::fs::read_to_string(path).context("cannot be read")?;
    let case = Case::read(&text).map_err(anyhow::Error::msg)?;
    let actual = match module.check(&case.options).await {
        Ok(()) => {
            let inputs: Vec<EventInput<'_>> = case.events.iter().map(EventInput::from).collect();
            cases::show(&module.transform(&inputs, &case.options).await.result)
        }
        // A case may be about options that are refused.
        Err(error) => json!({ "error": error.to_string() }),
    };
    if update {
        let updated = cases::with_expectation(&text, &actual).map_err(anyhow::Error::msg)?;
        let changed = updated != text;
        if changed {
            std::fs::write(path, updated).context("cannot be written")?;
        }
        return Ok((changed, Vec::new()));
    }
    let Some(expected) = case.expect else {
        bail!("expects nothing: `--update` writes what the module makes");
    };
    Ok((false, cases::differences(&expected, &actual)))
}

fn print(judged: &[Judged], failed: usize) {
    let good = anstyle::AnsiColor::Green.on_default();
    let bad = anstyle::AnsiColor::Red.on_default().bold();
    for case in judged {
        match (case.differences.is_empty(), case.updated) {
            (true, true) => say!("{good}updated{good:#} {}", case.name),
            (true, false) => say!("{good}ok{good:#} {}", case.name),
            (false, _) => {
                say!("{bad}FAILED{bad:#} {}", case.name);
                case.differences.iter().for_each(|difference| say!("    {difference}"));
            }
        }
    }
    say!("{} cases, {failed} failed", judged.len());
}
