//! Says when the files may have changed, whatever way they were changed.
//!
//! Events are only a hint to look: they are folded into one flag, so fifty thousand
//! of them cost what one does. What events cannot tell (an overflow, a network file
//! system, no inotify watches left) the slow look finds. Knows no file's meaning.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use super::interest::Interest;
use crate::telemetry::event::{ControlCounters, Polling};

/// Events that follow each other faster than this belong to one change.
const QUIET: Duration = Duration::from_millis(30);
/// A change that never becomes quiet is looked at after this.
const QUIET_MOST: Duration = Duration::from_millis(500);
/// How often the files are looked at without any event.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// The same, where there are no events.
const LOOK_UNWATCHED: Duration = Duration::from_secs(1);

/// Why to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Something was renamed into place.
    pub(crate) renamed: bool,
    /// Events were lost: trust no stamp.
    pub(crate) lost: bool,
}

#[derive(Debug, Default)]
struct Folded {
    changed: bool,
    hint: Hint,
    /// A watched directory was moved or removed, so its watch is of no use.
    unhinged: bool,
}

#[derive(Debug, Default)]
struct Signal {
    folded: Mutex<Folded>,
    wake: Notify,
    interest: Mutex<Arc<Interest>>,
}

impl Signal {
    fn take(&self, event: notify::Result<Event>) {
        let interest = self.interest.lock().clone();
        let mut folded = self.folded.lock();
        match event {
            Ok(event) if event.need_rescan() => folded.hint.lost = true,
            Ok(event) if !is_change(&event.kind) => return,
            Ok(event) => {
                if !event.paths.iter().any(|path| interest.holds(path)) {
                    return;
                }
                folded.hint.renamed |= arrival(&event).is_some_and(|path| interest.holds(path));
                folded.unhinged |= event.paths.iter().any(|path| interest.is_directory(path));
            }
            Err(_) => folded.hint.lost = true,
        }
        folded.changed = true;
        drop(folded);
        self.wake.notify_one();
    }
}

/// Opening and reading change nothing, and we do both.
fn is_change(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

/// Where something was renamed to.
fn arrival(event: &Event) -> Option<&Path> {
    let EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) = event.kind else {
        return None;
    };
    event.paths.last().map(PathBuf::as_path)
}

/// Watches directories, and looks now and then.
#[derive(Debug)]
pub(crate) struct Watch {
    signal: Arc<Signal>,
    /// `None`: there are no events, only looks.
    watcher: Option<RecommendedWatcher>,
    /// With device and inode, to tell when a directory was made anew.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    next_look: Instant,
    counters: Arc<ControlCounters>,
}

impl Watch {
    pub(crate) fn new(counters: Arc<ControlCounters>) -> Self {
        let signal = Arc::<Signal>::default();
        let handler = Arc::clone(&signal);
        let watcher = notify::recommended_watcher(move |event| handler.take(event));
        Self {
            signal,
            watcher: watcher.map_err(|error| polling(&error, &counters)).ok(),
            watched: BTreeMap::new(),
            next_look: Instant::now() + LOOK,
            counters,
        }
    }

    /// A watch without events, as where the system has none to give.
    #[cfg(test)]
    pub(crate) fn without_events() -> Self {
        Self {
            watcher: None,
            ..Self::new(Arc::default())
        }
    }

