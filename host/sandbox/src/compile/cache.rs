//! Compiled plugins on disk, by hash.
//!
//! What is loaded from here is run as machine code, so the folder must be ours and
//! closed to everyone else, and every file is written whole under another name
//! first. An entry that does not add up is as good as none.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Artefact, Code, Facts, hex};

/// Entries beyond this are removed, the longest unused first.
const ENTRIES_MAX: usize = 512;

/// The extension of what configures a plugin; those of an artefact are `json` and `cwasm`.
const SETUP: &str = "setup";

/// A folder that only we can write.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// Why a folder cannot hold compiled plugins.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("the cache folder {0} cannot be used: {1}")]
    Unusable(PathBuf, std::io::Error),
    #[error(
        "the cache folder {0} can be written by others (mode {1:o}, owner {2}); compiled plugins are run as \
         machine code, so make it yours alone: chmod 700"
    )]
    OpenToOthers(PathBuf, u32, u32),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    facts: Facts,
    code_sha256: String,
}

impl Cache {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, CacheError> {
        let unusable = |error| CacheError::Unusable(folder.clone(), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(unusable)?;
        let meta = fs::metadata(&folder).map_err(unusable)?;
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() != us || meta.mode() & 0o022 != 0 {
            return Err(CacheError::OpenToOthers(
                folder,
                meta.mode() & 0o7777,
                meta.uid(),
            ));
        }
        Ok(Self { folder })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Artefact> {
        let entry: Entry = serde_json::from_slice(&fs::read(self.path(key, "json")).ok()?).ok()?;
        let path = self.path(key, "cwasm");
        let code = read_used(&path)?;
        (hex(&Sha256::digest(&code)) == entry.code_sha256).then_some(Artefact {
            facts: entry.facts,
            code: Code::File(path),
        })
    }

    pub(crate) fn put(&self, key: &str, artefact: &Artefact) -> std::io::Result<Artefact> {
        let Code::Bytes(code) = &artefact.code else {
            return Ok(artefact.clone());
        };
        self.make_room();
        let entry = Entry {
            facts: artefact.facts.clone(),
            code_sha256: hex(&Sha256::digest(code)),
        };
        let path = self.path(key, "cwasm");
        write_whole(&path, code)?;
        write_whole(&self.path(key, "json"), &serde_json::to_vec(&entry)?)?;
        Ok(Artefact {
            facts: artefact.facts.clone(),
            code: Code::File(path),
        })
    }

    /// What configures a plugin, as [`Cache::put_setup`] kept it.
    pub(crate) fn setup(&self, key: &str) -> Option<Bytes> {
        let file = Bytes::from(read_used(&self.path(key, SETUP))?);
        let (sum, code) = file.split_first_chunk::<32>()?;
        (setup_sum(key, code) == *sum).then(|| file.slice(sum.len()..))
    }

    pub(crate) fn put_setup(&self, key: &str, code: &[u8]) -> std::io::Result<()> {
        self.make_room();
        let file = [&setup_sum(key, code), code].concat();
        write_whole(&self.path(key, SETUP), &file)
    }

    fn path(&self, key: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{key}.{extension}"))
    }

    /// A file that is in use stays mapped after its name is gone.
    fn make_room(&self) {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut entries: Vec<_> = files
            .filter_map(Result::ok)
            .filter(|file| {
                let path = file.path();
                path.extension().is_some_and(|e| e == "cwasm" || e == SETUP)
            })
            .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
            .collect();
        if entries.len() < ENTRIES_MAX {
            return;
        }
        entries.sort();
        for (_, path) in &entries[..entries.len() - ENTRIES_MAX / 2] {
            let _ = fs::remove_file(path.with_extension("json"));
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads an entry, and notes that it was used: the oldest are removed first.
fn read_used(path: &Path) -> Option<Vec<u8>> {
    let mut file = fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    // On a file system that is read-only it goes by the time of writing.
    let _ = file.set_modified(SystemTime::now());
    Some(bytes)
}

/// Of one under this key: under another it does not add up.
fn setup_sum(key: &str, code: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.as_bytes());
    hash.update(code);
    hash.finalize().into()
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Of this write alone: two loads may make the same entry at once, and what has
    // been renamed is mapped as code.
    static NTH: AtomicU64 = AtomicU64::new(0);
    let nth = NTH.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{nth}.part", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()
    })();
    written
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let key = |nth: usize| format!("{nth:03}");
        for nth in 0..ENTRIES_MAX {
            cache.put_setup(&key(nth), b"code").unwrap();
        }
        assert!(cache.setup(&key(0)).is_some());
        cache.put_setup("one more", b"code").unwrap();
        assert_eq!(cache.setup(&key(0)).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.setup(&key(1)), None);
        assert!(cache.setup("one more").is_some());
    }
}
