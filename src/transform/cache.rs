//! Compiled modules on disk, so that a restart compiles nothing. The files are native code and are run as such: a cache
//! that anyone else could write to is not used.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of compiled modules that are not in use: several generations of a few dozen modules, at 1 to 40 MB each. What is
/// in use stays, however much it is.
const UNUSED_BYTES_MAX: u64 = 2 << 30;

/// Nothing is removed for this long after the start. A start loads what its configuration uses one module after the other:
/// those that it has not come to yet look unused.
const START_TIME_MAX: Duration = Duration::from_mins(10);

/// First bytes of a file; a change of the layout below is a change here.
const MAGIC: &[u8; 16] = b"tenterhook-code1";

/// Magic, key, and the SHA-256 of key and code.
const HEAD_LEN: usize = 16 + KEY_LEN + 32;

/// SHA-256 of the module, hash of everything that the code depends on besides.
const KEY_LEN: usize = 32 + 8;

/// A directory of compiled modules that belongs to us alone.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// The user that every file must belong to: ourselves.
    owner: u32,
    /// Until then nothing is removed.
    started: Instant,
}

/// The hashes of modules (SHA-256 of the WebAssembly) that are in use somewhere in this process.
pub(super) type InUse = HashSet<[u8; 32]>;

/// What a file is for: this module, compiled by this engine on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; KEY_LEN]);

impl Key {
    pub(super) fn new(wasm_sha256: &[u8; 32], engine: &Engine) -> Self {
        // Stable for one build of tenterhook and one machine, which is what it has to tell apart.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let mut key = [0; KEY_LEN];
        key[..32].copy_from_slice(wasm_sha256);
        key[32..].copy_from_slice(&hasher.finish().to_be_bytes());
        Self(key)
    }
}

impl Cache {
    /// Makes the directory with mode 0700. One that others can write to, or that is not ours, is not used; the reason
    /// is logged.
    pub(super) fn open(dir: &Path) -> Option<Self> {
        match prepare(dir) {
            Ok(owner) => Some(Self { dir: dir.to_owned(), owner, started: Instant::now() + START_TIME_MAX }),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled transformers are not cached: each start compiles them again");
                None
            }
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.bin", hex::encode(key.0)))
    }

    /// The compiled module, if it is cached and whole. Anything else than a file of ours with exactly this content counts
    /// as not cached.
    pub(super) fn load(&self, engine: &Engine, key: &Key) -> Option<Component> {
        let path = self.path(key);
        let content = match self.read(&path) {
            Ok(content) => content,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %path.display(), %error, "cannot read a compiled transformer, compiling it again");
                }
                return None;
            }
        };
        let Some(code) = checked(&content, key) else {
            tracing::warn!(file = %path.display(), "a compiled transformer is damaged, compiling it again");
            return None;
        };
        deserialize(engine, code)
            .inspect_err(
                |error| tracing::warn!(file = %path.display(), %error, "cannot use a compiled transformer, compiling it"),
            )
            .ok()
    }

    /// The file's content, if the file is ours: asked of the opened file, so that nothing can be exchanged in between.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || owner(&metadata) != Some(self.owner) || writable_by_others(&metadata) {
            return Err(io::Error::other("it is not a file that only we can write"));
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut content)?;
        // The time of the last use decides what goes first; a file system that keeps none is no reason to compile.
        let _ = file.set_modified(SystemTime::now());
        Ok(content)
    }

    /// Stores a compiled module, and removes old ones over the limit. A failure costs the next start a compilation and is
    /// logged.
    pub(super) fn store(&self, key: &Key, component: &Component, in_use: &InUse) {
        let written = component.serialize().map_err(io::Error::other).and_then(|code| self.write(key, &code));
        if let Err(error) = written {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot cache a compiled transformer: the next start compiles it again");
        }
        if Instant::now() >= self.started {
            self.remove_unused(in_use, UNUSED_BYTES_MAX);
        }
    }

    /// A file under another name first: nobody ever sees half of one.
    fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let temporary = path.with_extension(format!("{}.{:016x}.tmp", std::process::id(), rand::random::<u64>()));
        let written = create_private(&temporary).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&key.0)?;
            file.write_all(&digest(key, code))?;
            file.write_all(code)?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&temporary, &path));
        if renamed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }

    /// Removes files that are not in use, the longest unused first, until the rest has at most `bytes_max`. What cannot be
    /// listed or removed stays.
    fn remove_unused(&self, in_use: &InUse, bytes_max: u64) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut unused: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter(|entry| !hash_in(&entry.file_name()).is_some_and(|hash| in_use.contains(&hash)))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        unused.sort();
        let mut bytes: u64 = unused.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in unused {
            if bytes <= bytes_max {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
    }
}

/// The hash of the module that a file is for: its name begins with it.
fn hash_in(name: &std::ffi::OsStr) -> Option<[u8; 32]> {
    hex::decode(name.to_str()?.get(..64)?).ok()?.try_into().ok()
}

/// The code in a file's content, when magic, key and checksum are right.
fn checked<'a>(content: &'a [u8], key: &Key) -> Option<&'a [u8]> {
    let (head, code) = content.split_at_checked(HEAD_LEN)?;
    let (magic, rest) = head.split_at(MAGIC.len());
    let (stored_key, sum) = rest.split_at(KEY_LEN);
    (magic == MAGIC && stored_key == key.0 && sum == digest(key, code)).then_some(code)
}

fn digest(key: &Key, code: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key.0).chain_update(code).finalize().into()
}

