//! From a path to one tree: reads the file, fills in its strings, follows `include`, and merges all files as if they
//! had been written in one. Refuses a key that two files set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{FILE_BYTES_MAX, FILES_MAX, Files, Fingerprint, SECRET_FILE_BYTES_MAX};
use super::interpolate::Interpolator;
use super::parse::parse;
use super::report::{Report, quote};
use super::tree::{Entry, Form, Node, Span, Table, Value};
use crate::config::keys::read;

/// All files of a configuration as one table.
pub(crate) struct Gathered {
    pub(crate) root: Table,
    /// In the order of reading, then those of `${file:…}`; those that could not be read too.
    pub(crate) files: Vec<PathBuf>,
    /// How many of `files` are configuration files: they come first.
    pub(crate) config_files: usize,
    pub(crate) include_dirs: Vec<PathBuf>,
    pub(crate) fingerprint: String,
    pub(crate) pems: Pems,
}

/// The content of the files that `[server.tls]` names, by the span of the name.
pub(crate) type Pems = BTreeMap<Span, Result<Zeroizing<String>, String>>;

/// Tables whose entries may come from several files. A key of `[server]` in each of two files is fine; twice is not.
const MERGED: [&str; 9] =
    ["server", "tokens", "storage", "retention", "network", "defaults", "webhooks", "transformers", "event_types"];

/// Environment variables by name.
pub(crate) type Env<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

pub(crate) fn gather(files: &Files<'_>, path: &Path, env: Env<'_>, report: &mut Report) -> Gathered {
    let interpolator = Interpolator { files, env, files_read: Vec::new(), fingerprint: Fingerprint::default() };
    let mut gatherer = Gatherer {
        dir: path.parent().unwrap_or(Path::new("")),
        interpolator,
        root: Table::new(Form::Header),
        queue: vec![(path.to_owned(), None)],
        seen: BTreeSet::from([path.to_owned()]),
        files: Vec::new(),
        include_dirs: Vec::new(),
    };
    let mut next = 0;
    while next < gatherer.queue.len() {
        let (path, from) = gatherer.queue[next].clone();
        gatherer.file(path, from, report);
        next += 1;
    }
    let pems = gatherer.pems(report);
    let Gatherer { interpolator, root, mut files, mut include_dirs, .. } = gatherer;
    let config_files = files.len();
    let known: BTreeSet<PathBuf> = files.iter().cloned().collect();
    let secret_files: BTreeSet<PathBuf> = interpolator.files_read.into_iter().filter(|path| !known.contains(path)).collect();
    files.extend(secret_files);
    include_dirs.sort();
    include_dirs.dedup();
    Gathered { root, files, config_files, include_dirs, fingerprint: interpolator.fingerprint.finish(), pems }
}

struct Gatherer<'a> {
    /// Of config.toml.
    dir: &'a Path,
    interpolator: Interpolator<'a>,
    root: Table,
    /// Files to read, with the `include` that named them.
    queue: Vec<(PathBuf, Option<Span>)>,
    seen: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
    include_dirs: Vec<PathBuf>,
}

