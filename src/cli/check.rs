//! `tenterhook check`.

use std::io::Write;
use std::path::PathBuf;

use super::{Failed, Global};
use crate::app;
use crate::reload::ReloadError;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook check
  tenterhook check staging.toml --json")]
pub(crate) struct Args {
    /// The file to check, instead of that of --config
    file: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let path = args.file.unwrap_or_else(|| global.config.clone());
    match app::check(&path).await {
        Ok(report) if global.json => {
            let answer = serde_json::json!({
                "ok": true, "webhooks": report.webhooks, "fingerprint": report.fingerprint, "warnings": report.warnings, "problems": [],
            });
            writeln!(std::io::stdout(), "{answer}")?;
            Ok(())
        }
        Ok(report) => {
            for warning in &report.warnings {
                note_part!("{}", warning.render(true));
            }
            let modules = if report.modules.is_empty() { "none".to_owned() } else { report.modules.join(", ") };
            say!("{} is good: {} webhooks, transformers: {modules}", path.display(), report.webhooks);
            Ok(())
        }
        Err(ReloadError::Refused(problems)) => {
            if global.json {
                writeln!(std::io::stdout(), "{}", serde_json::json!({ "ok": false, "problems": problems.problems }))?;
            } else {
                note_part!("{}", problems.render(true));
            }
            Err(Failed.into())
        }
        Err(other) => Err(other.into()),
    }
}
