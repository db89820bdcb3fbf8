//! What a set of files looked like at one moment: their stamps and their content's digest.
//!
//! Two pictures tell whether anything changed (by content, not by time or event),
//! and whether a change has come to rest. Reading is bounded and refuses anything
//! that is not a regular file. Knows nothing of what the files mean.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a file's content.
pub(crate) type Digest = [u8; 32];

/// How long a file that is written in place has to be left alone.
pub(crate) const WRITTEN_REST: Duration = Duration::from_millis(400);

/// A stamp younger than this does not prove that the content is the same: a file
/// system's clock ticks every few milliseconds, and two writes may share a tick.
const STAMP_TRUST: Duration = Duration::from_millis(200);

/// Most bytes read of a file that has no limit of its own.
pub(crate) const FILE_MAX: u64 = 16 << 20;

/// What the file system says of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Time since the last write, `None` where the file's clock runs ahead of ours.
    fn age(&self, ns: i128) -> Option<Duration> {
        let age = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_nanos();
        let age = i128::try_from(age).ok()? - ns;
        u64::try_from(age).ok().map(Duration::from_nanos)
    }

    fn is_trusted(&self) -> bool {
        let latest = self.modified_ns.max(self.changed_ns);
        self.age(latest).is_some_and(|age| age > STAMP_TRUST)
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Missing,
    /// Why it cannot be read, such as `permission denied` or `is a directory`.
    Unreadable(String),
    /// Longer than it may be; the length, in bytes.
    TooLong(u64),
    Digest(Digest),
}

#[derive(Debug, Clone)]
struct Seen {
    stamp: Option<Stamp>,
    content: Content,
    trusted: bool,
}

impl Seen {
    fn unread(path: &Path, content: Content) -> Self {
        Self {
            stamp: stamp(path),
            content,
            trusted: false,
        }
    }
}

/// Files as they were seen, by path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    files: BTreeMap<PathBuf, Seen>,
}

impl Picture {
    /// Adds the file at `path`, at most `most` bytes of it. What `before` saw under
    /// the same stamp is not read again.
    pub(crate) fn add(&mut self, path: &Path, most: u64, before: Option<&Self>) -> &Content {
        let seen = known(path, before).unwrap_or_else(|| match read(path, most) {
            Ok((stamp, bytes)) => seen(stamp, &bytes),
            Err(content) => Seen::unread(path, content),
        });
        self.put(path, seen)
    }

    /// Adds the file at `path` and returns the bytes whose digest is in the picture.
    pub(crate) fn add_bytes(&mut self, path: &Path, most: u64) -> (&Content, Option<Bytes>) {
        match read(path, most) {
            Ok((stamp, bytes)) => {
                let seen = seen(stamp, &bytes);
                (self.put(path, seen), Some(bytes))
            }
            Err(content) => (self.put(path, Seen::unread(path, content)), None),
        }
    }

    fn put(&mut self, path: &Path, seen: Seen) -> &Content {
        let slot = self.files.entry(path.to_owned()).insert_entry(seen);
        &slot.into_mut().content
    }

    /// Whether `path` has the stamp that `before` saw, so that its content is known.
    pub(crate) fn known_content(path: &Path, before: Option<&Self>) -> Option<Content> {
        known(path, before).map(|seen| seen.content)
    }

    /// Takes in a file of the other. `false`: that has none of this name.
    pub(crate) fn join(&mut self, other: &Self, path: &Path) -> bool {
        let Some(seen) = other.files.get(path) else {
            return false;
        };
        self.files.insert(path.to_owned(), seen.clone());
        true
    }

    /// Whether `path` is in it.
    pub(crate) fn shows(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Whether the same paths have the same content, whatever their stamps.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.files.len() == other.files.len()
            && self
                .files
                .iter()
                .zip(&other.files)
                .all(|((path, seen), (other_path, other))| {
                    path == other_path && seen.content == other.content
                })
    }

    /// Whether the files still have the stamps they had. Reads nothing.
    pub(crate) fn still_holds(&self) -> bool {
        self.files
            .iter()
            .all(|(path, seen)| stamp(path) == seen.stamp)
    }

    /// Whether a file's stamp is too young to prove that its content is the same.
    pub(crate) fn has_doubt(&self) -> bool {
        let read = |seen: &&Seen| matches!(seen.content, Content::Digest(_));
        self.files.values().filter(read).any(|seen| !seen.trusted)
    }

    /// Whether a file that `before` had is gone.
    pub(crate) fn misses_any_of(&self, before: &Self) -> bool {
        self.files.iter().any(|(path, seen)| {
            let had = before
                .files
                .get(path)
                .is_some_and(|former| former.content != Content::Missing);
            seen.content == Content::Missing && had
        })
    }

