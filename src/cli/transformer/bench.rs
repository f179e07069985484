//! `tenterhook transformer bench`.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::input::Input;
use super::{Modules, grouped};
use crate::cli::Global;
use crate::transform::{EventInput, Module, Output};

/// Before anything is measured: memory is paged in, branches are learned.
const WARM_UP: usize = 50;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook transformer bench slack
  tenterhook transformer bench my-format.wasm --event event.json --calls 10000")]
pub(super) struct Args {
    /// A transformer's name, or a file
    #[arg(value_name = "NAME|FILE")]
    module: String,
    #[command(flatten)]
    input: Input,
    /// Calls to measure
    #[arg(short = 'n', long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
}

struct Measured {
    load: Duration,
    call: Times,
    instantiate: Times,
    memory: usize,
    output: usize,
}

/// Sorted.
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if cfg!(debug_assertions) && !global.json {
        note!("this tenterhook is a development build: the host is slower than a released one");
    }
    let (events, options) = (args.input.events()?, args.input.options()?);
    let started = Instant::now();
    let module = Modules::new(global)?.load(&args.module).await?;
    let load = started.elapsed();
    module.check(&options).await?;
    let inputs: Vec<EventInput<'_>> = events.iter().map(EventInput::from).collect();
    let measured = measure(&module, &inputs, &options, args.calls as usize, load).await?;
    if global.json {
        writeln!(std::io::stdout(), "{}", as_json(&module, &measured))?;
    } else {
        print(&module, &measured);
    }
    Ok(())
}

async fn measure(
    module: &Arc<Module>,
    inputs: &[EventInput<'_>],
    options: &str,
    calls: usize,
    load: Duration,
) -> anyhow::Result<Measured> {
    let mut measured = Measured { load, call: Times(Vec::new()), instantiate: Times(Vec::new()), memory: 0, output: 0 };
    for at in 0..calls + WARM_UP {
        let made = module.instantiate().await.context("the module cannot be instantiated")?;
        let done = module.transform(inputs, options).await;
        match done.result {
            Ok(Output::Request(parts)) => measured.output = parts.body.len(),
            Ok(Output::Event(event)) => measured.output = event.data.len(),
            Ok(Output::Events(events)) => measured.output = events.iter().map(|event| event.data.len()).sum(),
            Ok(Output::Drop { .. }) => {}
            Err(error) => bail!("the module fails on this event: {error}"),
        }
        if at >= WARM_UP {
            measured.instantiate.0.push(made);
            measured.call.0.push(done.duration);
            measured.memory = measured.memory.max(done.memory);
        }
    }
    measured.call.0.sort_unstable();
    measured.instantiate.0.sort_unstable();
    Ok(measured)
}

fn share(measured: &Measured) -> f64 {
    measured.instantiate.at(50).as_secs_f64() / measured.call.at(50).as_secs_f64().max(f64::EPSILON)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn print(module: &Module, measured: &Measured) {
    let bold = anstyle::Style::new().bold();
    let calls = measured.call.0.len();
    say!(
        "{bold}{}{bold:#}: {} bytes, loaded in {:.0} ms",
        module.name(),
        grouped(module.size()),
        measured.load.as_secs_f64() * 1e3
    );
    say!(
        "  a call        p50 {:.1} µs, p99 {:.1} µs, fastest {:.1} µs ({} calls, each with a fresh instance)",
        micros(measured.call.at(50)),
        micros(measured.call.at(99)),
        micros(measured.call.at(0)),
        grouped(calls)
    );
    say!("  its instance  p50 {:.1} µs: {:.0} % of the call", micros(measured.instantiate.at(50)), share(measured) * 100.0);
    say!("  memory        {} KiB at most", measured.memory >> 10);
    say!("  output        {} bytes", grouped(measured.output));
}

fn as_json(module: &Module, measured: &Measured) -> serde_json::Value {
    let round = |time: Duration| (micros(time) * 10.0).round() / 10.0;
    json!({
        "name": module.name(),
        "size_bytes": module.size(),
        "load_ms": measured.load.as_secs_f64() * 1e3,
        "calls": measured.call.0.len(),
        "call_us": { "p50": round(measured.call.at(50)), "p99": round(measured.call.at(99)), "min": round(measured.call.at(0)) },
        "instantiate_us": { "p50": round(measured.instantiate.at(50)), "share": share(measured) },
        "memory_bytes": measured.memory,
        "output_bytes": measured.output,
    })
}
