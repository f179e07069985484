//! Builds the prebuilt transformers (`transformers/`, WebAssembly components) with a nested cargo and writes
//! `prebuilt.rs`, which embeds them. Touches the network only for what is not on this machine yet: the rustup target
//! and the transformers' locked dependencies.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const TARGET: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            for line in problem.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let workspace = root.join("transformers");
    if env::var_os("CARGO_FEATURE_PREBUILT").is_none() {
        return write_list(&out, "");
    }
    declare_inputs(&workspace)?;
    if !workspace.join("Cargo.toml").is_file() {
        return Err("the directory `transformers` is missing: build from a checkout of the repository".to_owned());
    }
    let names = prebuilt(&workspace)?;
    ensure_target()?;
    // Checkouts that share a target directory must not pick up each other's components.
    let target_dir = target_dir(&out).join("transformers").join(short_hash(&root));
    compile(&workspace, &target_dir, &names)?;
    embed(&names, &target_dir.join(TARGET).join("release"), &out)
}

/// The packages of `transformers/` that are embedded, by the name that configurations use: those whose Cargo.toml says
/// `prebuilt = true` under `[package.metadata.tenterhook]`.
fn prebuilt(workspace: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", workspace.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace).map_err(failed)? {
        let manifest = entry.map_err(failed)?.path().join("Cargo.toml");
        // Directories without one are no crates.
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let name = value(&text, "[package]", "name");
        match (value(&text, "[package.metadata.tenterhook]", "prebuilt"), name) {
            (Some("true"), Some(name)) => names.push(name.trim_matches('"').to_owned()),
            (Some("true"), None) => return Err(format!("{}: there is no package name", manifest.display())),
            (Some("false") | None, _) => {}
            (Some(other), _) => {
                return Err(format!("{}: `prebuilt = {other}` is neither true nor false", manifest.display()));
            }
        }
    }
    names.sort();
    if names.is_empty() { Err(format!("no crate in {} says `prebuilt = true`", workspace.display())) } else { Ok(names) }
}

/// The value of a key in a table of a Cargo.toml, as it is written. A build script would pay for a parser of TOML with its
/// own compilation; these lines are the project's own.
fn value<'t>(toml: &'t str, table: &str, key: &str) -> Option<&'t str> {
    let lines = toml.lines().map(str::trim).skip_while(|line| *line != table).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .find_map(|(name, value)| (name.trim() == key).then(|| value.split('#').next().unwrap_or_default().trim()))
}

fn short_hash(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this is cargo's build script, run `cargo build`"))
}

/// Everything in `transformers/` but what a `cargo test` in there leaves behind. Relative, so that checkouts that share a
/// target directory do not look at each other's files.
fn declare_inputs(workspace: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=wit");
    // transformers/message includes it.
    println!("cargo::rerun-if-changed=src/model/field_path.rs");
    let entries = fs::read_dir(workspace).map_err(|error| format!("cannot list {}: {error}", workspace.display()))?;
    for entry in entries.flatten() {
        if entry.file_name() != "target" {
            println!("cargo::rerun-if-changed=transformers/{}", entry.file_name().display());
        }
    }
    Ok(())
}

/// Adds the target through rustup when the toolchain lacks it.
fn ensure_target() -> Result<(), String> {
    if has_target()? {
        return Ok(());
    }
    let added = clean(Command::new("rustup")).args(["target", "add", TARGET]).stdout(Stdio::null()).output();
    let reason = match added {
        Ok(output) if output.status.success() && has_target()? => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("it failed").to_owned(),
        Err(error) => format!("cannot run rustup: {error}"),
    };
    Err(format!(
        "the transformers need the Rust target {TARGET}, and `rustup target add {TARGET}` did not add it ({reason}): add it to \
         this toolchain, then build again"
    ))
}

fn has_target() -> Result<bool, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = clean(Command::new(&rustc))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", Path::new(&rustc).display()))?;
    let libdir = String::from_utf8_lossy(&output.stdout);
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    Ok(output.status.success()
        && fs::read_dir(libdir.trim())
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|e| is_std(&e.file_name().to_string_lossy())))))
}

/// The main target directory: release and development builds share one build of the transformers in it.
fn target_dir(out: &Path) -> PathBuf {
    let tagged = out.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    // target/profile/build/package-hash/out
    tagged.or_else(|| out.ancestors().nth(4)).unwrap_or(out).to_owned()
}

/// First without the network: a machine that has everything needs none, and cargo would ask for nothing either way but
/// to find out what it lacks.
fn compile(workspace: &Path, target_dir: &Path, names: &[String]) -> Result<(), String> {
    let offline = run_cargo(workspace, target_dir, names, &["--offline"]);
    offline.or_else(|_| run_cargo(workspace, target_dir, names, &[])).map_err(|output| {
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        let first = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
        let shown = lines[first..].iter().take(30).copied().collect::<Vec<_>>().join("\n");
        format!("the transformers in {} do not build for {TARGET}:\n{shown}", workspace.display())
    })
}

fn run_cargo(workspace: &Path, target_dir: &Path, names: &[String], more: &[&str]) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = clean(Command::new(cargo));
    command.current_dir(workspace).args(["build", "--release", "--locked", "--lib", "--target", TARGET, "--target-dir"]);
    command.arg(target_dir).args(more);
    for name in names {
        command.args(["--package", name]);
    }
    // The compiler that was asked about the target, not whichever is first in the path.
    if let Some(rustc) = env::var_os("RUSTC") {
        command.env("RUSTC", rustc);
    }
    // Flags from a user's cargo configuration are meant for their own machine's linker.
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    let output = command.output().map_err(|error| format!("error: cannot run cargo: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Without what the outer cargo says about its own build: flags, wrappers (clippy's among them), profiles, directories.
/// Where the registries and toolchains are, and the job server, stay.
fn clean(mut command: Command) -> Command {
    const KEPT: [&str; 6] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const REMOVED: [&str; 4] = ["CARGO", "__CARGO", "RUSTC", "RUSTDOC"];
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let starts_with = |prefix: &&str| name.starts_with(*prefix);
        if name == "RUSTFLAGS" || REMOVED.iter().any(starts_with) && !KEPT.iter().any(starts_with) {
            command.env_remove(&*name);
        }
    }
    command
}

/// Copies the modules beside `prebuilt.rs`, so that another build cannot change them behind this one's back.
fn embed(names: &[String], built: &Path, out: &Path) -> Result<(), String> {
    let mut code = String::new();
    for name in names {
        let file = format!("{name}.wasm");
        fs::copy(built.join(&file), out.join(&file))
            .map_err(|error| format!("cannot copy {file} to {}: {error}", out.display()))?;
        let _ = writeln!(code, "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),");
    }
    write_list(out, &code)
}

fn write_list(out: &Path, modules: &str) -> Result<(), String> {
    let code = format!("pub(crate) static PREBUILT: &[(&str, &[u8])] = &[\n{modules}];\n");
    fs::write(out.join("prebuilt.rs"), code).map_err(|error| format!("cannot write prebuilt.rs: {error}"))
}
