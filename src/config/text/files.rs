//! Where configuration files come from: the disk, or memory in tests and fuzzing. Owns the limits on them and the
//! fingerprint of all that was read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A hundred times the largest configuration that we know of in this field, and parsed in well under a second.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;

/// Keys and certificates are a few KiB.
pub(crate) const SECRET_FILE_BYTES_MAX: usize = 64 << 10;

/// Files of one configuration, `${file:…}` ones not counted: one file per tenant is the most that was seen.
pub(crate) const FILES_MAX: usize = 10_000;

/// Hex digits of a fingerprint: 64 bits tell two configurations apart.
const FINGERPRINT_CHARS: usize = 16;

pub(crate) struct Files<'a> {
    source: Source<'a>,
    reads: Mutex<FileReads>,
}

enum Source<'a> {
    Disk,
    /// Content by path; a directory is there if a file is in it.
    Memory(&'a BTreeMap<PathBuf, Vec<u8>>),
    /// The disk, but for these paths.
    Over(&'a BTreeMap<PathBuf, Vec<u8>>),
}

/// Everything that was read, with hashes: a later check compares these without parsing anything.
#[derive(Debug, Default)]
pub(crate) struct FileReads {
    /// Hashed; `None` for what could not be read.
    files: BTreeMap<PathBuf, (usize, Option<[u8; 32]>)>,
    dirs: BTreeMap<PathBuf, Option<Vec<String>>>,
    /// Something changed while it was being read.
    changed: bool,
}

impl FileReads {
    /// Whether all of it is on disk as it was.
    pub(crate) fn is_on_disk(&self) -> bool {
        let files = Files::disk();
        !self.changed
            && self.dirs.iter().all(|(dir, names)| files.list(dir).ok().flatten() == *names)
            && self.files.iter().all(|(path, (bytes_max, hash))| hash_of(&files.bytes(path, *bytes_max)) == *hash)
    }
}

fn hash_of(content: &Result<Zeroizing<Vec<u8>>, String>) -> Option<[u8; 32]> {
    content.as_ref().ok().map(|bytes| Sha256::digest(bytes.as_slice()).into())
}

impl<'a> Files<'a> {
    pub(crate) fn disk() -> Self {
        Self { source: Source::Disk, reads: Mutex::default() }
    }

    pub(crate) fn memory(files: &'a BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Self { source: Source::Memory(files), reads: Mutex::default() }
    }

    pub(crate) fn over(texts: &'a BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Self { source: Source::Over(texts), reads: Mutex::default() }
    }

    /// Whether a path is not on disk although the rest is: it cannot change, and need not be watched.
    pub(crate) fn is_fixed(&self, path: &Path) -> bool {
        matches!(&self.source, Source::Over(texts) if texts.contains_key(path))
    }

    pub(crate) fn reads(&self) -> FileReads {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, FileReads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content as text; in words what is wrong otherwise.
    pub(crate) fn read(&self, path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, String> {
        let bytes = self.bytes(path, bytes_max);
        let hash = hash_of(&bytes);
        let mut reads = self.lock();
        match reads.files.get(path) {
            // Changed between two readings: what was made of it is mixed, and no later check may find it unchanged.
            Some(known) if known.1 != hash => reads.changed = true,
            Some(_) => {}
            None if self.is_fixed(path) => {}
            None => drop(reads.files.insert(path.to_owned(), (bytes_max, hash))),
        }
        drop(reads);
        let bytes = std::mem::take(&mut *bytes?);
        if bytes.len() > bytes_max {
            return Err(format!("it is larger than {}", super::units::show_size(bytes_max as u64)));
        }
        String::from_utf8(bytes)
            .map(Zeroizing::new)
            .map_err(|error| format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to() + 1))
    }

    fn bytes(&self, path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.source {
            Source::Over(texts) if texts.contains_key(path) => Ok(Zeroizing::new(texts[path].clone())),
            Source::Disk | Source::Over(_) => read_disk(path, bytes_max).map(Zeroizing::new).map_err(|error| describe(&error)),
            Source::Memory(files) => {
                files.get(path).cloned().map(Zeroizing::new).ok_or_else(|| "there is no such file".to_owned())
            }
        }
    }

    /// Names of the files of a directory, sorted; `None` when it is not there.
    pub(crate) fn list(&self, dir: &Path) -> Result<Option<Vec<String>>, String> {
        let names: Result<Option<Vec<String>>, String> = match &self.source {
            Source::Disk | Source::Over(_) => match list_disk(dir) {
                Ok(names) => Ok(Some(names)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(describe(&error)),
            },
            Source::Memory(files) => {
                let within = files.keys().filter(|path| path.parent() == Some(dir));
                Ok(Some(within.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()))
            }
        };
        self.lock().dirs.insert(dir.to_owned(), names.clone().ok().flatten());
        names
    }
}

fn read_disk(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    // A FIFO or a device would block the reload for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn list_disk(dir: &Path) -> io::Result<Vec<String>> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Through symlinks: a ConfigMap's files are links.
        let is_file = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file());
        if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "reading it is not permitted".to_owned(),
        _ => error.to_string(),
    }
}

/// Over everything that a configuration was made of. Lengths go in too, so that no two lists of parts are the same bytes.
#[derive(Default)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> String {
        let mut text = hex::encode(self.0.finalize());
        text.truncate(FINGERPRINT_CHARS);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Files::disk().read(dir.path(), 10).unwrap_err(), "it is not a regular file");
        assert_eq!(Files::disk().read(&dir.path().join("x"), 10).unwrap_err(), "there is no such file");
    }

    #[test]
    fn a_file_over_the_limit_or_not_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "x".repeat(2049)).unwrap();
        assert_eq!(Files::disk().read(&path, 2048).unwrap_err(), "it is larger than 2KiB");
        assert_eq!(Files::disk().read(&path, 2049).unwrap().len(), 2049);
        std::fs::write(&path, b"ab\xff").unwrap();
        assert_eq!(Files::disk().read(&path, 10).unwrap_err(), "it is not UTF-8 text (byte 3)");
    }

    #[test]
    fn what_changes_while_it_is_being_read_is_never_taken_for_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let files = Files::disk();
        std::fs::write(&path, "one").unwrap();
        assert_eq!(files.read(&path, 10).unwrap().as_str(), "one");
        assert_eq!(files.read(&path, 10).unwrap().as_str(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(files.read(&path, 10).unwrap().as_str(), "two");
        let reads = files.reads();
        assert!(!reads.is_on_disk());
        std::fs::write(&path, "one").unwrap();
        assert!(!reads.is_on_disk());
    }

    #[test]
    fn a_directory_lists_its_files_sorted_and_a_missing_one_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("c.toml")).unwrap();
        assert_eq!(Files::disk().list(dir.path()).unwrap().unwrap(), ["a.toml", "b.toml"]);
        assert_eq!(Files::disk().list(&dir.path().join("x")).unwrap(), None);
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        let of = |parts: &[&str]| {
            let mut fingerprint = Fingerprint::default();
            parts.iter().for_each(|part| fingerprint.add(part.as_bytes()));
            fingerprint.finish()
        };
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&[]).len(), FINGERPRINT_CHARS);
    }
}
