//! Says when the files of a crate changed, or of one that it depends on by path.
//!
//! Events are only a hint to look; what counts is whether a file has another stamp than at
//! the last look. Every folder is watched by itself, so what cargo writes into `target`
//! wakes nobody. Where there are no events, it looks each second.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::authoring::sources::Sources;

/// Events that follow each other faster than this belong to one change.
const QUIET: Duration = Duration::from_millis(15);
/// A change that never becomes quiet is looked at after this.
const QUIET_MOST: Duration = Duration::from_millis(200);
/// How often the files are looked at without any event.
const LOOK: Duration = Duration::from_secs(5);
/// The same, where there are no events.
const LOOK_UNWATCHED: Duration = Duration::from_secs(1);
/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 5000;
/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// A file's size, inode and time of change, in nanoseconds.
pub(super) type Stamp = (u64, u64, i128);

#[derive(Debug, Default, PartialEq, Eq)]
struct Picture {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Stamp>,
}

/// See the module.
pub(super) struct Source {
    folder: PathBuf,
    /// Files that count wherever they are.
    besides: Vec<PathBuf>,
    /// What the crate is built from beside its own files.
    built_from: Sources,
    wake: Arc<Notify>,
    /// `None`: there are no events.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    seen: Picture,
}

impl Source {
    /// Watches the crate in `folder`, and these files.
    pub(super) fn new(folder: PathBuf, besides: Vec<PathBuf>) -> Self {
        let wake = Arc::<Notify>::default();
        let waking = Arc::clone(&wake);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Opening and reading change nothing, and cargo does both.
            let is_change =
                |event: &Event| event.need_rescan() || !matches!(event.kind, EventKind::Access(_));
            if event.as_ref().map_or(true, is_change) {
                waking.notify_one();
            }
        });
        let mut source = Self {
            folder,
            besides,
            built_from: Sources::default(),
            wake,
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            seen: Picture::default(),
        };
        source.look();
        source
    }

    /// Watches these as well, and none that were given before. What changed until now has
    /// been told.
    pub(super) fn follow(&mut self, built_from: Sources) {
        self.built_from = built_from;
        self.look();
    }

    /// The manifests that say what the crate is built from, as they were at the last look.
    pub(super) fn manifests(&self) -> BTreeMap<PathBuf, Stamp> {
        let files = self.seen.files.iter();
        let manifests = files.filter(|(path, _)| path.ends_with("Cargo.toml"));
        manifests
            .map(|(path, stamp)| (path.clone(), *stamp))
            .collect()
    }

    /// Waits until a file changed since the last time that this returned.
    ///
    /// Cancel safe: a change that was not told yet is told the next time.
    pub(super) async fn changed(&mut self) {
        loop {
            let every = match self.watcher {
                Some(_) => LOOK,
                None => LOOK_UNWATCHED,
            };
            if timeout(every, self.wake.notified()).await.is_ok() {
                self.quiet().await;
            }
            if self.look() {
                return;
            }
        }
    }

    async fn quiet(&self) {
        let most = Instant::now() + QUIET_MOST;
        loop {
            let until = (Instant::now() + QUIET).min(most);
            let woken = timeout_at(until, self.wake.notified()).await.is_ok();
            if !woken || Instant::now() >= most {
                return;
            }
        }
    }

    /// Whether a file is another than at the last look.
    fn look(&mut self) -> bool {
        let mut now = self.picture();
        if self.watch(&now.folders) {
            // What came into a new folder before it was watched.
            now = self.picture();
        }
        let is_other = now.files != self.seen.files;
        self.seen = now;
        is_other
    }

    fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        picture.add(&self.folder, 0);
        for folder in &self.built_from.folders {
            picture.add(folder, 0);
        }
        for file in self.besides.iter().chain(&self.built_from.manifests) {
            if let Some(stamp) = stamp(file) {
                picture.files.insert(file.clone(), stamp);
            }
            picture.folders.extend(file.parent().map(Path::to_owned));
        }
        picture
    }

    /// Watches these folders and no others. Tells whether one is new.
    fn watch(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = self.watcher.as_mut() else {
            return false;
        };
        for gone in self.watched.difference(folders) {
            // It fails where the folder is gone, and the watch with it.
            let _ = watcher.unwatch(gone);
        }
        let mut is_new = false;
        for new in folders.difference(&self.watched) {
            is_new = true;
            if watcher.watch(new, RecursiveMode::NonRecursive).is_err() && new.is_dir() {
                self.watcher = None;
                self.watched.clear();
                return false;
            }
        }
        self.watched.clone_from(folders);
        is_new
    }
}

