//! `tenterhook transformer run`.

use std::io::Write;

use serde_json::{Value, json};

use super::Modules;
use super::input::Input;
use crate::cli::{Failed, Global};
use crate::model::{LogLevel, LogLine};
use crate::transform::{EventInput, Output, Transformed, cases};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook transformer run slack
  tenterhook transformer run pagerduty --event event.json \\
      --options '{\"routing_key\":\"0123456789abcdef0123456789abcdef\"}'
  tenterhook transformer run my-format.wasm --json \\
      --event '{\"type\":\"order.created\",\"data\":{\"total\":9.9}}'")]
pub(super) struct Args {
    /// A transformer's name, or a file
    #[arg(value_name = "NAME|FILE")]
    module: String,
    #[command(flatten)]
    input: Input,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let (events, options) = (args.input.events()?, args.input.options()?);
    let module = Modules::new(global)?.load(&args.module).await?;
    module.check(&options).await?;
    let inputs: Vec<EventInput<'_>> = events.iter().map(EventInput::from).collect();
    let done = module.transform(&inputs, &options).await;
    if global.json {
        let mut answer = cases::show(&done.result);
        answer["log"] = done.log.iter().map(|line| json!({ "level": level(line), "message": line.message })).collect();
        answer["duration_us"] = json!(u64::try_from(done.duration.as_micros()).unwrap_or(u64::MAX));
        answer["memory_bytes"] = json!(done.memory);
        writeln!(std::io::stdout(), "{answer}")?;
    } else {
        print(&done);
    }
    if done.result.is_ok() { Ok(()) } else { Err(Failed.into()) }
}

fn level(line: &LogLine) -> &'static str {
    match line.level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn print(done: &Transformed) {
    let bold = anstyle::Style::new().bold();
    let bad = anstyle::AnsiColor::Red.on_default().bold();
    match &done.result {
        Ok(Output::Request(parts)) => {
            let method = parts.method.as_ref().map_or("POST", http::Method::as_str);
            say!("{bold}{method} {}{bold:#}", parts.url.as_deref().unwrap_or("(the webhook's URL)"));
            if !parts.headers.iter().any(|(name, _)| name == "content-type") {
                say!("content-type: application/json");
            }
            for (name, value) in &parts.headers {
                say!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
            say!("\n{}", body(&parts.body));
        }
        Ok(Output::Event(_) | Output::Events(_)) => {
            let shown = cases::show(&done.result);
            say!("{bold}goes on with{bold:#}\n{}", pretty(&shown));
        }
        Ok(Output::Drop { reason }) => say!("{bold}dropped{bold:#}: {reason}"),
        Err(error) => say!("{bad}failed{bad:#}: {error}"),
    }
    for line in &done.log {
        note!("{}: {}", level(line), line.message);
    }
    note!("in {:.3} ms, {} KiB of memory", done.duration.as_secs_f64() * 1e3, done.memory >> 10);
}

fn body(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(json) => pretty(&json),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}
