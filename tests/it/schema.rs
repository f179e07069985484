//! `tenterhook schema` before a judge of JSON Schema (`jsonschema` from PyPI, installed into `target/`), and beside
//! the parser: what one takes the other takes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::binary;

const JUDGE: &str = "jsonschema==4.26.0";

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has the judge; `None`, loudly, where the registry cannot be reached.
fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(install).as_ref()
}

fn install() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema-judge");
    let (python, stamp) = (directory.join("bin/python"), directory.join("stamp"));
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == JUDGE) {
        return Some(python);
    }
    let run = |command: &mut Command| {
        command.output().map_err(|e| e.to_string()).and_then(|output| match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        })
    };
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--timeout", "30", "--retries", "1", JUDGE];
    let installed =
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory)).and_then(|()| run(Command::new(&python).args(pip)));
    match installed {
        Ok(()) => {
            std::fs::write(&stamp, JUDGE).unwrap();
            Some(python)
        }
        Err(said) => {
            assert!(std::env::var_os("CI").is_none(), "the judge cannot be installed, and CI must have it:\n{said}");
            eprintln!("\n!!! SKIPPED: {JUDGE} cannot be installed, the schema was NOT judged:\n{said}\n");
            None
        }
    }
}

/// What the judge says of each file.
fn complaints(python: &Path, files: &[String]) -> Vec<Vec<String>> {
    let schema = Command::new(binary()).arg("schema").output().unwrap();
    assert!(schema.status.success());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&schema.stdout).unwrap();
    let mut judge = Command::new(python)
        .arg(manifest().join("tests/judges/schema.py"))
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    let lines: String = files.iter().map(|text| format!("{}\n", json!({"toml": text}))).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = judge.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the judge does not take the schema");
    let said: Vec<Vec<String>> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), files.len());
    said
}

fn webhook(line: &str) -> String {
    format!("[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n{line}\n")
}

/// The examples in the documentation, each as a whole file.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(manifest().join("docs/config.md")).unwrap();
    let mut files = Vec::new();
    for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        if block.lines().any(|line| line.starts_with('[')) || block.starts_with("include") {
            files.push(block.to_owned());
        } else {
            // Lines of a webhook, each an example of its own.
            files.extend(block.lines().filter(|line| !line.trim().is_empty()).map(webhook));
        }
    }
    assert!(files.len() >= 8, "only {} examples were found", files.len());
    files
}

#[test]
fn the_repositorys_file_and_every_documented_example_are_accepted() {
    let Some(python) = python() else { return };
    let text = std::fs::read_to_string(manifest().join("config.toml")).unwrap();
    // What it only mentions, too: the examples behind the `#`.
    let mentioned: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ").or(Some(line)))
        .skip_while(|line| !line.contains("[webhooks.everything]"))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(mentioned.contains("[transformers.my-format]"), "{mentioned}");
    let files: Vec<String> = [text, mentioned].into_iter().chain(documented()).collect();
    for (file, said) in files.iter().zip(complaints(python, &files)) {
        assert!(said.is_empty(), "{said:#?} in\n{file}");
    }
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    let Some(python) = python() else { return };
    let tables = [
        "",
        "[server]",
        "[tokens.a]\ntoken = \"t\"\nscopes = [\"read\"]",
        "[storage]",
        "[retention]",
        "[network]",
        "[defaults]",
        "[transformers.a]",
        "[transformers.a.limits]",
        "[defaults.retry]",
        "[defaults.signature]\nscheme = \"sha256\"",
        "[defaults.transform]\nuse = \"slack\"",
        "[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"*\"]",
    ];
    let good: Vec<String> = tables.map(str::to_owned).to_vec();
    for (file, said) in good.iter().zip(complaints(python, &good)) {
        assert!(said.is_empty(), "{said:?} in\n{file}");
    }
    let mut bad: Vec<String> = tables.iter().map(|table| format!("{table}\nevnts = 1")).collect();
    bad.extend(
        ["a b", "a.b", "ä"].map(|name| format!("[webhooks.\"{name}\"]\nurl = \"https://example.com/\"\nevents = [\"*\"]")),
    );
    bad.push("[webhooks.a]\nurl = \"https://example.com/\"".to_owned());
    bad.push("[webhooks.a]\nevents = [\"*\"]".to_owned());
    bad.push("[tokens.a]\ntoken = \"t\"".to_owned());
    bad.push("[webhooks.a]\nurl = \"https://example.com/\"\nevents = []".to_owned());
    for (file, said) in bad.iter().zip(complaints(python, &bad)) {
        assert!(!said.is_empty(), "accepted:\n{file}");
    }
}

