//! Rewriting the store without its free space: a file that an older version wrote may hold rests of what it deleted.

use std::path::{Path, PathBuf};

use super::files::{self, DirectoryLock, FILE_NAME, beside};
use super::workers::blocking;
use super::{Embedded, schema, wal};
use crate::store::{StoreError, Vacuumed};

/// The new file, until it replaces the old one.
const NEW_SUFFIX: &str = "-vacuum";

impl Embedded {
    pub(in crate::store) async fn vacuum(directory: PathBuf) -> Result<Vacuumed, StoreError> {
        blocking(move || vacuum(&directory).map_err(|reason| StoreError::Unavailable { reason })).await
    }
}

/// A crash leaves the old file or the new one, both whole.
fn vacuum(directory: &Path) -> Result<Vacuumed, String> {
    let database = directory.join(FILE_NAME);
    files::check_wal_has_database(&database)?;
    if !database.exists() {
        return Err(format!("there is no {}: has a server run on this data directory?", database.display()));
    }
    let _lock = DirectoryLock::take(directory)?;
    let failed = |what: &str, e: &dyn std::fmt::Display| format!("cannot {what} {}: {e}", database.display());
    let new = beside(&database, NEW_SUFFIX);
    // The rest of one that was interrupted.
    let _ = std::fs::remove_file(&new);
    let connection = schema::open_writer(&database).map_err(|e| failed("open", &e))?;
    wal::truncate(&connection).map_err(|e| failed("checkpoint", &e))?;
    let before = bytes(&database)?;
    files::keep_private(&new).map_err(|e| failed("write the copy of", &e))?;
    let name = new.to_str().ok_or_else(|| format!("the path {} is not UTF-8", new.display()))?;
    let written = connection.execute("VACUUM INTO ?1", [name]).map_err(|e| e.to_string());
    let written = written.and_then(|_| sync(&new).map_err(|e| e.to_string()));
    if let Err(e) = written {
        let _ = std::fs::remove_file(&new);
        return Err(format!("{}; it needs room for a second copy of the store", failed("write the copy of", &e)));
    }
    // The last connection: with it the WAL goes, which belongs to the old file.
    connection.close().map_err(|(_, e)| failed("close", &e))?;
    let wal = beside(&database, "-wal");
    if wal.metadata().is_ok_and(|found| found.len() > 0) {
        let _ = std::fs::remove_file(&new);
        return Err(format!("another program has {} open: close it and try again", database.display()));
    }
    std::fs::rename(&new, &database).map_err(|e| failed("replace", &e))?;
    files::sync_directory(directory);
    files::mark_closed(&database);
    Ok(Vacuumed { before, after: bytes(&database)? })
}

fn bytes(path: &Path) -> Result<u64, String> {
    path.metadata().map(|found| found.len()).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn sync(path: &Path) -> std::io::Result<()> {
    std::fs::File::options().write(true).open(path)?.sync_all()
}
