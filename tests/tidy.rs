//! The house's rules, held against its own source: who may import whom, how long a file and a function may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules and what each may import of ours. `*`: everything but what follows.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("tasks", &[]),
    ("signing", &["model"]),
    ("routing", &["model"]),
    ("config", &["model", "routing", "signing"]),
    ("transform", &["model"]),
    ("outbound", &["model"]),
    ("telemetry", &["model"]),
    ("store", &["clock", "model", "tasks", "telemetry"]),
    ("snapshot", &["config", "model", "outbound", "routing", "signing", "transform"]),
    ("control", &["config", "model", "snapshot", "store", "transform"]),
    ("publish", &["model", "snapshot", "store", "telemetry"]),
    ("jobs", &["clock", "control", "model", "routing", "snapshot", "store"]),
    ("operational", &["clock", "model", "snapshot", "store"]),
    (
        "reload",
        &[
            "clock",
            "config",
            "control",
            "model",
            "operational",
            "outbound",
            "signing",
            "snapshot",
            "store",
            "tasks",
            "telemetry",
            "transform",
        ],
    ),
    ("dispatch", &["*", "http", "reload", "cli", "app"]),
    ("http", &["*", "dispatch", "reload", "cli", "app"]),
    ("app", &["*", "cli"]),
    ("cli", &["app", "clock", "config", "model", "outbound", "reload", "routing", "signing", "telemetry", "transform"]),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 80;

/// Files and functions that are longer, and why. A ratchet: this list only gets shorter.
const LONG: &[(&str, &str)] = &[];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the source directory is there") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src/` with its text.
fn read_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "the sources were found");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("it lies below").to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(&path).expect("a source is text"))
    };
    paths.into_iter().map(read).collect()
}

/// `store/embedded/mod.rs` belongs to `store`, `clock.rs` to `clock`.
fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// Code without its comments; tests may import what they like, so it ends where they begin.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The modules that `use crate::{…}` and `crate::x::` name.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `pub(in crate::…)` and `$crate::` are no different: they name a module of ours too.
        let rest = &code[at + "crate::".len()..];
        let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && !c.is_whitespace() => {
                        found.insert(name(&group[at..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.insert(name(rest));
        }
    }
    found
}

#[test]
fn every_module_imports_only_what_it_may() {
    let mut problems = Vec::new();
    for (file, text) in read_sources() {
        let module = module_of(&file);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            problems.push(format!("src/{file}: module `{module}` is not in the table of tests/tidy.rs and ARCHITECTURE.md"));
            continue;
        };
        for import in imports(&code(&text)) {
            let known = IMPORTS.iter().any(|(name, _)| *name == import);
            let all_but = allowed.first() == Some(&"*");
            let listed = allowed.contains(&import.as_str());
            if known && import != module && listed == all_but {
                problems.push(format!("src/{file}: `{module}` must not import `{import}`"));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for (file, text) in read_sources() {
        let excused = |what: &str| LONG.iter().any(|(name, _)| *name == what);
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !excused(&file) {
            problems.push(format!("src/{file}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        // A table of cases is long and easy to read.
        if file.ends_with("tests.rs") || file.contains("/tests/") {
            continue;
        }
        for (name, length) in functions(&text) {
            let what = format!("{file}:{name}");
            if length > FUNCTION_LINES_MAX && !excused(&what) {
                problems.push(format!("src/{what}: {length} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Functions with their lengths: rustfmt puts the closing brace under the first letter of the line that opens.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> =
            line.split_whitespace().take_while(|word| !word.contains('(') || word.starts_with("pub(")).collect();
        let Some(name) = line.split("fn ").nth(1).filter(|_| words.contains(&"fn") || line.trim_start().starts_with("fn "))
        else {
            continue;
        };
        let name = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|line| *line == close) {
            found.push((name, length + 1));
        }
    }
    found
}

#[test]
fn every_module_says_what_it_owns() {
    let silent: Vec<String> =
        read_sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| format!("src/{file}")).collect();
    assert!(silent.is_empty(), "files without a `//!` that says what they own: {silent:?}");
}

#[test]
fn nothing_in_the_source_names_a_place_outside_the_project() {
    for (file, text) in read_sources() {
        for word in ["unimplemented!", "todo!(", "dbg!("] {
            assert!(!code(&text).contains(word), "src/{file} contains {word}");
        }
    }
}

#[test]
fn the_checks_can_fail() {
    assert_eq!(
        imports("use crate::model::{A, B};\nuse crate::{clock::Clock, store};"),
        BTreeSet::from(["clock", "model", "store"].map(String::from))
    );
    let long = format!("pub(crate) async fn long(a: u8) {{\n{}}}\n", "    a;\n".repeat(90));
    assert_eq!(functions(&long), [("long".to_owned(), 92)]);
}
