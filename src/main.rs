//! The `tenterhook` binary: everything is in the library.

use std::process::ExitCode;

/// Gives back what a reload's texts and trees took: with the system's allocator a server of 100,000 webhooks keeps a
/// hundred MiB of holes for good. SQLite's memory comes from it as well.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tenterhook::cli::main()
}
