//! What a transformer costs: one call of the prebuilt `slack` through the host, beside the same function called natively, an
//! empty guest through the same host, and plain wasmtime without a pool, limits or a log, in one run on one machine.
//! `cargo bench --bench transform`, or with `-- FILE.wasm …` other modules besides.

#![expect(clippy::disallowed_methods, reason = "a benchmark's tasks end with its runtime")]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tenterhook::model::{Event, EventId, EventType, Limits, Timestamp};
use tenterhook::transform::{EventInput, Host, HostOptions, Module, Pipeline, Source};

#[path = "../src/transform/tests/guests.rs"]
mod guests;
#[path = "transform/plain.rs"]
mod plain;

const CALLS: usize = 20_000;
const WARM_UP: usize = 500;

fn main() {
    let data = data();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let host = Host::new(HostOptions::default()).expect("a host");
    let slack = runtime.block_on(host.load("slack", Source::Prebuilt, Limits::default(), None)).expect("a module that loads");
    println!("load of the machine before: {}", load_average());
    let event = Arc::new(event(&data));
    println!("slack of {} bytes, {} bytes of data, {CALLS} calls each: median (fastest, p99)", slack.size(), data.len());
    report_native(&data);
    runtime.block_on(async {
        let options = "{}";
        let one = [EventInput::from(&*event)];
        let ten: Vec<EventInput<'_>> = (0..10).map(|_| EventInput::from(&*event)).collect();
        measure("host, one event", async || drop(slack.transform(&one, options).await.result.expect("it renders"))).await;
        measure("host, a batch of ten", async || drop(slack.transform(&ten, options).await.result.expect("it renders"))).await;
        let pipeline = Pipeline { stages: vec![(Arc::clone(&slack), options.into())] };
        measure("pipeline, one event", async || drop(pipeline.run(&event).await.result.expect("it renders"))).await;
        measure("host, check of options", async || slack.check(options).await.expect("good options")).await;
        measure("host, an instance alone", async || {
            slack.instantiate().await.expect("it is instantiated");
        })
        .await;
        empty_guest(&host, &event).await;
        others(&host, &event).await;
        let one = throughput(&slack, &event, 1).await;
        let two = throughput(&slack, &event, 2).await;
        println!("{:28} {:>9.2} times one", "host, 2 tasks", two / one);
    });
    plain::report(&event, &|name, call| runtime.block_on(measure(name, async || call())));
    report_native(&data);
    runtime.block_on(starts());
    println!("load of the machine after: {}", load_average());
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown".to_owned()).trim().to_owned()
}

/// The host's own share: a guest that returns at once.
async fn empty_guest(host: &Host, event: &Event) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("empty.wasm");
    let wasm = wat::parse_str(guests::guest(&guests::dropping())).expect("good text");
    std::fs::write(&path, wasm).expect("it is written");
    let empty = host.load("empty", Source::File(path), Limits::default(), None).await.expect("it loads");
    let input = [EventInput::from(event)];
    measure("host, an empty guest", async || drop(empty.transform(&input, "{}").await.result.expect("it drops"))).await;
}

/// Modules given on the command line. Cargo itself passes `--bench`.
async fn others(host: &Host, event: &Event) {
    for path in std::env::args().skip(1).filter(|arg| !arg.starts_with("--")) {
        let limits = Limits { cpu: Duration::from_secs(10), ..Limits::default() };
        let module = host.load("other", Source::File((&path).into()), limits, None).await.expect("a module that loads");
        let input = [EventInput::from(event)];
        let name = path.rsplit('/').next().unwrap_or(&path);
        measure(name, async || drop(module.transform(&input, "{}").await.result.expect("it renders"))).await;
        measure("  its instance alone", async || {
            module.instantiate().await.expect("it is instantiated");
        })
        .await;
    }
}

/// All prebuilt modules, as at a first start and at any later one.
async fn starts() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["ten modules, first start", "ten modules, warm cache"] {
        let options = HostOptions { cache_dir: Some(dir.path().join("modules")), ..HostOptions::default() };
        let started = Instant::now();
        let host = Host::new(options).expect("a host");
        let mut kept = Vec::new();
        for module in tenterhook::transform::prebuilt_names() {
            kept.push(host.load(module, Source::Prebuilt, Limits::default(), None).await.expect("it loads"));
        }
        println!("{name:28} {:>9.1} ms ({} compiled)", started.elapsed().as_secs_f64() * 1e3, host.compiles());
    }
}

/// About 1 KB, as a gateway sends it.
fn data() -> String {
    let history: Vec<String> = (0..6)
        .map(|n| {
            format!(
                r#"{{"at":"2026-01-28T10:30:4{n}.000Z","status":503,"duration_ms":{},"error":"upstream timed out"}}"#,
                900 + n
            )
        })
        .collect();
    format!(
        r#"{{"service":"payments-api","route":"/v1/charges","upstream":"10.0.3.17:8443","errorRate":0.75,"failures":12,"window":"1m","message":"12 of 16 requests failed within 1m: <timeout> & reset","state":{{"from":"closed","to":"open","cool_down":"30s"}},"history":[{}]}}"#,
        history.join(",")
    )
}

fn event(data: &str) -> Event {
    Event {
        id: EventId::parse("evt_0198f0d0c0de7000800000000000beef").expect("an id"),
        kind: EventType::parse("circuit_breaker.opened").expect("a type"),
        timestamp: Timestamp::from_millis(1_769_596_245_123),
        received: Timestamp::from_millis(1_769_596_245_200),
        data: Bytes::copy_from_slice(data.as_bytes()),
        metadata: None,
        tenant: None,
    }
}

async fn measure(name: &str, call: impl AsyncFn()) {
    for _ in 0..WARM_UP {
        call().await;
    }
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        call().await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    report(name, times[CALLS / 2], times[0], Some(times[CALLS * 99 / 100]));
}

/// Calls a second, by a number of tasks.
async fn throughput(slack: &Arc<Module>, event: &Arc<Event>, count: usize) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (slack, event) = (Arc::clone(slack), Arc::clone(event));
            tokio::spawn(async move {
                for _ in 0..CALLS {
                    slack.transform(&[EventInput::from(&*event)], "{}").await.result.expect("it renders");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    let rate = (CALLS * count) as f64 / started.elapsed().as_secs_f64();
    println!("{:28} {rate:>9.0} calls/s", format!("host, {count} task(s)"));
    rate
}

/// On a machine that does other things too, the fastest call says what the work costs.
fn report(name: &str, median: Duration, fastest: Duration, p99: Option<Duration>) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let p99 = p99.map(|p99| format!(", {:.1}", micros(p99))).unwrap_or_default();
    println!("{name:28} {:>9.1} µs ({:.1}{p99})", micros(median), micros(fastest));
}

/// The function without WebAssembly, built and run by cargo: the component's workspace is one of its own.
fn report_native(data: &str) {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/transformers/Cargo.toml");
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/transformers");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(target.into(), |dir| std::path::PathBuf::from(dir).join("transformers"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--release",
            "--locked",
            "--package",
            "slack",
            "--example",
            "native",
            "--manifest-path",
            manifest,
        ])
        .arg("--target-dir")
        .arg(target)
        .args(["--", data])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let nanos: Vec<Duration> = text.split_whitespace().filter_map(|word| word.parse().ok().map(Duration::from_nanos)).collect();
    match nanos.as_slice() {
        [median, fastest] => report("native", *median, *fastest, None),
        _ => println!("native: the example `native` of transformers/slack does not run"),
    }
}
