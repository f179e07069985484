//! The admin token of a loopback listener without `[tokens]`: generated once, stored in the data directory, readable by
//! its owner only.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::signing::Secret;

/// Longer files are not ours.
const FILE_BYTES_MAX: u64 = 1024;

pub struct AdminToken {
    secret: Secret,
    path: PathBuf,
    is_new: bool,
}

impl AdminToken {
    /// Reads the stored token, or generates one.
    pub(super) fn load_or_generate(path: &Path) -> io::Result<Self> {
        if let Some(secret) = read(path)? {
            return Ok(Self { secret, path: path.to_owned(), is_new: false });
        }
        let secret = Secret::parse(&format!("tk_{}", Secret::generate_hex().expose())).map_err(io::Error::other)?;
        let mut options = std::fs::File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        writeln!(file, "{}", secret.expose())?;
        file.sync_all()?;
        Ok(Self { secret, path: path.to_owned(), is_new: true })
    }

    pub fn secret(&self) -> Secret {
        self.secret.clone()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was generated at this start: then it is printed.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

/// The token that a server on this data directory stores; `None` when there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Secret>> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    // A crash between creating and writing leaves an empty file.
    Ok(Secret::parse(text.trim()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_generated_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin-token");
        let first = AdminToken::load_or_generate(&path).unwrap();
        assert!(first.is_new());
        let second = AdminToken::load_or_generate(&path).unwrap();
        assert!(!second.is_new());
        assert_eq!(first.secret().expose(), second.secret().expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
