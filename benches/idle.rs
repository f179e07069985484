//! What a server costs that has much to do and nothing to do it with: 100,000 webhooks declared, no events. Memory and
//! processor time of the real binary, as the system counts them.
//!
//! `cargo bench --bench idle [-- WEBHOOKS]` (Linux)

#![expect(clippy::disallowed_methods, reason = "a benchmark without a runtime: it waits while the server does nothing")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WEBHOOKS: usize = 100_000;

/// After this long the start's own work is over.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);

/// In files of 10,000 webhooks each: one file may have 4 MiB.
fn write_config(directory: &Path, webhooks: usize) -> std::io::Result<()> {
    const PER_FILE: usize = 10_000;
    std::fs::create_dir(directory.join("webhooks.d"))?;
    let head = "include = [\"webhooks.d/*.toml\"]\n[server]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(directory.join("config.toml"), head)?;
    for first in (0..webhooks).step_by(PER_FILE) {
        let mut text = String::new();
        for n in first..(first + PER_FILE).min(webhooks) {
            let _ = write!(
                text,
                "[webhooks.customer-{n}]\nurl = \"https://customer-{n}.example.com/hooks/in\"\nevents = [\"customer.c{n}.*\"]\n\
                 secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n"
            );
        }
        std::fs::write(directory.join(format!("webhooks.d/{first}.toml")), text)?;
    }
    Ok(())
}

/// Kills the server when the benchmark ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A value of `/proc/PID/status` in MiB.
fn memory_mib(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the system says so");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib / 1024.0
}

/// Processor time so far, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("its name is in brackets").1.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}

/// Times that its threads gave up the processor by themselves: what wakes up, sleeps again.
fn switches(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the server runs");
    let of = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?.to_owned();
        line.split_whitespace().nth(1)?.parse().ok()
    };
    threads.filter_map(of).sum()
}

fn main() {
    let webhooks = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(WEBHOOKS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_config(directory.path(), webhooks).expect("the directory can be written");
    let started = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_tenterhook"))
        .arg("serve")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut server = Server(child);
    let pid = server.0.id();
    let mut lines = BufReader::new(server.0.stderr.take().expect("it is piped")).lines();
    let listens = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listens on "));
    assert!(listens, "the server ended");
    println!("{webhooks} webhooks: ready after {:.1} s", started.elapsed().as_secs_f64());
    std::thread::sleep(SETTLE);
    let (before, woken) = (ticks(pid), switches(pid));
    std::thread::sleep(IDLE);
    // Threads that have ended in between took their counts along.
    let (spent, woken) = (ticks(pid) - before, switches(pid).saturating_sub(woken));
    println!("resident {:.0} MiB, at most {:.0} MiB", memory_mib(pid, "VmRSS"), memory_mib(pid, "VmHWM"));
    println!(
        "idle for {} s: {:.2} s of processor time ({:.2} % of one core), {woken} wake-ups",
        IDLE.as_secs(),
        spent as f64 / 100.0,
        spent as f64 / IDLE.as_secs_f64()
    );
}
