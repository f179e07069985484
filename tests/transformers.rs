//! The native tests of the transformers: a workspace of their own, run with the rest.

use std::path::Path;
use std::process::Command;

#[test]
fn the_transformers_pass_their_own_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--locked", "--quiet"]).current_dir(root.join("transformers"));
    // A target directory of its own: this run holds the lock of the usual one.
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("transformers"));
    for leaking in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(leaking);
    }
    let output = cargo.output().expect("cargo is there: it runs this test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
