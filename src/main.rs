//! The `tenterhook` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenterhook::cli::main()
}
