//! The file in the data directory by which commands on the same machine find a running server: it holds the URL, is
//! readable by its owner only, and is removed at the end.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

/// In the data directory; locked for as long as the server runs, so that one left by a crash is not believed.
pub(super) const FILE_NAME: &str = "server.json";

/// Longer files are not ours.
#[cfg(feature = "cli")]
const FILE_BYTES_MAX: u64 = 16 << 10;

/// A command that reads the file holds it for some microseconds.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The file in the data directory of a running server that says where it listens; removed when this is dropped.
pub(super) struct Announcement {
    path: PathBuf,
    _locked: File,
}

impl Announcement {
    /// Commands find the server without it as well, by config.toml: what goes wrong is logged and no more.
    pub(super) async fn make(directory: &Path, address: SocketAddr, tls: bool) -> Option<Self> {
        let path = directory.join(FILE_NAME);
        match Self::write(&path, &url(address, tls)).await {
            Ok(locked) => Some(Self { path, _locked: locked }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot write the server's address for commands on this machine");
                None
            }
        }
    }

    async fn write(path: &Path, url: &str) -> io::Result<File> {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        for tried in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) if tried < LOCK_TRIES => tokio::time::sleep(LOCK_PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
        file.set_len(0)?;
        let known = json!({"url": url, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION")});
        writeln!(file, "{known}")?;
        Ok(file)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // One that stays is not locked, and so not believed.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a server that runs on this data directory has written there.
#[cfg(feature = "cli")]
pub(super) fn announced(directory: &Path) -> Option<String> {
    use std::io::Read;
    let file = File::open(directory.join(FILE_NAME)).ok()?;
    // Nobody holds it: it is what a crash left.
    let Err(std::fs::TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let known: serde_json::Value = serde_json::from_str(&text).ok()?;
    known["url"].as_str().map(str::to_owned)
}

/// As commands on this machine reach it.
pub(super) fn url(mut address: SocketAddr, tls: bool) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{}://{address}", if tls { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let running = Announcement::make(directory.path(), "127.0.0.1:1".parse().unwrap(), false).await;
        let mode = std::fs::metadata(directory.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!((running.is_some(), mode & 0o777), (true, 0o600));
    }
}