/// Lines of a webhook, and whether they are right.
const LINES: &[(&str, bool)] = &[
    ("timeout = \"5s\"", true),
    ("timeout = \"1m30s\"", true),
    ("timeout = 5", false),
    ("timeout = \"5\"", false),
    ("timeout = \"${NOT_SET:-3s}\"", true),
    ("concurrency = 10", true),
    ("concurrency = 0", false),
    ("concurrency = \"10\"", false),
    ("enabled = \"yes\"", false),
    ("retry = { max_retries = 3, initial_delay = \"1s\", multiplier = 1.5 }", true),
    ("retry = { max_retries = -1 }", false),
    ("retry = { schedule = [\"15s\", \"2m\"] }", true),
    ("retry = { schedule = [] }", false),
    ("retry = 3", false),
    ("retry_on = [\"network\", \"429\", \"5xx\", \"500-503\"]", true),
    ("retry_on = [\"sometimes\"]", false),
    ("success = [\"2xx\"]", true),
    ("success = []", false),
    ("signature = \"github\"", true),
    ("signature = \"md5\"", false),
    ("signature = [\"standard\", { scheme = \"sha256\", header = \"X-My\" }]", true),
    ("signature = []", false),
    ("transform = \"slack\"", true),
    ("transform = { options = {} }", false),
    ("transform = []", true),
    ("transform = [\"redact\", { use = \"slack\", options = { channel = \"#ops\" } }]", true),
    ("transform = 1", false),
    ("headers = { \"X-A\" = \"b\" }", true),
    ("headers = { \"X-A\" = 1 }", false),
    ("filter.data.n = { \"$gt\" = 1 }", true),
    ("filter = \"n > 1\"", false),
    ("filter.data.n = { \"$foo\" = 1 }", false),
    ("filter.data.n = { \"$regex\" = 1 }", false),
    ("filter.data.n = { \"$exist\" = \"yes\" }", false),
    ("filter.dta.n = 1", false),
    ("filter.data.host = { \"$regex\" = '^web-\\d+' }", true),
    ("filter.data = { a = { \"$contains\" = [\"x\", \"y\"] }, \"$or\" = [{ b = 1 }, { c = { \"$exist\" = false } }] }", true),
    ("filter = { \"$not\" = { data = { a = { \"$neq\" = { \"$ref\" = \"data.b\" } } } } }", true),
    ("batch = true", true),
    ("batch = false", true),
    ("batch = { max_events = 0 }", false),
    ("threshold = false", true),
    ("threshold = { count = 10 }", false),
    ("max_pending = 5", false),
    ("rate_limit = 50", false),
    ("order_by = { key = \"data.a\", on_gap = \"skip\" }", true),
    ("order_by = { key = \"data.a\", on_gap = \"stop\" }", false),
    ("metadata = { team = \"sre\" }", true),
    ("metadata = \"sre\"", false),
    ("description = 1", false),
    ("tenant = \"acme\"", true),
    ("url = 1", false),
];

#[test]
fn the_schema_takes_what_the_parser_takes_and_refuses_what_it_refuses() {
    let Some(python) = python() else { return };
    let files: Vec<String> = LINES.iter().map(|(line, _)| webhook(line)).collect();
    for ((line, good), (file, said)) in LINES.iter().zip(files.iter().zip(complaints(python, &files))) {
        let loaded = tenterhook::config::load_str(file, &BTreeMap::new(), &|_| None);
        assert_eq!(loaded.is_ok(), *good, "the parser: {line}");
        assert_eq!(said.is_empty(), *good, "the schema: {line}: {said:?}");
    }
}

#[test]
fn the_schema_is_json_with_a_dialect() {
    let output = Command::new(binary()).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
}
