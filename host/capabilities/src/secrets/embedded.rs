//! Reads secrets from environment variables and files.
//!
//! A file is read again when its time, length or inode changed, so a rotated secret
//! (also by a symlink swap) is found without a reload.

use std::{collections::BTreeMap, fs::Metadata, io::Read, path::Path, time::SystemTime};

use parking_lot::Mutex;
use tollgate_config::SecretSource;

use super::{Secret, SecretError, SecretStore};

/// The longest secret, in bytes; a longer file counts as unreadable.
const LENGTH_MAX: u64 = 64 * 1024;

/// The secrets of one generation's configuration.
#[derive(Debug, Default)]
pub struct EmbeddedSecrets {
    by_name: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    source: SecretSource,
    last_read: Mutex<Option<(Stamp, Secret)>>,
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl EmbeddedSecrets {
    /// Nothing is read until it is asked for.
    #[must_use]
    pub fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        let by_name = sources
            .into_iter()
            .map(|(name, source)| {
                (
                    name,
                    Entry {
                        source,
                        last_read: Mutex::new(None),
                    },
                )
            })
            .collect();
        Self { by_name }
    }
}

impl SecretStore for EmbeddedSecrets {
    fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let entry = self.by_name.get(name).ok_or(SecretError::Denied)?;
        match &entry.source {
            SecretSource::Env(variable) => {
                let value = std::env::var_os(variable).ok_or(SecretError::Unavailable)?;
                Ok(Secret::new(value.as_encoded_bytes()))
            }
            SecretSource::File(path) => entry.read_file(path).ok_or(SecretError::Unavailable),
        }
    }
}

impl Entry {
    fn read_file(&self, path: &Path) -> Option<Secret> {
        let mut last_read = self.last_read.lock();
        let metadata = std::fs::metadata(path).ok()?;
        if !metadata.is_file() || metadata.len() > LENGTH_MAX {
            return None;
        }
        let stamp = Stamp::of(&metadata);
        if let Some((known, secret)) = &*last_read
            && *known == stamp
        {
            return Some(secret.clone());
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .ok()?
            .take(LENGTH_MAX + 1)
            .read_to_end(&mut bytes)
            .ok()?;
        if bytes.len() as u64 > LENGTH_MAX {
            return None;
        }
        let secret = Secret::new(without_newline(&bytes));
        *last_read = Some((stamp, secret.clone()));
        Some(secret)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = ((0, 0), 0);
        Self {
            modified: metadata.modified().ok(),
            changed,
            length: metadata.len(),
            inode,
        }
    }
}

/// Without the one newline that editors put at the end of a file.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn of_file(path: PathBuf) -> EmbeddedSecrets {
        EmbeddedSecrets::new([("key".to_owned(), SecretSource::File(path))].into())
    }

    #[test]
    fn a_file_gives_its_bytes_without_the_newline_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, expected) in [
            ("abc\n", "abc"),
            ("abc\r\n", "abc"),
            ("abc", "abc"),
            ("a\nb\n\n", "a\nb\n"),
            ("", ""),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(
                of_file(path.clone()).get("key").unwrap().expose(),
                expected.as_bytes()
            );
        }
    }

    #[test]
    fn a_rotated_file_is_read_again_also_behind_a_symlink() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, link) = (
            folder.path().join("1"),
            folder.path().join("2"),
            folder.path().join("key"),
        );
        std::fs::write(&one, "old").unwrap();
        std::fs::write(&two, "new").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let secrets = of_file(link.clone());
        assert_eq!(secrets.get("key").unwrap().expose(), b"old");
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert_eq!(secrets.get("key").unwrap().expose(), b"new");
        std::fs::write(&two, "newer").unwrap();
        assert_eq!(secrets.get("key").unwrap().expose(), b"newer");
    }

    #[test]
    fn what_cannot_be_read_is_unavailable_and_what_is_not_named_is_denied() {
        let folder = tempfile::tempdir().unwrap();
        let big = folder.path().join("big");
        std::fs::write(&big, vec![b'x'; 64 * 1024 + 1]).unwrap();
        for path in [folder.path().join("none"), folder.path().to_owned(), big] {
            let secrets = of_file(path);
            assert_eq!(secrets.get("key").unwrap_err(), SecretError::Unavailable);
            assert_eq!(secrets.get("other").unwrap_err(), SecretError::Denied);
        }
        let sources = [(
            "key".to_owned(),
            SecretSource::Env("TOLLGATE_TEST_UNSET".into()),
        )];
        let error = EmbeddedSecrets::new(sources.into()).get("key").unwrap_err();
        assert_eq!(error, SecretError::Unavailable);
    }

    #[test]
    fn an_environment_variable_is_read_as_it_is() {
        let sources = [("path".to_owned(), SecretSource::Env("PATH".into()))];
        let secret = EmbeddedSecrets::new(sources.into()).get("path").unwrap();
        assert_eq!(secret.expose(), std::env::var("PATH").unwrap().as_bytes());
    }

    #[test]
    fn debug_never_shows_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "canary").unwrap();
        let secrets = of_file(path);
        let secret = secrets.get("key").unwrap();
        assert!(!format!("{secret:?} {secrets:?}").contains("canary"));
    }
}
