//! `tenterhook store …`: looks after the data directory itself, with or without a running server.

use std::io::Write;
use std::path::PathBuf;

use super::{Failed, Global};
use crate::app;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Prove that the store is whole: nothing lost, nothing stuck, counts equal
    Check(CheckArgs),
}

#[derive(clap::Args)]
#[command(after_help = "Reads the file as it is, also while a server runs on it, and changes nothing.

Examples:
  tenterhook store check
  tenterhook store check --data /var/lib/tenterhook --json")]
struct CheckArgs {
    /// The data directory, instead of the one that --config names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let Command::Check(args) = args.command;
    let directory = match args.data {
        Some(directory) => directory,
        None => app::data_directory(&global.config)?,
    };
    let checked = app::check_store(directory.clone()).await?;
    let whole = checked.problems.is_empty();
    if global.json {
        let answer = serde_json::json!({
            "ok": whole, "events": checked.events, "deliveries": checked.deliveries, "attempts": checked.attempts,
            "open": checked.open, "due": checked.due, "oldest_due": checked.oldest_due, "problems": checked.problems,
        });
        writeln!(std::io::stdout(), "{answer}")?;
    } else {
        let waits = match checked.oldest_due {
            Some(oldest) => format!("{} of them due, the oldest since {oldest}", checked.due),
            None => "none of them due".to_owned(),
        };
        say!(
            "{}: {} events, {} deliveries ({} open, {waits}), {} attempts",
            directory.display(),
            checked.events,
            checked.deliveries,
            checked.open,
            checked.attempts
        );
        for problem in &checked.problems {
            note!("problem: {problem}");
        }
        if whole {
            say!("The store is whole.");
        }
    }
    if whole { Ok(()) } else { Err(Failed.into()) }
}
