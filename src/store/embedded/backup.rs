//! The store as one file: written beside a running server, and put back where there is none.

use std::path::{Path, PathBuf};

use super::files::{self, DirectoryLock, FILE_NAME, beside};
use super::workers::blocking;
use super::{Embedded, check, schema};
use crate::model::Timestamp;
use crate::store::{StoreCheck, StoreError};

/// The new file, until it is whole: a file of the wanted name always is.
const NEW_SUFFIX: &str = "-part";

impl Embedded {
    pub(in crate::store) async fn backup(directory: PathBuf, to: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        blocking(move || backup(&directory, &to, now).map_err(|reason| StoreError::Unavailable { reason })).await
    }

    pub(in crate::store) async fn restore(from: PathBuf, directory: PathBuf, now: Timestamp) -> Result<StoreCheck, StoreError> {
        blocking(move || restore(&from, &directory, now).map_err(|reason| StoreError::Unavailable { reason })).await
    }
}

fn backup(directory: &Path, to: &Path, now: Timestamp) -> Result<StoreCheck, String> {
    let database = directory.join(FILE_NAME);
    files::check_wal_has_database(&database)?;
    if !database.exists() {
        return Err(format!("there is no {}: has a server run on this data directory?", database.display()));
    }
    if to.exists() {
        return Err(format!("{} is there already: name a file that is not, or remove it first", to.display()));
    }
    copy(&database, to)?;
    checked(to, now)
}

fn restore(from: &Path, directory: &Path, now: Timestamp) -> Result<StoreCheck, String> {
    if !from.is_file() {
        return Err(format!("{} is no file: name one that `tenterhook store backup` wrote", from.display()));
    }
    let found = checked(from, now)?;
    if let (None, Some(problem)) = (&found.counts, found.problems.first()) {
        return Err(format!("{} cannot be put back: {problem}", from.display()));
    }
    files::make_directory(directory).map_err(|e| format!("cannot make {}: {e}", directory.display()))?;
    let _lock = DirectoryLock::take(directory)?;
    let database = directory.join(FILE_NAME);
    if let Some(there) = ["", "-wal"].map(|suffix| beside(&database, suffix)).into_iter().find(|path| path.exists()) {
        return Err(format!("{} is there already: move it and the files beside it away first", there.display()));
    }
    copy(from, &database)?;
    files::mark_closed(&database);
    checked(&database, now)
}

/// All that is committed in one store, its write-ahead log included, as one private file. One moment of it, while a server writes.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("cannot copy {} to {}: {e}", from.display(), to.display());
    let new = beside(to, NEW_SUFFIX);
    // The rest of one that was interrupted.
    let _ = std::fs::remove_file(&new);
    let written = write(from, &new).and_then(|()| std::fs::rename(&new, to).map_err(|e| e.to_string()));
    if let Err(e) = written {
        let _ = std::fs::remove_file(&new);
        return Err(failed(&e));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    files::sync_directory(parent.unwrap_or(Path::new(".")));
    Ok(())
}

fn write(from: &Path, new: &Path) -> Result<(), String> {
    let name = new.to_str().ok_or_else(|| format!("the path {} is not UTF-8", new.display()))?;
    files::keep_private(new).map_err(|e| e.to_string())?;
    let connection = schema::open_reader(from).map_err(|e| e.to_string())?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(|e| e.to_string())?;
    let file = std::fs::File::options().write(true).open(new).map_err(|e| e.to_string())?;
    file.sync_all().map_err(|e| e.to_string())
}

fn checked(database: &Path, now: Timestamp) -> Result<StoreCheck, String> {
    check::check(database, now).map_err(|e| format!("cannot read {}: {e}", database.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_store_is_put_back_and_nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (source, file) = (root.path().join("source"), root.path().join("backup.db"));
        let now = Timestamp::from_millis(1_700_000_000_000);
        std::fs::create_dir(&source).unwrap();
        assert!(backup(&source, &file, now).unwrap_err().contains("has a server run"));
        drop(schema::open_writer(&source.join(FILE_NAME)).unwrap());
        assert_eq!(backup(&source, &file, now).unwrap().problems, Vec::<String>::new());
        assert!(backup(&source, &file, now).unwrap_err().contains("is there already"));
        assert!(restore(&file, &source, now).unwrap_err().contains("move it and the files beside it away"));
        let target = root.path().join("new/target");
        assert!(restore(&file, &target, now).unwrap().counts.is_some());
        for (content, why) in [("", "the file is empty"), ("no database at all, but a text", "not a database")] {
            let other = root.path().join("other");
            std::fs::write(&other, content).unwrap();
            let refused = restore(&other, &root.path().join("nowhere"), now).unwrap_err();
            assert!(refused.contains("cannot be put back") && refused.contains(why), "{refused}");
        }
        assert!(!root.path().join("nowhere").exists(), "a refusal leaves nothing behind");
        assert!(!beside(&file, NEW_SUFFIX).exists());
    }
}
