//! What one call has on the host's side: its share of memory, its log, and a WASI with nothing in it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::engine::TABLE_ELEMENTS_MAX;
use crate::model::{LogLevel, LogLine};

/// Lines kept of one call: what a person reads of an attempt, and 100 KiB with [`LINE_BYTES_MAX`].
pub(super) const LINES_MAX: usize = 100;

/// A stack frame or a short JSON object; the rest of a longer line is cut.
pub(super) const LINE_BYTES_MAX: usize = 1024;

/// Handles of WASI (streams, pollables) that a guest may hold: runtimes need a dozen.
const RESOURCES_MAX: usize = 1_000;

/// Random bytes that a guest may ask for in one call: the host allocates them.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// The data of a call's store.
pub(super) struct State {
    pub(super) memory: MemoryLimiter,
    pub(super) log: Log,
    /// Made when the guest first asks for it: most never do, and seeding random generators costs microseconds.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl State {
    pub(super) fn new(memory_max: usize, log_max: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self { memory: MemoryLimiter { used: 0, max: memory_max, exceeded: false }, log: Log::new(log_max), wasi: None, table }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        let ctx = self.wasi.get_or_insert_with(|| empty_wasi(log));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// No files, no environment, no arguments, no network, no name lookups; what is written goes to the log.
fn empty_wasi(log: &Log) -> WasiCtx {
    let stream = |level| Stream { log: log.clone(), level, line: Arc::default() };
    WasiCtx::builder()
        .stdout(stream(LogLevel::Info))
        .stderr(stream(LogLevel::Error))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES_MAX)
        .build()
}

/// Bounds the sum over all memories of the store: several memories do not get the limit several times.
pub(super) struct MemoryLimiter {
    used: usize,
    max: usize,
    /// Whether a growth was refused.
    pub(super) exceeded: bool,
}

impl MemoryLimiter {
    /// Bytes of all memories together.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.max {
            self.exceeded = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

/// The lines that a call leaves, bounded in number and length.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Lines>>);

struct Lines {
    kept: Vec<LogLine>,
    left_out: usize,
    /// Bytes that there is room for.
    room: usize,
}

impl Log {
    fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Lines { kept: Vec::new(), left_out: 0, room: bytes_max })))
    }

    pub(super) fn push(&self, level: LogLevel, message: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.kept.len() == LINES_MAX || lines.room == 0 {
            lines.left_out += 1;
            return;
        }
        let message = printable(message, LINE_BYTES_MAX.min(lines.room));
        lines.room -= message.len().min(lines.room);
        lines.kept.push(LogLine { level, message });
    }

    /// The lines so far; the last one says how many there was no room for.
    pub(super) fn take(&self) -> Vec<LogLine> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = std::mem::take(&mut lines.kept);
        let mut left_out = std::mem::take(&mut lines.left_out);
        if left_out > 0 {
            left_out += usize::from(kept.len() == LINES_MAX && kept.pop().is_some());
            let message = format!("… and {left_out} more lines");
            kept.push(LogLine { level: LogLevel::Warn, message });
        }
        kept
    }
}

/// Text from a guest for a person: cut to `bytes_max`, line breaks kept, other control characters replaced.
pub(super) fn printable(text: &str, bytes_max: usize) -> String {
    const ELLIPSIS: &str = "…";
    if bytes_max < ELLIPSIS.len() {
        return String::new();
    }
    let replace = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    let mut out: String = text.chars().map(replace).take(bytes_max + 1).collect();
    if out.len() > bytes_max {
        out.truncate(out.floor_char_boundary(bytes_max - ELLIPSIS.len()));
        out.push_str(ELLIPSIS);
    }
    out
}

/// Standard output or error of a guest: whole lines go to the log.
#[derive(Clone)]
struct Stream {
    log: Log,
    level: LogLevel,
    line: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    fn write_bytes(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            // One byte more than is kept shows that the line was longer.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.log.push(self.level, &String::from_utf8_lossy(&line));
                line.clear();
            }
        }
    }
}

/// A last line without a line break counts too.
impl Drop for Stream {
    fn drop(&mut self) {
        // Clones share the line; the last of them writes it.
        if Arc::strong_count(&self.line) == 1 {
            let line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            if !line.is_empty() {
                self.log.push(self.level, &String::from_utf8_lossy(&line));
            }
        }
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only asked for by interfaces that are not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_bytes(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl Pollable for Stream {
    /// Always ready.
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed() {
        let mut limiter = MemoryLimiter { used: 0, max: 100, exceeded: false };
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.exceeded);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert!(limiter.exceeded);
    }

    #[test]
    fn a_log_is_bounded_and_says_so() {
        let log = Log::new(1 << 20);
        for _ in 0..LINES_MAX + 5 {
            log.push(LogLevel::Info, &"é".repeat(LINE_BYTES_MAX));
        }
        let lines = log.take();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines[0].message.len() <= LINE_BYTES_MAX && lines[0].message.ends_with("é…"));
        assert_eq!(lines[LINES_MAX - 1].message, "… and 6 more lines");
    }

    #[test]
    fn a_log_is_bounded_in_bytes_too() {
        let log = Log::new(25);
        for _ in 0..4 {
            log.push(LogLevel::Info, "ten bytes.");
        }
        let lines: Vec<_> = log.take().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["ten bytes.", "ten bytes.", "te…", "… and 1 more lines"]);
        let none = Log::new(0);
        none.push(LogLevel::Info, "x");
        assert_eq!(none.take()[0].message, "… and 1 more lines");
    }

    #[test]
    fn output_is_cut_into_lines_and_the_last_one_counts() {
        let log = Log::new(1 << 20);
        let stream = Stream { log: log.clone(), level: LogLevel::Error, line: Arc::default() };
        stream.write_bytes(b"one\ntw");
        let second = stream.clone();
        drop(stream);
        second.write_bytes(b"o\nthree \x1b[31m");
        drop(second);
        let lines: Vec<_> = log.take().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["one", "two", "three \u{fffd}[31m"]);
    }
}