/// Native code to a component.
#[expect(
    unsafe_code,
    reason = "`Component::deserialize` trusts its bytes to be what `Component::serialize` made. They are: `Cache::read` took them \
              from an open file that belongs to our own user and that nobody else can write, in a directory of mode 0700 that is \
              ours too, so only this user's processes can have made them, and code that runs as this user needs no cache to do \
              harm. `checked` has compared the key (module, compiler, its settings, processor features) and a SHA-256 over key and \
              code within these very bytes, so a file that was damaged, cut or put under another name does not come this far. \
              wasmtime itself compares its version and settings once more."
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: see the reason above.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(unix)]
mod os {
    use std::fs::{DirBuilder, File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
    use std::path::Path;

    pub(super) fn owner(metadata: &Metadata) -> Option<u32> {
        Some(metadata.uid())
    }

    pub(super) fn writable_by_others(metadata: &Metadata) -> bool {
        metadata.mode() & 0o022 != 0
    }

    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Makes the directory or checks the one there, and says who we are.
    pub(super) fn prepare(dir: &Path) -> io::Result<u32> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = std::fs::symlink_metadata(dir)?;
        if !metadata.is_dir() || metadata.mode() & 0o077 != 0 {
            return Err(io::Error::other("others have access to the directory: give it mode 0700"));
        }
        // A file that we make is ours: so we learn who we are, and that we can write.
        let probe = dir.join(format!("probe.{}.{:016x}.tmp", std::process::id(), rand::random::<u64>()));
        let us = create_private(&probe)?.metadata()?.uid();
        std::fs::remove_file(&probe)?;
        if metadata.uid() != us {
            return Err(io::Error::other("the directory belongs to another user"));
        }
        Ok(us)
    }
}

#[cfg(not(unix))]
mod os {
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::Path;

    pub(super) fn owner(_metadata: &Metadata) -> Option<u32> {
        None
    }

    pub(super) fn writable_by_others(_metadata: &Metadata) -> bool {
        true
    }

    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        File::create_new(path)
    }

    pub(super) fn prepare(_dir: &Path) -> io::Result<u32> {
        Err(io::Error::other("this system does not say who may write to a directory"))
    }
}

use os::{create_private, owner, prepare, writable_by_others};

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fixture() -> (tempfile::TempDir, Cache, Engine, Key, Component) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = Cache::open(&dir.path().join("modules")).unwrap();
        let component = Component::new(&engine, wat::parse_str("(component)").unwrap()).unwrap();
        (dir, cache, engine.clone(), Key::new(&[7; 32], &engine), component)
    }

    #[test]
    fn what_was_stored_is_found_under_its_key_only() {
        let (_dir, cache, engine, key, component) = fixture();
        assert!(cache.load(&engine, &key).is_none());
        cache.store(&key, &component, &InUse::new());
        assert!(cache.load(&engine, &key).is_some());
        let other = Key::new(&[8; 32], &engine);
        fs::rename(cache.path(&key), cache.path(&other)).unwrap();
        assert!(cache.load(&engine, &other).is_none());
    }

    #[test]
    fn a_damaged_or_cut_file_is_not_used() {
        let (_dir, cache, engine, key, component) = fixture();
        cache.store(&key, &component, &InUse::new());
        let whole = fs::read(cache.path(&key)).unwrap();
        for content in [&whole[..whole.len() - 1], &whole[..20], b"", &[&whole[..], b"x"].concat()] {
            fs::write(cache.path(&key), content).unwrap();
            assert!(cache.load(&engine, &key).is_none());
        }
        fs::write(cache.path(&key), &whole).unwrap();
        assert!(cache.load(&engine, &key).is_some());
    }

    #[test]
    fn a_file_or_directory_that_others_can_write_is_not_used() {
        let (dir, cache, engine, key, component) = fixture();
        cache.store(&key, &component, &InUse::new());
        fs::set_permissions(cache.path(&key), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(cache.load(&engine, &key).is_none());
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&open).is_none());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("modules"), &link).unwrap();
        assert!(Cache::open(&link).is_none());
    }

    #[test]
    fn the_longest_unused_files_go_and_those_in_use_stay() {
        let (_dir, cache, engine, key, component) = fixture();
        cache.store(&key, &component, &InUse::new());
        let size = fs::metadata(cache.path(&key)).unwrap().len();
        let start = SystemTime::now() - Duration::from_secs(1_000);
        for number in 10_u8..30 {
            let path = cache.path(&Key::new(&[number; 32], &engine));
            fs::copy(cache.path(&key), &path).unwrap();
            let used = start + Duration::from_secs(number.into());
            fs::File::open(path).unwrap().set_modified(used).unwrap();
        }
        // The oldest of all is read, and the next is in use.
        cache.read(&cache.path(&Key::new(&[10; 32], &engine))).unwrap();
        let in_use = InUse::from([[11; 32]]);
        cache.remove_unused(&in_use, 5 * size);
        let stays = |number: u8| cache.path(&Key::new(&[number; 32], &engine)).is_file();
        let left: Vec<u8> = (0..30).filter(|number| stays(*number)).collect();
        assert_eq!(left, [7, 10, 11, 27, 28, 29]);
        cache.remove_unused(&in_use, 0);
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_removed_while_the_process_starts() {
        let (_dir, cache, _, key, component) = fixture();
        let large = fs::File::create(cache.dir.join("large.bin")).unwrap();
        large.set_len(2 * UNUSED_BYTES_MAX).unwrap();
        cache.store(&key, &component, &InUse::new());
        assert!(cache.dir.join("large.bin").is_file());
        let later = Cache { started: Instant::now(), ..cache };
        later.store(&key, &component, &InUse::from([[7; 32]]));
        assert!(!later.dir.join("large.bin").exists() && later.path(&key).is_file());
    }
}
