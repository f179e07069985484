//! The command line. Commands that talk to a running server do so over its HTTP API.

mod check;
mod client;
mod demo;
mod listen;
mod receive;
mod send;
mod serve;
mod store;
mod verify;

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
    /// Publish an event to a running server
    Send(send::Args),
    /// Receive webhooks locally: verify and pretty-print them
    Listen(listen::Args),
    /// Check the signature of a request
    Verify(verify::Args),
    /// Look after the data directory
    Store(store::Args),
    /// Engine, local receiver and sample events in one, in a temporary directory
    Demo(demo::Args),
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
            anstream::eprintln!("error: cannot start the runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    let global = cli.global;
    let result = runtime.block_on(async {
        match cli.command.unwrap_or_else(|| Command::Serve(serve::Args::default())) {
            Command::Serve(args) => serve::run(&global, args).await,
            Command::Check(args) => check::run(&global, args).await,
            Command::Send(args) => send::run(&global, args).await,
            Command::Listen(args) => receive::command(&global, args).await,
            Command::Verify(args) => verify::command(&global, args),
            Command::Store(args) => store::run(&global, args).await,
            Command::Demo(args) => demo::run(&global, args).await,
        }
    });
    // A look at a name server or a file that hangs must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.is::<Failed>() => ExitCode::FAILURE,
        Err(e) => {
            anstream::eprintln!("{}error{}: {e:#}", ERROR.render(), ERROR.render_reset());
            ExitCode::FAILURE
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Ctrl-C or SIGTERM; a second one ends the process at once, which loses nothing.
#[expect(clippy::disallowed_methods, reason = "the second signal is waited for as long as the process lives")]
pub(crate) async fn shutdown_signal() {
    one_signal().await;
    tokio::spawn(async {
        one_signal().await;
        tracing::warn!("second signal: ending at once");
        std::process::exit(130);
    });
}

async fn one_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
