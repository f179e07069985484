//! The command line. Commands that talk to a running server do so over its HTTP API.

#[macro_use]
mod note;

mod attempts;
mod audit;
mod check;
mod client;
mod deliveries;
mod demo;
mod events;
mod generate;
mod import;
mod init;
mod jobs;
mod json;
mod listen;
mod lists;
mod output;
mod plan;
mod receive;
mod reload;
mod send;
mod serve;
mod stats;
mod store;
mod stream;
mod tail;
mod target;
mod terminal;
mod test;
mod transformer;
mod verify;
mod version;
mod webhook;
mod when;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Exit codes: 0 ok, 1 failed, 2 usage.
#[derive(Parser)]
#[command(
    name = "tenterhook",
    version,
    long_version = version::long(),
    about = "A webhook delivery engine: events in, signed and transformed deliveries out, durable",
    after_help = "Examples:
  tenterhook init      # write a first config.toml
  tenterhook           # run the server on ./config.toml
  tenterhook check     # validate config.toml: every problem, with its line
  tenterhook listen    # a local receiver that verifies and pretty-prints
  tenterhook send order.created --data '{\"n\":1}'    # publish an event
  tenterhook demo      # engine, receiver and sample events in one

Environment: TENTERHOOK_CONFIG, TENTERHOOK_URL, TENTERHOOK_TOKEN,
TENTERHOOK_LOG (a level such as debug), TENTERHOOK_LOG_FORMAT (text or json)."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// The configuration file
    #[arg(short, long, global = true, env = "TENTERHOOK_CONFIG", default_value = "config.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default command)
    Serve(serve::Args),
    /// Write a first config.toml
    Init(init::Args),
    /// Validate a configuration without running it
    Check(check::Args),
    /// Show what a configuration would change
    Plan(plan::Args),
    /// Publish an event to a running server
    Send(send::Args),
    /// Send a sample event to one webhook and show the whole attempt
    Test(test::Args),
    /// Show deliveries as they happen
    Tail(tail::Args),
    /// Receive webhooks locally: verify and pretty-print them
    Listen(listen::Args),
    /// Check the signature of a request
    Verify(verify::Args),
    /// Check and maintain the data directory
    Store(store::Args),
    /// Create, show, change, enable, disable and delete webhooks
    Webhook(Box<webhook::Args>),
    /// List, show, retry and cancel deliveries
    Deliveries(deliveries::Args),
    /// Deliver the events of a period to a webhook again
    Replay(jobs::ReplayArgs),
    /// Erase the events of a tenant or a person
    Erase(jobs::EraseArgs),
    /// List, show, watch and cancel replays and erasures
    Jobs(jobs::Args),
    /// Make the server read its configuration files now
    Reload(reload::Args),
    /// List and show published events and event types
    Events(events::Args),
    /// Show totals, rates and durations
    Stats(stats::StatsArgs),
    /// Show what needs attention: configuration, backlog, failing webhooks
    Status(stats::StatusArgs),
    /// Show who changed what
    Audit(audit::Args),
    /// Print the server's OpenAPI document
    Openapi(audit::OpenApiArgs),
    /// List, create, run, test, inspect and measure transformers
    Transformer(transformer::Args),
    /// Run engine, local receiver and sample events in one, in a temporary directory
    Demo(demo::Args),
    /// Convert webhooks of another system into tables of config.toml
    Import(import::ImportArgs),
    /// Print webhooks made over the API as tables of config.toml
    Export(import::ExportArgs),
    /// Print the JSON Schema of config.toml, for editors
    Schema(generate::SchemaArgs),
    /// Print a completion script for your shell
    Completions(generate::CompletionsArgs),
    /// Print the manual page, or write one for every command
    Man(generate::ManArgs),
}

/// A command did its work and the result is negative: its text is printed already.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub(crate) struct Failed;

pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            note!("error: cannot start the runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    let global = cli.global;
    let command = cli.command.unwrap_or_else(|| Command::Serve(serve::Args::default()));
    let result = runtime.block_on(dispatch(&global, command));
    // A name server or a file that hangs must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.is::<Failed>() => ExitCode::FAILURE,
        // The reader of the output has gone: `tenterhook events list | head`.
        Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            note!("{}error{}: {e:#}", ERROR.render(), ERROR.render_reset());
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::run(global, args).await,
        Command::Init(args) => init::run(global, &args),
        Command::Check(args) => check::run(global, args).await,
        Command::Plan(args) => plan::run(global, args).await,
        Command::Send(args) => send::run(global, args).await,
        Command::Listen(args) => receive::command(global, args).await,
        Command::Verify(args) => verify::command(global, args),
        Command::Store(args) => store::run(global, args).await,
        Command::Transformer(args) => transformer::run(global, args).await,
        Command::Tail(args) => tail::run(global, args).await,
        Command::Webhook(args) => webhook::run(global, *args).await,
        Command::Deliveries(args) => deliveries::run(global, args).await,
        Command::Test(args) => test::run(global, args).await,
        Command::Replay(args) => jobs::replay(global, args).await,
        Command::Erase(args) => jobs::erase(global, args).await,
        Command::Jobs(args) => jobs::run(global, args).await,
        Command::Reload(args) => reload::run(global, args).await,
        Command::Events(args) => events::run(global, args).await,
        Command::Stats(args) => stats::stats(global, args).await,
        Command::Status(args) => stats::status(global, args).await,
        Command::Audit(args) => audit::run(global, args).await,
        Command::Openapi(args) => audit::openapi(global, args).await,
        Command::Demo(args) => demo::run(global, args).await,
        Command::Import(args) => import::import(global, args),
        Command::Export(args) => import::export(global, args).await,
        Command::Schema(args) => generate::schema(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Ctrl-C or SIGTERM; a second one ends the process immediately, which loses nothing.
pub(crate) async fn shutdown_signal() {
    Signals::install().first().await;
}

/// SIGINT and SIGTERM, caught from [`Signals::install`] on. For the first process of a container the kernel drops signals
/// that have no handler.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    pub(crate) fn install() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // Without handlers the kernel ends the process, which loses nothing either.
            Self { terminate: signal(SignalKind::terminate()).ok(), interrupt: signal(SignalKind::interrupt()).ok() }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Resolves with the first; a second one ends the process immediately.
    #[expect(clippy::disallowed_methods, reason = "the second signal is waited for as long as the process lives")]
    pub(crate) async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("second signal: exiting immediately");
            std::process::exit(130);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            () = received(self.terminate.as_mut()) => {}
            () = received(self.interrupt.as_mut()) => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Signals that have no meaning for the server and would end the process by default: they are logged. SIGHUP is caught
/// with them, so that one that comes before the configuration is first read does not end the process.
pub(crate) struct Strays {
    #[cfg(unix)]
    signals: [Option<tokio::signal::unix::Signal>; 2],
}

impl Strays {
    pub(crate) fn install() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // The handler stays installed.
            drop(signal(SignalKind::hangup()));
            Self { signals: [SignalKind::user_defined1(), SignalKind::user_defined2()].map(|kind| signal(kind).ok()) }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Logs each one that comes; never ends.
    pub(crate) async fn log(&mut self) -> std::convert::Infallible {
        #[cfg(unix)]
        {
            let [first, second] = &mut self.signals;
            loop {
                let name = tokio::select! {
                    () = received(first.as_mut()) => "SIGUSR1",
                    () = received(second.as_mut()) => "SIGUSR2",
                };
                tracing::info!("{name} ignored: it has no meaning here; SIGHUP reads the configuration again");
            }
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn received(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_a_summary() {
        fn walk(command: &clap::Command, path: &str, silent: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.get_subcommands().next().is_none() || path == " tenterhook" {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let named = help.contains(path.trim());
                if !(help.contains("Examples:") && named && command.get_about().is_some()) {
                    silent.push(path.clone());
                }
            }
            command.get_subcommands().for_each(|inner| walk(inner, &path, silent));
        }
        let mut silent = Vec::new();
        walk(&super::Cli::command(), "", &mut silent);
        assert!(silent.is_empty(), "without examples: {silent:?}");
    }

    /// An example that is pasted must be one command: clap wraps longer lines, and what follows a command is a comment.
    #[test]
    fn every_example_can_be_pasted() {
        fn walk(command: &clap::Command, wrong: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Examples:\n").map(|(_, examples)| examples).unwrap_or_default();
            wrong.extend(examples.lines().filter(|line| line.chars().count() > HELP_CHARS_MAX).map(str::to_owned));
            let lines = examples.lines().take_while(|line| line.starts_with("  "));
            let joined = lines.fold(String::new(), |all, line| all + line.trim_start() + "\n").replace("\\\n", " ");
            for line in joined.lines().filter(|line| line.contains("tenterhook ") || *line == "tenterhook") {
                let words = shell_words(line);
                let from = words.iter().position(|word| word == "tenterhook").unwrap_or(words.len());
                let command = words[from..].iter().take_while(|word| *word != "|" && *word != "&&" && *word != ">");
                if let Err(error) = super::Cli::command().try_get_matches_from(command) {
                    let shows_help = !error.use_stderr();
                    wrong.extend((!shows_help).then(|| format!("{line}: {error}")));
                }
            }
            command.get_subcommands().for_each(|inner| walk(inner, wrong));
        }
        let mut wrong = Vec::new();
        walk(&super::Cli::command(), &mut wrong);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Terminals of 80 columns show them unbroken.
    const HELP_CHARS_MAX: usize = 80;

    /// As a shell splits a line: quotes, and a comment at its end.
    fn shell_words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if open == c => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                (None, '#') if word.is_none() => break,
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    /// `tests/it/transcripts.rs` plays them.
    #[test]
    fn every_command_has_a_transcript() {
        fn walk(command: &clap::Command, path: &str, played: &[String], missing: &mut Vec<String>) {
            let path = format!("{path}{} ", command.get_name());
            let shown = |line: &String| format!("{line} ").contains(&path) && !line.contains("--help");
            if !command.has_subcommands() && !played.iter().any(shown) {
                missing.push(path.clone());
            }
            command.get_subcommands().for_each(|inner| walk(inner, &path, played, missing));
        }
        let mut played = Vec::new();
        for folder in ["alone", "server"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(folder);
            for file in std::fs::read_dir(folder).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                played.extend(text.lines().filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)));
            }
        }
        let mut missing = Vec::new();
        walk(&super::Cli::command(), "", &played, &mut missing);
        assert!(missing.is_empty(), "without a transcript in tests/cmd: {missing:?}");
    }
}
