//! `tenterhook store …`: checks and maintains the data directory itself, without the API.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Failed, Global};
use crate::app::{self, StoreCheck, StoreCounts, Vacuumed};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Prove that the store is whole: nothing lost, nothing stuck, counts equal
    Check(CheckArgs),
    /// Write a copy of the store as one file, also while a server runs on it
    Backup(BackupArgs),
    /// Put a backup into a data directory that has no store
    Restore(RestoreArgs),
    /// Rewrite the store without its free space, while no server runs on it
    Vacuum(VacuumArgs),
}

#[derive(clap::Args)]
#[command(after_help = "Reads the file as it is, also while a server runs on it, and changes nothing. It proves that every
delivery that is open will be attempted or waits for what is there, that counts equal the rows,
and that SQLite finds the file sound.

Examples:
  tenterhook store check
  tenterhook store check --data /var/lib/tenterhook --json")]
struct CheckArgs {
    /// The data directory, instead of the one that --config names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "The copy is of one moment and complete up to then, and is checked as `store check` would. It is readable
by its owner alone. Keep the storage key, config.toml and the transformers as well: they are not in it.

Examples:
  tenterhook store backup /backup/tenterhook.db
  tenterhook store backup /backup/tenterhook.db --data /var/lib/tenterhook")]
struct BackupArgs {
    /// The file to write; it must not be there yet
    file: PathBuf,
    /// The data directory, instead of the one that --config names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(
    after_help = "Overwrites nothing: move an old store away first. The next start attempts again what was delivered after the
backup, with the same ids. What is sealed in it needs the same storage key.

Examples:
  tenterhook store restore /backup/tenterhook.db
  tenterhook store restore /backup/tenterhook.db --data /var/lib/tenterhook"
)]
struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// The data directory, instead of the one that --config names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "Run it once on a store that an older version has written to: rests of deleted events and secrets
may be in its free space. It also gives the space of what retention removed back to the file system.
It writes a second copy beside the first and replaces it: a crash leaves one of them, whole.

Examples:
  tenterhook store vacuum
  tenterhook store vacuum --data /var/lib/tenterhook --json")]
struct VacuumArgs {
    /// The data directory, instead of the one that --config names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Check(args) => check(global, args).await,
        Command::Backup(BackupArgs { file, data }) => {
            let directory = directory(global, data)?;
            let checked = app::backup_store(directory, file.clone()).await?;
            report(global, &file.display().to_string(), &checked)
        }
        Command::Restore(RestoreArgs { file, data }) => {
            let directory = directory(global, data)?;
            let checked = app::restore_store(file, directory.clone()).await?;
            report(global, &directory.display().to_string(), &checked)
        }
        Command::Vacuum(args) => vacuum(global, args).await,
    }
}

fn directory(global: &Global, data: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match data {
        Some(directory) => Ok(directory),
        None => app::data_directory(&global.config)
            .map_err(|error| anyhow!("{error}; to work on a store without it, name the data directory with --data DIR")),
    }
}

async fn vacuum(global: &Global, args: VacuumArgs) -> anyhow::Result<()> {
    let directory = directory(global, args.data)?;
    let Vacuumed { before, after } = app::vacuum_store(directory.clone()).await?;
    if global.json {
        writeln!(std::io::stdout(), "{}", json!({"bytes_before": before, "bytes_after": after}))?;
    } else {
        say!("{}: the store took {before} bytes, and takes {after} now.", directory.display());
    }
    Ok(())
}

async fn check(global: &Global, args: CheckArgs) -> anyhow::Result<()> {
    let directory = directory(global, args.data)?;
    let checked = match app::check_store(directory.clone()).await {
        Ok(checked) => checked,
        Err(error) if global.json => StoreCheck { problems: vec![error.to_string()], ..StoreCheck::default() },
        Err(error) => return Err(error.into()),
    };
    report(global, &directory.display().to_string(), &checked)
}

/// What was found at `place`.
fn report(global: &Global, place: &str, checked: &StoreCheck) -> anyhow::Result<()> {
    let whole = checked.problems.is_empty();
    if global.json {
        writeln!(std::io::stdout(), "{}", shape(checked))?;
    } else {
        if let Some(counts) = &checked.counts {
            say!("{place}: {}", show(counts));
        }
        for problem in &checked.problems {
            note!("problem: {problem}");
        }
        if let Some(advice) = &checked.advice {
            note!("what to do: {advice}");
        }
        if whole {
            say!("The store is whole.");
        }
    }
    if whole { Ok(()) } else { Err(Failed.into()) }
}

fn shape(checked: &StoreCheck) -> Value {
    let of = |what: fn(&StoreCounts) -> u64| checked.counts.as_ref().map(what);
    json!({
        "ok": checked.problems.is_empty(), "events": of(|it| it.events), "deliveries": of(|it| it.deliveries),
        "attempts": of(|it| it.attempts), "open": of(|it| it.open), "due": of(|it| it.due), "in_memory": of(|it| it.in_memory),
        "oldest_due": checked.counts.as_ref().and_then(|counts| counts.oldest_due),
        "problems": checked.problems, "advice": checked.advice,
    })
}

fn show(counts: &StoreCounts) -> String {
    let StoreCounts { events, deliveries, attempts, open, due, in_memory, oldest_due } = counts;
    let mut waits = match oldest_due {
        Some(oldest) => format!("{due} of them due, the oldest since {oldest}"),
        None => "none of them due".to_owned(),
    };
    if *in_memory > 0 {
        waits.push_str(&format!("; {in_memory} handed over in memory, recovered at the next start if no server runs"));
    }
    format!("{events} events, {deliveries} deliveries ({open} open, {waits}), {attempts} attempts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn what_is_in_memory_is_due_and_said_to_be_there() {
        let oldest_due = Some(Timestamp::from_millis(0));
        let counts = StoreCounts { events: 3, deliveries: 3, attempts: 1, open: 2, due: 2, in_memory: 1, oldest_due };
        assert_eq!(
            show(&counts),
            "3 events, 3 deliveries (2 open, 2 of them due, the oldest since 1970-01-01T00:00:00.000Z; 1 handed over in memory, \
             recovered at the next start if no server runs), 1 attempts"
        );
    }

    #[test]
    fn json_has_its_keys_also_when_nothing_can_be_read() {
        let checked = StoreCheck { problems: vec!["the file is damaged".to_owned()], ..StoreCheck::default() };
        let shape = shape(&checked);
        assert_eq!(
            (&shape["ok"], &shape["events"], shape["problems"].as_array().unwrap().len()),
            (&false.into(), &Value::Null, 1)
        );
    }
}