    /// Follows these directories from now on, and no others.
    ///
    /// Called after every look, so a directory that was made anew is watched anew.
    pub(crate) fn follow(&mut self, interest: Interest) {
        let wanted: BTreeMap<PathBuf, (u64, u64)> = interest
            .directories()
            .into_iter()
            .filter_map(|path| identity(&path).map(|id| (path, id)))
            .collect();
        *self.signal.interest.lock() = Arc::new(interest);
        let unhinged = std::mem::take(&mut self.signal.folded.lock().unhinged);
        let Some(watcher) = self.watcher.as_mut() else {
            return;
        };
        for (path, id) in &self.watched {
            if unhinged || wanted.get(path) != Some(id) {
                // It fails where the directory is gone, and the watch with it.
                let _ = watcher.unwatch(path);
            }
        }
        for (path, id) in &wanted {
            if !unhinged && self.watched.get(path) == Some(id) {
                continue;
            }
            if let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive)
                && path.is_dir()
            {
                polling(&error, &self.counters);
                self.watcher = None;
                self.watched.clear();
                return;
            }
        }
        self.watched = wanted;
    }

    /// Waits until it is time to look: after an event, once it is quiet again, or
    /// without any.
    ///
    /// Cancel safe: an event that woke it is kept.
    pub(crate) async fn hint(&mut self) -> Hint {
        if timeout_at(self.next_look, self.changed()).await.is_ok() {
            self.quiet().await;
        }
        let every = if self.watcher.is_some() {
            LOOK
        } else {
            LOOK_UNWATCHED
        };
        self.next_look = Instant::now() + every;
        let mut folded = self.signal.folded.lock();
        folded.changed = false;
        std::mem::take(&mut folded.hint)
    }

    async fn changed(&self) {
        while !self.signal.folded.lock().changed {
            self.signal.wake.notified().await;
        }
    }

    async fn quiet(&self) {
        let most = Instant::now() + QUIET_MOST;
        loop {
            let until = Instant::now() + QUIET;
            let woken = timeout_at(until.min(most), self.signal.wake.notified())
                .await
                .is_ok();
            if !woken {
                return;
            }
            // Many events in a tick of the clock would spin.
            sleep_until(Instant::now() + QUIET / 10).await;
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn polling(error: &notify::Error, counters: &ControlCounters) {
    Polling {
        reason: &error.to_string(),
        every: LOOK_UNWATCHED,
    }
    .emit(counters);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        _keep: tempfile::TempDir,
        path: PathBuf,
        watch: Watch,
    }

    impl Fixture {
        fn new(file: &str, prepare: impl FnOnce(&Path)) -> Self {
            let keep = tempfile::tempdir().unwrap();
            let path = keep.path().canonicalize().unwrap();
            prepare(&path);
            let mut fixture = Self {
                _keep: keep,
                path: path.clone(),
                watch: Watch::new(Arc::default()),
            };
            fixture.watch.next_look = Instant::now() + Duration::from_secs(60);
            fixture.follow(file);
            fixture
        }

        fn follow(&mut self, file: &str) {
            let mut interest = Interest::default();
            interest.file(&self.path.join(file));
            self.watch.follow(interest);
        }

        async fn hint(&mut self) -> Hint {
            tokio::time::timeout(Duration::from_secs(20), self.watch.hint())
                .await
                .expect("no event came")
        }
    }

    #[tokio::test]
    async fn a_write_in_place_is_seen() {
        let mut fixture = Fixture::new("a", |path| std::fs::write(path.join("a"), "1").unwrap());
        std::fs::write(fixture.path.join("a"), "2").unwrap();
        assert!(!fixture.hint().await.renamed);
    }

    #[tokio::test]
    async fn a_rename_into_place_is_seen_as_one() {
        let mut fixture = Fixture::new("a", |path| std::fs::write(path.join("a"), "1").unwrap());
        std::fs::write(fixture.path.join(".a.tmp"), "2").unwrap();
        std::fs::rename(fixture.path.join(".a.tmp"), fixture.path.join("a")).unwrap();
        assert!(fixture.hint().await.renamed);
    }

    #[tokio::test]
    async fn a_swap_of_a_kubernetes_volume_is_seen_as_a_rename() {
        let mut fixture = Fixture::new("a", |path| {
            for version in ["..1", "..2"] {
                std::fs::create_dir(path.join(version)).unwrap();
                std::fs::write(path.join(version).join("a"), version).unwrap();
            }
            symlink("..1", path.join("..data")).unwrap();
            symlink("..data/a", path.join("a")).unwrap();
        });
        symlink("..2", fixture.path.join("..data_tmp")).unwrap();
        std::fs::rename(fixture.path.join("..data_tmp"), fixture.path.join("..data")).unwrap();
        assert!(fixture.hint().await.renamed);
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_and_made_anew_is_watched_anew() {
        let mut fixture = Fixture::new("etc/a", |path| {
            std::fs::create_dir(path.join("etc")).unwrap();
            std::fs::write(path.join("etc/a"), "1").unwrap();
        });
        std::fs::remove_dir_all(fixture.path.join("etc")).unwrap();
        fixture.hint().await;
        fixture.follow("etc/a");
        std::fs::create_dir(fixture.path.join("etc")).unwrap();
        fixture.hint().await;
        fixture.follow("etc/a");
        std::fs::write(fixture.path.join("etc/a"), "2").unwrap();
        fixture.hint().await;
    }

    #[tokio::test]
    async fn without_events_it_is_looked_all_the_same() {
        let mut watch = Watch::without_events();
        watch.next_look = Instant::now();
        assert_eq!(watch.hint().await, Hint::default());
    }

    #[tokio::test]
    async fn an_overflow_means_that_no_stamp_is_trusted() {
        let mut fixture = Fixture::new("a", |_| {});
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        fixture.watch.signal.take(Ok(overflow));
        assert!(fixture.hint().await.lost);
    }

    #[tokio::test]
    async fn a_flood_of_events_is_one_hint() {
        let mut fixture = Fixture::new("a", |_| {});
        let event = Event::new(EventKind::Any).add_path(fixture.path.join("a"));
        for _ in 0..50_000 {
            fixture.watch.signal.take(Ok(event.clone()));
        }
        fixture.hint().await;
        assert!(!fixture.watch.signal.folded.lock().changed);
    }

    #[test]
    fn reading_a_file_is_no_change() {
        assert!(!is_change(&EventKind::Access(AccessKind::Open(
            AccessMode::Any
        ))));
        assert!(is_change(&EventKind::Access(AccessKind::Close(
            AccessMode::Write
        ))));
    }
}