impl Gatherer<'_> {
    fn file(&mut self, path: PathBuf, from: Option<Span>, report: &mut Report) {
        self.files.push(path.clone());
        let fingerprint = &mut self.interpolator.fingerprint;
        // However the first file is called and wherever it lies, the same configuration has the same fingerprint.
        let name = if from.is_none() { Path::new("") } else { path.strip_prefix(self.dir).unwrap_or(&path) };
        fingerprint.add(name.as_os_str().as_encoded_bytes());
        let text = self.interpolator.files.read(&path, FILE_BYTES_MAX);
        fingerprint.add(&[u8::from(text.is_ok())]);
        let text = match text {
            Ok(text) => text,
            Err(problem) => return self.unreadable(path, from, &problem, report),
        };
        fingerprint.add(text.as_bytes());
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        let file = report.sources.add(path, text);
        let mut table = parse(file, report);
        table.shrink();
        self.interpolator.expand(&mut table, &dir, report);
        for entry in table.into_entries() {
            if entry.key.name == "include" {
                self.include(&entry.node, &dir, report);
            } else {
                self.merge(entry, report);
            }
        }
    }

    /// Read along with the rest, so that a renewed certificate is a change of the configuration.
    fn pems(&mut self, report: &Report) -> Pems {
        let tls = self.root.get("server").and_then(|entry| match &entry.node.value {
            Value::Table(server) => server.get("tls"),
            _ => None,
        });
        let Some(Value::Table(tls)) = tls.map(|entry| &entry.node.value) else { return Pems::new() };
        let mut pems = Pems::new();
        for Node { span, value } in ["cert", "key"].iter().filter_map(|key| Some(&tls.get(key)?.node)) {
            let Value::String(text) = value else { continue };
            if crate::config::keys::protection::is_pem(text.value()) {
                continue;
            }
            let path = report.sources.path(span.file).parent().unwrap_or(Path::new("")).join(text.value());
            let content = self.interpolator.files.read(&path, SECRET_FILE_BYTES_MAX);
            self.interpolator.fingerprint.add(content.as_ref().map_or(b"".as_slice(), |text| text.as_bytes()));
            self.interpolator.files_read.push(path);
            pems.insert(*span, content);
        }
        pems
    }

    fn unreadable(&mut self, path: PathBuf, from: Option<Span>, problem: &str, report: &mut Report) {
        let shown = quote(&path.to_string_lossy());
        match from {
            Some(span) => {
                report.error(span, format!("the included file {shown} cannot be read: {problem}"));
            }
            None => {
                let file = report.sources.add(path, Zeroizing::new(String::new()));
                report
                    .error(Span { file, start: 0, end: 0 }, format!("the configuration file {shown} cannot be read: {problem}"))
                    .help("give the path of your config.toml");
            }
        }
    }

    fn include(&mut self, node: &Node, dir: &Path, report: &mut Report) {
        const EXAMPLE: &str = "webhooks.d/*.toml";
        let patterns = match &node.value {
            Value::String(text) => vec![(text, node)],
            _ => read::strings(node, "include", EXAMPLE, report).unwrap_or_default(),
        };
        for (text, node) in patterns {
            let pattern = text.value();
            let (parent, name) = pattern
                .rsplit_once('/')
                .map_or(("", pattern), |(parent, name)| (if parent.is_empty() { "/" } else { parent }, name));
            if name.is_empty() || name == "." || name == ".." {
                report
                    .error_about(node.span, [node], "`include` names no file:", &quote(pattern))
                    .help(format!("name files relative to this one, as in \"{EXAMPLE}\""));
            } else if parent.contains(['*', '?']) || name.contains("**") {
                report
                    .error_about(node.span, [node], "`include` can match file names only:", &quote(pattern))
                    .help(format!("`*` is allowed in the last part, as in \"{EXAMPLE}\""));
            } else if name.contains(['*', '?']) {
                self.matching(&dir.join(parent), name, node.span, report);
            } else {
                self.enqueue(dir.join(parent).join(name), node.span, report);
            }
        }
    }

    fn matching(&mut self, dir: &Path, pattern: &str, span: Span, report: &mut Report) {
        self.include_dirs.push(dir.to_owned());
        let names = match self.interpolator.files.list(dir) {
            Ok(names) => names,
            Err(problem) => {
                report.error(span, format!("the directory {} cannot be listed: {problem}", quote(&dir.to_string_lossy())));
                return;
            }
        };
        let matching: Vec<String> =
            names.iter().flatten().filter(|name| !name.starts_with('.') && matches(pattern, name)).cloned().collect();
        if matching.is_empty() {
            let why = if names.is_none() { "the directory is not there" } else { "no file of that name is there" };
            report.warning(span, format!("nothing is included: {why}"));
        }
        for name in matching {
            self.enqueue(dir.join(name), span, report);
        }
    }

    /// A file that two patterns match, or that includes its includer, is read once.
    fn enqueue(&mut self, path: PathBuf, span: Span, report: &mut Report) {
        if self.queue.len() >= FILES_MAX {
            report.error(span, format!("more than {FILES_MAX} files are included"));
        } else if self.seen.insert(path.clone()) {
            self.queue.push((path, Some(span)));
        }
    }

    /// Adds a top-level key of one file to the whole.
    fn merge(&mut self, entry: Entry, report: &mut Report) {
        let Entry { key, node } = entry;
        let mergeable = MERGED.contains(&key.name.as_str());
        let name = key.name.clone();
        match (mergeable, node) {
            (true, Node { span, value: Value::Table(table) }) => {
                if self.root.get(&name).is_none() {
                    let empty = Node { span, value: Value::Table(Table::new(Form::Header)) };
                    // Nothing of that name is there: checked above.
                    let _ = self.root.insert(key, empty);
                }
                let Some(whole) = self.root.section(&[super::tree::Key { name: name.clone(), span }]) else { return };
                for entry in table.into_entries() {
                    if let Err(clash) = whole.insert(entry.key, entry.node) {
                        let shown = quote(&clash.key.name);
                        let message = match name.as_str() {
                            "webhooks" => format!("the webhook {shown} is declared twice"),
                            "tokens" => format!("the token {shown} is declared twice"),
                            "transformers" => format!("the transformer {shown} is declared twice"),
                            "event_types" => format!("the event type {shown} is declared twice"),
                            table => format!("{shown} of [{table}] is set twice"),
                        };
                        let draft = report.error(clash.key.span, message);
                        draft.help("keep one of the two, or give this one another name").also(clash.first, "first declared");
                    }
                }
            }
            (_, node) => {
                if let Err(clash) = self.root.insert(key, node) {
                    let message = format!("{} is set in two files", quote(&clash.key.name));
                    report.error(clash.key.span, message).also(clash.first, "first set");
                }
            }
        }
    }
}

/// `*` is any characters, `?` one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when the last `*` has to take one character more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            retry = Some((p + 1, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((after_star, taken)) = retry {
            retry = Some((after_star, taken + 1));
            (p, n) = (after_star, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match_within_a_name() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml~", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXc", false),
            ("?.toml", "a.toml", true),
            ("?.toml", "ab.toml", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_with_any_part_starred(name in "[a-z.]{0,12}", from in 0..12_usize, to in 0..12_usize) {
            let (from, to) = (from.min(to).min(name.len()), to.max(from).min(name.len()));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(&pattern, &name));
        }
    }
}
