//! From a transformer's name to its module: a file beside the configuration, or a prebuilt one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::LoadError;
use super::embedded::PREBUILT;

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In this binary.
    Prebuilt,
    File(PathBuf),
}

/// The transformers in this binary.
pub fn prebuilt_names() -> impl Iterator<Item = &'static str> {
    PREBUILT.iter().map(|(name, _)| *name)
}

/// The WebAssembly of a transformer in this binary: for benchmarks against other hosts.
pub fn prebuilt(name: &str) -> Option<&'static [u8]> {
    prebuilt_bytes(name)
}

/// The module of that name in this binary.
pub(super) fn prebuilt_bytes(name: &str) -> Option<&'static [u8]> {
    PREBUILT.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// Finds the module called `name`: the file that `[transformers.name] path` gives, else `name.wasm` in `dir`, else the
/// prebuilt one.
///
/// # Errors
/// [`LoadError::Unknown`] with the names that there are. That a given path can be read is seen when it is loaded.
pub fn resolve(name: &str, dir: &Path, explicit_path: Option<&Path>) -> Result<Source, LoadError> {
    if let Some(path) = explicit_path {
        return Ok(Source::File(path.to_owned()));
    }
    let available = available(dir);
    if let Some(source) = available.get(name) {
        return Ok(source.clone());
    }
    let distance = |known: &&String| strsim::damerau_levenshtein(name, known);
    let near = available.keys().min_by_key(distance).filter(|known| distance(known) <= 1 + name.len() / 3).cloned();
    Err(LoadError::Unknown { name: name.to_owned(), near, known: available.into_keys().collect(), dir: dir.to_owned() })
}

/// Everything that is on offer, by name: files `*.wasm` in `dir` win over prebuilt modules. A directory that is not
/// there has no files.
pub fn available(dir: &Path) -> BTreeMap<String, Source> {
    let mut found: BTreeMap<String, Source> = prebuilt_names().map(|name| (name.to_owned(), Source::Prebuilt)).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_module = path.extension().is_some_and(|extension| extension == "wasm") && path.is_file();
        if let (true, Some(stem)) = (is_module, path.file_stem().and_then(|stem| stem.to_str())) {
            found.insert(stem.to_owned(), Source::File(path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_same_name_wins_over_a_prebuilt_module() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(resolve("slack", dir.path(), None).unwrap(), Source::Prebuilt);
        fs::write(dir.path().join("slack.wasm"), "x").unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        assert_eq!(resolve("slack", dir.path(), None).unwrap(), Source::File(dir.path().join("slack.wasm")));
        let path = Path::new("elsewhere.wasm");
        assert_eq!(resolve("slack", dir.path(), Some(path)).unwrap(), Source::File(path.to_owned()));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine.wasm"), "x").unwrap();
        let error = resolve("slak", dir.path(), None).unwrap_err().to_string();
        let expected = format!(
            "there is no transformer `slak`, did you mean `slack`? Put slak.wasm into {}, or use one of cloudevents, discord, \
             envelope, jq, mine, opsgenie, pagerduty, redact, slack, teams, template",
            dir.path().display()
        );
        assert_eq!(error, expected);
        assert!(!resolve("quite-different", dir.path(), None).unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn every_prebuilt_module_is_a_component() {
        assert!(prebuilt_names().count() > 0);
        for name in prebuilt_names() {
            assert!(prebuilt_bytes(name).unwrap().starts_with(b"\0asm\x0d\0\x01\0"), "{name}");
        }
    }
}