    /// How long to wait until what changed since `before` has come to rest.
    ///
    /// A file renamed into place is whole. One that was written in place may be
    /// half of what its writer is going to write, and is given [`WRITTEN_REST`].
    pub(crate) fn unrest(&self, before: &Self, renamed: bool) -> Option<Duration> {
        self.files
            .iter()
            .filter_map(|(path, seen)| {
                let former = before.files.get(path);
                if former.is_some_and(|former| former.content == seen.content) {
                    return None;
                }
                let stamp = seen.stamp?;
                let replaced = former.and_then(|former| former.stamp).is_none_or(|former| {
                    (former.device, former.inode) != (stamp.device, stamp.inode)
                });
                if replaced && renamed {
                    return None;
                }
                WRITTEN_REST.checked_sub(stamp.age(stamp.modified_ns)?)
            })
            .max()
            .filter(|rest| !rest.is_zero())
    }
}

fn known(path: &Path, before: Option<&Picture>) -> Option<Seen> {
    let former = before?.files.get(path)?;
    (former.trusted && former.stamp.is_some() && stamp(path) == former.stamp)
        .then(|| former.clone())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then(|| Stamp::of(&metadata))
}

fn seen(stamp: Stamp, bytes: &[u8]) -> Seen {
    Seen {
        trusted: stamp.is_trusted(),
        stamp: Some(stamp),
        content: Content::Digest(Sha256::digest(bytes).into()),
    }
}

/// Reads a regular file; again when it changed meanwhile, a few times.
fn read(path: &Path, most: u64) -> Result<(Stamp, Bytes), Content> {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        let (before, bytes) = read_once(path, most)?;
        if stamp(path) == Some(before) && before.length == bytes.len() as u64 {
            return Ok((before, bytes));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Content::Unreadable(
        "it keeps changing while it is read".into(),
    ))
}

fn read_once(path: &Path, most: u64) -> Result<(Stamp, Bytes), Content> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Content::Missing,
        _ => Content::Unreadable(reason(&error)),
    };
    // A named pipe would block the open, so the kind of file is asked first.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Content::Unreadable("it is a directory".into()));
    }
    if !metadata.is_file() {
        return Err(Content::Unreadable("it is not a regular file".into()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    if stamp.length > most {
        return Err(Content::TooLong(stamp.length));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.length).unwrap_or_default());
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok((stamp, Bytes::from(bytes)))
}

/// An I/O error without the operating system's number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(paths: &[&Path]) -> Picture {
        let mut picture = Picture::default();
        for path in paths {
            picture.add(path, FILE_MAX, None);
        }
        picture
    }

    #[test]
    fn a_touched_file_has_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        let before = picture(&[&file]);
        File::options()
            .append(true)
            .open(&file)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(!before.still_holds());
        assert!(before.same_content(&picture(&[&file])));
    }

    #[test]
    fn a_file_just_written_in_place_is_given_time_and_one_renamed_into_place_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "x").unwrap();
        let before = picture(&[&file]);
        std::fs::write(&file, "y").unwrap();
        assert!(picture(&[&file]).unrest(&before, false).is_some());
        assert!(
            picture(&[&file]).unrest(&before, true).is_some(),
            "the inode is the same"
        );
        std::fs::write(&other, "z").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_eq!(picture(&[&file]).unrest(&before, true), None);
    }

    #[test]
    fn a_file_whose_time_lies_ahead_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        let before = picture(&[&file]);
        std::fs::write(&file, "y").unwrap();
        let ahead = SystemTime::now() + Duration::from_secs(3600);
        File::options()
            .append(true)
            .open(&file)
            .unwrap()
            .set_modified(ahead)
            .unwrap();
        assert_eq!(picture(&[&file]).unrest(&before, false), None);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        let big = folder.path().join("big");
        std::fs::write(&big, "12345").unwrap();
        let mut picture = Picture::default();
        assert_eq!(*picture.add(&dangling, FILE_MAX, None), Content::Missing);
        assert_eq!(
            *picture.add(folder.path(), FILE_MAX, None),
            Content::Unreadable("it is a directory".into())
        );
        assert_eq!(*picture.add(&big, 4, None), Content::TooLong(5));
    }

    #[test]
    fn a_young_stamp_is_not_trusted_to_mean_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        let before = picture(&[&file]);
        assert!(before.has_doubt());
        assert_eq!(Picture::known_content(&file, Some(&before)), None);
    }
}
