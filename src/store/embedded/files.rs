//! The data directory and the files in it: made, locked, private, and watched, because SQLite goes on writing into
//! files that somebody has removed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const FILE_NAME: &str = "tenterhook.db";

const LOCK_NAME: &str = "lock";

/// Length of a WAL without a single frame (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
const WAL_HEADER_BYTES: u64 = 32;

/// Content of the lock file while a store is open. A process that closes its store removes it, a crash leaves it.
const OPEN_MARK: &[u8] = b"open\n";

/// SQLite's name for a file beside the database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the data directory, for its owner alone. Durable when it returns: a directory that a power cut takes away takes
/// accepted events with it.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    let parents = parents_of_missing(path);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    parents.iter().for_each(|parent| sync_directory(parent));
    Ok(())
}

/// The parents of all directories on the path that do not exist yet.
fn parents_of_missing(path: &Path) -> Vec<PathBuf> {
    let missing = path.ancestors().take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists());
    missing
        .filter_map(Path::parent)
        .map(|parent| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
        .collect()
}

/// Makes the names in a directory durable. Some file systems refuse it; they have their own rules for durability.
pub(super) fn sync_directory(path: &Path) {
    #[cfg(unix)]
    if let Err(error) = File::open(path).and_then(|directory| directory.sync_all()) {
        tracing::debug!(directory = %path.display(), %error, "cannot sync the directory");
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Refuses a WAL whose database is missing or empty: SQLite would make a new database and delete the WAL, which may hold
/// all that was stored.
pub(super) fn check_wal_has_database(database: &Path) -> Result<(), String> {
    let length = |path: &Path| path.metadata().map(|found| found.len());
    let wal = beside(database, "-wal");
    let wal_bytes = length(&wal).unwrap_or(0);
    let fault = match length(database) {
        Ok(0) => "is empty",
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
        // Opening it says more.
        Err(_) => return Ok(()),
    };
    if wal_bytes <= WAL_HEADER_BYTES {
        return Ok(());
    }
    Err(format!(
        "{} {fault}, but its write-ahead log {} ({wal_bytes} bytes) is there, and holds what was stored last; a start without the \
         database would destroy it: put the database back beside the WAL, or move the WAL away if nothing in it is needed",
        database.display(),
        wal.display(),
    ))
}

/// The database readable and writable by its owner alone, whatever the umask: SQLite gives the files that it makes beside it
/// the same mode. Narrows what an older version or a copy has left open.
#[cfg(unix)]
pub(super) fn keep_private(database: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    File::options().create(true).truncate(false).append(true).mode(0o600).open(database)?;
    for suffix in ["", "-wal", "-shm"] {
        let name = beside(database, suffix);
        let Ok(found) = name.metadata() else { continue };
        let mode = found.permissions().mode();
        if mode & 0o077 != 0
            && let Err(error) = std::fs::set_permissions(&name, std::fs::Permissions::from_mode(mode & !0o077))
        {
            tracing::warn!(file = %name.display(), %error, "others may read the store, and its mode cannot be changed: make the server's user the owner");
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn keep_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Held for as long as the store is open: one process per data directory.
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, String> {
        let path = directory.join(LOCK_NAME);
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|e| format!("cannot open {}: {e}", path.display()))?;
        // Everybody who may open it may lock it. An error shows at the store's own file as well, with more to say.
        #[cfg(unix)]
        let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(format!(
                "another tenterhook is running on the data directory {}: stop it, or set another `[storage] path`",
                directory.display()
            )),
            Err(std::fs::TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", path.display())),
        }
    }
}

/// Warns when the last process crashed and its WAL is gone, which a crash does not do. Another program that opened the
/// store and closed it has copied the WAL into the database first; a deletion has lost what was in it. The
/// two cannot be distinguished, so this is no reason to refuse.
pub(super) fn warn_of_missing_wal(database: &Path) {
    let crashed = std::fs::read(lock_path(database)).is_ok_and(|content| content == OPEN_MARK);
    let wal = beside(database, "-wal");
    if crashed && !wal.exists() {
        tracing::warn!(
            wal = %wal.display(),
            "the last process did not close the store, and its write-ahead log is gone: if the file was deleted, what was stored \
             since the last checkpoint is lost; if another program has opened and closed the store since, nothing is"
        );
    }
}

/// From here on the WAL may hold what the database does not.
pub(super) fn mark_open(database: &Path) {
    let path = lock_path(database);
    let marked = File::options().write(true).open(&path).and_then(|mut file| {
        io::Write::write_all(&mut file, OPEN_MARK)?;
        file.sync_all()
    });
    if let Err(error) = marked {
        tracing::debug!(file = %path.display(), %error, "cannot note that the store is open");
    }
}

/// The database holds everything.
pub(super) fn mark_closed(database: &Path) {
    let path = lock_path(database);
    if let Err(error) = File::options().write(true).open(&path).and_then(|file| file.set_len(0)) {
        tracing::debug!(file = %path.display(), %error, "cannot note that the store is closed");
    }
}

fn lock_path(database: &Path) -> PathBuf {
    database.with_file_name(LOCK_NAME)
}

/// The files that the store's connections have open, and which inodes they were then.
pub(super) struct OpenFiles(Vec<(PathBuf, Inode)>);

type Inode = (u64, u64);

impl OpenFiles {
    /// To be called once SQLite has all of them open.
    pub(super) fn of(database: &Path) -> Self {
        let paths = ["", "-wal", "-shm"].map(|suffix| beside(database, suffix));
        Self(paths.into_iter().filter_map(|path| inode(&path).ok().flatten().map(|inode| (path, inode))).collect())
    }

    /// The first whose name is gone or names another file: what is written into it will not be found again.
    pub(super) fn replaced(&self) -> Option<&Path> {
        let differs = |(path, opened): &&(PathBuf, Inode)| match inode(path) {
            Ok(found) => found != Some(*opened),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.0.iter().find(differs).map(|(path, _)| path.as_path())
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> io::Result<Option<Inode>> {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().map(|found| Some((found.dev(), found.ino())))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn inode(_: &Path) -> io::Result<Option<Inode>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parent_of_a_new_directory_is_made_durable() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        let parents = parents_of_missing(&path);
        assert_eq!(parents, [root.path().join("a/b"), root.path().join("a"), root.path().to_owned()]);
        make_directory(&path).unwrap();
        assert!(parents_of_missing(&path).is_empty(), "nothing is new");
        assert_eq!(parents_of_missing(Path::new("missing-here")), [PathBuf::from(".")]);
    }

    #[test]
    fn a_wal_without_its_database_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let database = root.path().join(FILE_NAME);
        assert_eq!(check_wal_has_database(&database), Ok(()), "a new store");
        std::fs::write(beside(&database, "-wal"), [0; 32]).unwrap();
        assert_eq!(check_wal_has_database(&database), Ok(()), "nothing in it");
        std::fs::write(beside(&database, "-wal"), [0; 9000]).unwrap();
        let missing = check_wal_has_database(&database).unwrap_err();
        assert!(missing.contains("tenterhook.db is missing") && missing.contains("tenterhook.db-wal (9000 bytes)"), "{missing}");
        std::fs::write(&database, []).unwrap();
        assert!(check_wal_has_database(&database).unwrap_err().contains("tenterhook.db is empty"));
        std::fs::write(&database, [0; 4096]).unwrap();
        assert_eq!(check_wal_has_database(&database), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let database = root.path().join(FILE_NAME);
        let wal = beside(&database, "-wal");
        for path in [&database, &wal] {
            std::fs::write(path, "1").unwrap();
        }
        let open = OpenFiles::of(&database);
        assert_eq!(open.replaced(), None);
        std::fs::write(&wal, "22").unwrap();
        assert_eq!(open.replaced(), None, "written is not replaced");
        std::fs::write(root.path().join("other"), "1").unwrap();
        std::fs::rename(root.path().join("other"), &database).unwrap();
        assert_eq!(open.replaced(), Some(database.as_path()));
        let open = OpenFiles::of(&database);
        std::fs::remove_file(&wal).unwrap();
        assert_eq!(open.replaced(), Some(wal.as_path()));
    }
}