impl Picture {
    fn add(&mut self, folder: &Path, depth: usize) {
        // One crate may lie within another.
        if self.folders.contains(folder) {
            return;
        }
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        self.folders.insert(folder.to_owned());
        for entry in entries.filter_map(Result::ok) {
            if self.folders.len() + self.files.len() >= ENTRIES_MAX {
                return;
            }
            let name = entry.file_name();
            let path = entry.path();
            let is_folder = path.is_dir();
            if is_beside_the_point(&name.to_string_lossy(), is_folder) {
                continue;
            }
            if is_folder {
                if depth < DEPTH_MAX {
                    self.add(&path, depth + 1);
                }
            } else if let Some(stamp) = stamp(&path) {
                self.files.insert(path, stamp);
            }
        }
    }
}

/// What is made and not written: by cargo, by `plugin build`, by editors.
fn is_beside_the_point(name: &str, is_folder: bool) -> bool {
    if is_folder {
        return name.starts_with('.') && name != ".cargo"
            || ["target", "node_modules"].contains(&name);
    }
    name.starts_with('.')
        || name.starts_with('#')
        || name.ends_with('~')
        || name.ends_with(".wasm")
        || name == "Cargo.lock"
        // Vim tries with this one whether it may write.
        || name == "4913"
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let nanos = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Some((metadata.len(), metadata.ino(), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Crate {
        folder: tempfile::TempDir,
        source: Source,
    }

    impl Crate {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().canonicalize().unwrap();
            fs::create_dir(path.join("src")).unwrap();
            fs::create_dir(path.join("target")).unwrap();
            fs::write(path.join("src/lib.rs"), "1").unwrap();
            let source = Source::new(path, Vec::new());
            Self { folder, source }
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.folder.path().join(file), text).unwrap();
        }

        async fn changed(&mut self) {
            let changed = timeout(Duration::from_secs(20), self.source.changed()).await;
            changed.expect("no change was seen");
        }
    }

    #[tokio::test]
    async fn a_change_is_told_however_it_was_made() {
        let mut made = Crate::new();
        made.write("src/lib.rs", "22");
        made.changed().await;
        made.write("src/.lib.rs.tmp", "333");
        let src = made.folder.path().join("src");
        fs::rename(src.join(".lib.rs.tmp"), src.join("lib.rs")).unwrap();
        made.changed().await;
        fs::remove_file(src.join("lib.rs")).unwrap();
        made.changed().await;
    }

    #[tokio::test]
    async fn a_file_in_a_new_folder_is_told_and_its_next_change_too() {
        let mut made = Crate::new();
        fs::create_dir(made.folder.path().join("src/rules")).unwrap();
        made.write("src/rules/mod.rs", "1");
        made.changed().await;
        made.write("src/rules/mod.rs", "22");
        made.changed().await;
    }

    #[tokio::test]
    async fn without_events_it_looks_all_the_same() {
        let mut made = Crate::new();
        made.source.watcher = None;
        made.write("src/lib.rs", "22");
        made.changed().await;
    }

    #[tokio::test]
    async fn a_file_elsewhere_counts_if_it_was_named() {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().canonicalize().unwrap().join("dev.yaml");
        let mut made = Crate::new();
        made.source = Source::new(made.source.folder.clone(), vec![file.clone()]);
        fs::write(&file, "settings: {}").unwrap();
        made.changed().await;
    }

    #[tokio::test]
    async fn a_change_of_a_crate_that_it_is_built_from_is_told_and_not_of_what_is_made_there() {
        let other = tempfile::tempdir().unwrap();
        let folder = other.path().canonicalize().unwrap();
        for name in ["src", "target"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        fs::write(folder.join("Cargo.toml"), "[package]").unwrap();
        let mut made = Crate::new();
        let within = made.source.folder.join("src");
        made.source.follow(Sources {
            // The second lies within the crate itself.
            folders: [folder.clone(), within].into(),
            ..Sources::default()
        });
        let manifests = made.source.manifests();
        assert!(manifests.keys().eq([&folder.join("Cargo.toml")]));
        fs::write(folder.join("target/made"), "made").unwrap();
        assert!(!made.source.look());
        fs::write(folder.join("src/lib.rs"), "1").unwrap();
        made.changed().await;
        made.write("src/lib.rs", "22");
        made.changed().await;
        fs::write(folder.join("Cargo.toml"), "[package] # other").unwrap();
        made.changed().await;
        assert_ne!(made.source.manifests(), manifests);
        made.source.follow(Sources::default());
        fs::write(folder.join("src/lib.rs"), "22").unwrap();
        assert!(!made.source.look());
    }

    #[test]
    fn what_is_made_and_not_written_changes_nothing() {
        let mut made = Crate::new();
        for file in [
            "target/a",
            "Cargo.lock",
            "mine.wasm",
            "src/lib.rs~",
            "src/.lib.rs.swp",
            "src/#lib.rs#",
            "src/4913",
        ] {
            made.write(file, "made");
        }
        assert!(!made.source.look());
        made.write("src/lib.rs", "changed");
        assert!(made.source.look());
        assert!(!made.source.look());
    }
}
