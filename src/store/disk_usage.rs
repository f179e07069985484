//! How much of its disk the store takes, and how much of it is left.

use std::path::Path;

use super::Store;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// The store's files: database and log.
    pub size: u64,
    /// What the file system has left for this user.
    pub free: u64,
}

impl Store {
    /// `None` where it cannot be read.
    pub async fn disk(&self) -> Option<DiskUsage> {
        let Self::Embedded(store) = self;
        let path = store.path().to_owned();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read.map_err(std::io::Error::other).flatten() {
            Ok(usage) => Some(usage),
            Err(error) => {
                tracing::debug!(%error, "disk usage cannot be read");
                None
            }
        }
    }
}

/// `path` is the database.
fn read(path: &Path) -> std::io::Result<DiskUsage> {
    let mut size = std::fs::metadata(path)?.len();
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        size += std::fs::metadata(beside).map_or(0, |metadata| metadata.len());
    }
    Ok(DiskUsage { size, free: free(path)? })
}

#[cfg(unix)]
fn free(path: &Path) -> std::io::Result<u64> {
    let of_disk = rustix::fs::statvfs(path)?;
    Ok(of_disk.f_bavail.saturating_mul(of_disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> std::io::Result<u64> {
    Err(std::io::ErrorKind::Unsupported.into())
}
