//! Rules of the project, checked against its own source: which module may import which, how long files and functions may be,
//! and the few words that are never right.

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
    ("transform", &["model", "signing"]),
    ("outbound", &["model"]),
    ("telemetry", &["model"]),
    ("store", &["clock", "model", "tasks", "telemetry"]),
    ("snapshot", &["config", "model", "outbound", "routing", "signing", "transform"]),
    ("control", &["config", "model", "snapshot", "store", "transform"]),
    ("publish", &["model", "snapshot", "store", "telemetry"]),
    ("jobs", &["clock", "control", "model", "routing", "snapshot", "store"]),
    ("operational", &["clock", "model", "publish", "snapshot", "store"]),
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
    ("dispatch", &["*", "http", "reload", "cli", "app", "embed"]),
    ("http", &["*", "dispatch", "reload", "cli", "app", "embed"]),
    ("app", &["*", "cli", "embed"]),
    ("embed", &["app", "clock", "config", "model", "publish", "routing", "signing", "snapshot", "store", "telemetry"]),
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
fn no_source_holds_unfinished_code() {
    for (file, text) in read_sources() {
        for word in ["unimplemented!", "todo!(", "dbg!("] {
            assert!(!code(&text).contains(word), "src/{file} contains {word}");
        }
    }
}

/// Words that an engineer of the trade has to read twice, and what to write instead. In two halves, so that this list does not
/// find itself.
const NEVER: &[(&str, &str, &str)] = &[
    ("ane", "w", "again, new"),
    ("who", "ever", "name the caller, the client, the operator"),
    ("lagg", "ard", "slow reader, long-lived delivery"),
    ("under", " way", "in flight, running"),
    ("so ", "many", "N, a number of"),
    ("by ", "hand", "manual, manually"),
    ("told", " of", "notified of, given"),
];

/// Paths that exist only on the machine where somebody worked: the project speaks of itself alone.
const OUTSIDE: &[(&str, &str)] = &[("../", "shared"), ("/wo", "rk/")];

/// Everything that people read: sources, guests, tests, interfaces, documents, the web UI, scripts.
fn read_texts() -> Vec<(String, String)> {
    const DIRECTORIES: [&str; 9] = [".ci", "benches", "docs", "examples", "src", "tests", "transformers", "wit", "findings"];
    const ENDINGS: [&str; 14] = ["css", "html", "js", "json", "md", "mjs", "py", "rs", "sh", "toml", "ts", "wat", "wit", "run"];
    // Other people's words: data that tests were given, and lock files.
    const SKIPPED: [&str; 4] = ["target", "node_modules", "pictures", "package-lock.json"];
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if SKIPPED.contains(&name.as_str()) {
            return;
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a directory can be listed") {
                walk(&entry.expect("a directory can be listed").path(), found);
            }
        } else if ENDINGS.iter().any(|ending| name == *ending || name.ends_with(&format!(".{ending}"))) {
            found.push(path.to_owned());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in DIRECTORIES.iter().map(|name| root.join(name)).filter(|path| path.exists()) {
        walk(&directory, &mut paths);
    }
    for entry in fs::read_dir(root).expect("the project's directory can be listed") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_file() {
            walk(&path, &mut paths);
        }
    }
    paths.sort();
    assert!(paths.len() > 300, "the texts were found");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).expect("it lies below").to_string_lossy().replace('\\', "/");
        fs::read_to_string(&path).ok().map(|text| (name, text))
    };
    paths.into_iter().filter_map(read).collect()
}

/// Whether `text` has `word` as a word of its own, in any case; `_` separates words, so that names are read as well.
fn has_word(text: &str, word: &str) -> bool {
    let text = text.to_lowercase().replace('_', " ");
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word)
        .any(|(at, _)| !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next()))
}

#[test]
fn the_words_that_are_never_right_are_not_there() {
    let mut problems = Vec::new();
    for (file, text) in read_texts() {
        for (number, line) in text.lines().enumerate() {
            for (first, second, instead) in NEVER {
                let word = format!("{first}{second}");
                if has_word(line, &word) {
                    problems.push(format!("{file}:{}: `{word}`: write {instead}", number + 1));
                }
            }
            for (first, second) in OUTSIDE {
                if line.contains(&format!("{first}{second}")) {
                    problems.push(format!("{file}:{}: names a path outside the repository", number + 1));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} lines\n{}", problems.len(), problems.join("\n"));
}

/// Names longer than this wrap in a test report, and say two things.
const TEST_NAME_MAX: usize = 70;

/// The names of the test functions of a file that are too long.
fn long_test_names(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.starts_with("#[proptest");
        let Some(function) = lines[at..].iter().take(5).find(|line| is_test && line.contains("fn ")) else { continue };
        let name = function.split("fn ").nth(1).unwrap_or_default();
        let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.len() > TEST_NAME_MAX {
            found.push(name);
        }
    }
    found
}

#[test]
fn test_names_fit_a_line() {
    let mut problems = Vec::new();
    for (file, text) in read_texts().into_iter().filter(|(file, _)| file.ends_with(".rs")) {
        problems.extend(long_test_names(&text).into_iter().map(|name| format!("{file}: {name}: {} characters", name.len())));
    }
    assert!(problems.is_empty(), "at most {TEST_NAME_MAX} characters\n{}", problems.join("\n"));
}

#[test]
fn the_checks_can_fail() {
    assert_eq!(
        imports("use crate::model::{A, B};\nuse crate::{clock::Clock, store};"),
        BTreeSet::from(["clock", "model", "store"].map(String::from))
    );
    let long = format!("pub(crate) async fn long(a: u8) {{\n{}}}\n", "    a;\n".repeat(90));
    assert_eq!(functions(&long), [("long".to_owned(), 92)]);
    assert!(has_word("Not_so_fast", "fast") && has_word("Fast!", "fast") && !has_word("breakfast", "fast"));
    let name = "a".repeat(TEST_NAME_MAX + 1);
    assert_eq!(long_test_names(&format!("#[test]\n#[ignore]\nfn {name}() {{}}\nfn {name}b() {{}}")), [name]);
}
