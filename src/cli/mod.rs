//! The command line. Commands that talk to a running server do so over its HTTP API.

#[macro_use]
mod note;

mod audit;
mod check;
mod client;
mod deliveries;
mod demo;
mod events;
mod generate;
mod import;
mod jobs;
mod listen;
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
mod test;
mod transformer;
mod verify;
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
    about = "A webhook delivery engine: events in, signed and transformed deliveries out, durable",
    after_help = "Examples:
  tenterhook                                     run the server on ./config.toml
  tenterhook check                               is config.toml right? (every problem, with its place)
  tenterhook listen                              a local receiver that verifies and pretty-prints
  tenterhook send order.created --data '{\"n\":1}'  publish an event to the running server
  tenterhook demo                                engine, receiver and sample events, all in one"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// For every command.
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
    /// Validate a configuration without running it
    Check(check::Args),
    /// What a configuration would change
    Plan(plan::Args),
    /// Publish an event to a running server
    Send(send::Args),
    /// Send a sample event to one webhook, and see the whole attempt
    Test(test::Args),
    /// Deliveries as they happen
    Tail(tail::Args),
    /// Receive webhooks locally: verify and pretty-print them
    Listen(listen::Args),
    /// Check the signature of a request
    Verify(verify::Args),
    /// Look after the data directory
    Store(store::Args),
    /// Make, look at, change, switch and remove webhooks
    Webhook(Box<webhook::Args>),
    /// What becomes of events: list, show, retry, cancel
    Deliveries(deliveries::Args),
    /// Deliver again what was delivered, or not, before
    Replay(jobs::ReplayArgs),
    /// Erase the events of a tenant or a person
    Erase(jobs::EraseArgs),
    /// Replays and erasures: list, show, watch, cancel
    Jobs(jobs::Args),
    /// Make the server read its files now
    Reload(reload::Args),
    /// What was published: list, show, types
    Events(events::Args),
    /// Totals, rates and durations
    Stats(stats::StatsArgs),
    /// What needs a look: configuration, backlog, webhooks that fail
    Status(stats::StatusArgs),
    /// Who changed what
    Audit(audit::Args),
    /// The server's OpenAPI document
    Openapi(audit::OpenApiArgs),
    /// See, try, test, measure and begin transformers
    Transformer(transformer::Args),
    /// Engine, local receiver and sample events in one, in a temporary directory
    Demo(demo::Args),
    /// Webhooks of another system, as tables of config.toml
    Import(import::ImportArgs),
    /// Webhooks made over the API, as tables of config.toml
    Export(import::ExportArgs),
    /// The JSON Schema of config.toml, for editors
    Schema(generate::SchemaArgs),
    /// A completion script for your shell
    Completions(generate::CompletionsArgs),
    /// The manual page, or one for every command
    Man(generate::ManArgs),
}

/// What a command says when it could do its work but the answer is no: the text is printed already.
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
    // A look at a name server or a file that hangs must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.is::<Failed>() => ExitCode::FAILURE,
        // Whoever read the output has had enough: `tenterhook events list | head`.
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

/// Ctrl-C or SIGTERM; a second one ends the process at once, which loses nothing.
pub(crate) async fn shutdown_signal() {
    Signals::install().first().await;
}

/// SIGINT and SIGTERM, caught from [`Signals::install`] on. The first process of a container has no other handlers:
/// what it does not catch, the kernel drops.
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

    /// Resolves with the first; a second one ends the process at once.
    #[expect(clippy::disallowed_methods, reason = "the second signal is waited for as long as the process lives")]
    pub(crate) async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("second signal: ending at once");
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

/// Signals that would end the process by themselves, and mean nothing to a server: logged, and that is all. SIGHUP is
/// caught with them, so that one that comes before the configuration is first read ends nothing either.
pub(crate) struct Strays {
    #[cfg(unix)]
    signals: [Option<tokio::signal::unix::Signal>; 2],
}

impl Strays {
    pub(crate) fn install() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // Once caught, it stays so.
            drop(signal(SignalKind::hangup()));
            Self { signals: [SignalKind::user_defined1(), SignalKind::user_defined2()].map(|kind| signal(kind).ok()) }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Says so for each one that comes; never ends.
    pub(crate) async fn told(&mut self) -> std::convert::Infallible {
        #[cfg(unix)]
        {
            let [first, second] = &mut self.signals;
            loop {
                let name = tokio::select! {
                    () = received(first.as_mut()) => "SIGUSR1",
                    () = received(second.as_mut()) => "SIGUSR2",
                };
                tracing::info!("{name} means nothing here, and is ignored: SIGHUP reads the configuration again");
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

    /// Every command that does something shows how.
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
