//! Who watches, and for what.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use super::{Filter, Hidden, Journal, Line, Trace};

/// At once.
const WATCHERS_MAX: usize = 8;
/// Traces that wait for one watcher to read them.
const WAITING_MAX: usize = 32;
/// Exchanges that are written down at once.
const UNDER_WAY_MAX: usize = 128;
/// Exchanges that are begun to be written down, in a second.
const PACE: u32 = 200;
/// A line that is longer loses its steps.
const LINE_MAX: usize = 256 << 10;

/// See the module.
#[derive(Debug, Default)]
pub struct Watchers {
    /// The one thing that an exchange looks at while nobody watches.
    count: AtomicUsize,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    under_way: AtomicUsize,
    pace: Mutex<Pace>,
    lost_slow: AtomicU64,
    lost_skipped: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    lines: mpsc::Sender<Bytes>,
    slow: AtomicU64,
    skipped: AtomicU64,
}

/// As many watch as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WATCHERS_MAX} watch already, which is all that may at once")]
pub struct Busy;

impl Watchers {
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Watches until it is dropped.
    ///
    /// # Errors
    /// There are too many already.
    pub fn watch(self: &Arc<Self>, filter: Filter) -> Result<Watch, Busy> {
        let (lines, received) = mpsc::channel(WAITING_MAX);
        let watcher = Arc::new(Watcher {
            filter,
            lines,
            slow: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let mut watchers = self.watchers.lock();
        if watchers.len() >= WATCHERS_MAX {
            return Err(Busy);
        }
        watchers.push(Arc::clone(&watcher));
        self.count.store(watchers.len(), Ordering::Relaxed);
        Ok(Watch {
            watchers: Arc::clone(self),
            watcher,
            received,
        })
    }

    /// How many watch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What watchers lost so far: for being slow, and since there was too much at once.
    pub(crate) fn lost(&self) -> [(&'static str, u64); 2] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("slow", read(&self.lost_slow)),
            ("skipped", read(&self.lost_skipped)),
        ]
    }

    /// A journal, if somebody may want to see an exchange of this id; `hidden` is what
    /// nobody may see of it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        id: &str,
        hidden: impl FnOnce() -> Hidden,
    ) -> Option<Arc<Journal>> {
        if self.is_empty() {
            return None;
        }
        let may_want = |watcher: &&Arc<Watcher>| watcher.filter.may_want_id(id);
        let watchers = self.watchers.lock();
        watchers.iter().find(may_want)?;
        let Some(under_way) = UnderWay::of(self).filter(|_| self.pace.lock().admits()) else {
            for watcher in watchers.iter().filter(may_want) {
                watcher.skipped.fetch_add(1, Ordering::Relaxed);
                self.lost_skipped.fetch_add(1, Ordering::Relaxed);
            }
            return None;
        };
        drop(watchers);
        Some(Journal::new(Arc::clone(self), hidden(), under_way))
    }

    pub(super) fn may_want_route(&self, route: Option<&str>) -> bool {
        let watchers = self.watchers.lock();
        watchers
            .iter()
            .any(|watcher| watcher.filter.may_want_route(route))
    }

    /// Gives an exchange to those who want it; never waits for one of them.
    pub(super) fn publish(&self, trace: Trace, hidden: Hidden) {
        let wanted: Vec<_> = {
            let watchers = self.watchers.lock();
            let wanting = watchers
                .iter()
                .filter(|watcher| watcher.filter.wants(&trace));
            wanting.cloned().collect()
        };
        if wanted.is_empty() {
            return;
        }
        let line = line(trace, hidden);
        for watcher in wanted {
            if let Err(mpsc::error::TrySendError::Full(_)) = watcher.lines.try_send(line.clone()) {
                watcher.slow.fetch_add(1, Ordering::Relaxed);
                self.lost_slow.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn line(mut trace: Trace, hidden: Hidden) -> Bytes {
    let line = masked(trace.clone(), hidden.clone());
    if line.len() <= LINE_MAX {
        return line;
    }
    trace.left_out += trace.steps.len() as u64;
    trace.steps.clear();
    masked(trace, hidden)
}

fn masked(trace: Trace, hidden: Hidden) -> Bytes {
    let mut value = serde_json::to_value(Line::Trace(Box::new(trace))).unwrap_or_default();
    hidden.hide_in(&mut value);
    let mut line = value.to_string();
    line.push('\n');
    line.into()
}

/// Exchanges that are written down at present.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Watchers>);

impl UnderWay {
    fn of(watchers: &Arc<Watchers>) -> Option<Self> {
        let one = Self(Arc::clone(watchers));
        let before = watchers.under_way.fetch_add(1, Ordering::Relaxed);
        (before < UNDER_WAY_MAX).then_some(one)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Pace {
    second: Option<Instant>,
    begun: u32,
}

impl Pace {
    fn admits(&mut self) -> bool {
        let now = Instant::now();
        let is_over = |second: Instant| now.duration_since(second) >= Duration::from_secs(1);
        if self.second.is_none_or(is_over) {
            *self = Self {
                second: Some(now),
                begun: 0,
            };
        }
        self.begun += 1;
        self.begun <= PACE
    }
}

/// What one watcher sees.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<Watcher>,
    received: mpsc::Receiver<Bytes>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line of JSON with an exchange.
    Trace(Bytes),
    /// Exchanges that are not shown, since this was last told.
    Lost {
        /// See [`Line::Lost`].
        slow: u64,
        /// See [`Line::Lost`].
        skipped: u64,
    },
}

impl Watch {
    /// Waits for an exchange. What was lost is told before it.
    pub async fn next(&mut self) -> Option<Next> {
        if let Some(lost) = self.lost() {
            return Some(lost);
        }
        self.received.recv().await.map(Next::Trace)
    }

    /// What was lost since this was asked last.
    pub fn lost(&self) -> Option<Next> {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let (slow, skipped) = (take(&self.watcher.slow), take(&self.watcher.skipped));
        (slow + skipped > 0).then_some(Next::Lost { slow, skipped })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.watchers.watchers.lock();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.watchers.count.store(watchers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(watchers: &Arc<Watchers>) -> Watch {
        watchers.watch(Filter::default()).unwrap()
    }

    #[tokio::test]
    async fn nobody_watches_and_nothing_is_written() {
        let watchers = Watchers::new();
        assert!(watchers.begin("a", || panic!("it was looked at")).is_none());
        let watch = watched(&watchers);
        assert!(watchers.begin("a", Hidden::default).is_some());
        drop(watch);
        assert!(watchers.begin("a", Hidden::default).is_none());
        assert_eq!(watchers.under_way.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_slow_watcher_loses_traces_and_is_told_how_many_while_others_lose_none() {
        let watchers = Watchers::new();
        let (mut slow, mut quick) = (watched(&watchers), watched(&watchers));
        for _ in 0..WAITING_MAX + 5 {
            watchers.publish(Trace::default(), Hidden::default());
            assert!(matches!(quick.next().await, Some(Next::Trace(_))));
        }
        assert_eq!(
            slow.next().await,
            Some(Next::Lost {
                slow: 5,
                skipped: 0
            })
        );
        for _ in 0..WAITING_MAX {
            assert!(matches!(slow.next().await, Some(Next::Trace(_))));
        }
        assert_eq!((slow.lost(), quick.lost()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_exchanges_are_written_down_at_once_and_in_a_second() {
        let watchers = Watchers::new();
        let watch = watched(&watchers);
        let held: Vec<_> = (0..UNDER_WAY_MAX + 10)
            .filter_map(|_| watchers.begin("a", Hidden::default))
            .collect();
        assert_eq!(held.len(), UNDER_WAY_MAX);
        assert_eq!(
            watch.lost(),
            Some(Next::Lost {
                slow: 0,
                skipped: 10
            })
        );
        drop(held);
        let begun = (0..1000)
            .filter(|_| watchers.begin("a", Hidden::default).is_some())
            .count();
        assert_eq!(begun, PACE as usize - UNDER_WAY_MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(watchers.begin("a", Hidden::default).is_some());
    }

    #[test]
    fn only_so_many_may_watch() {
        let watchers = Watchers::new();
        let mut watching: Vec<_> = (0..WATCHERS_MAX).map(|_| watched(&watchers)).collect();
        assert_eq!(watchers.watch(Filter::default()).unwrap_err(), Busy);
        watching.pop();
        assert!(watchers.watch(Filter::default()).is_ok());
    }

    #[test]
    fn a_line_that_is_too_long_is_shown_without_its_steps() {
        let step = super::super::Step {
            policy: "p".repeat(1000),
            ..Default::default()
        };
        let trace = Trace {
            steps: vec![step; 1000],
            ..Trace::default()
        };
        let line = line(trace, Hidden::default());
        assert!(line.len() < LINE_MAX);
        let Ok(Line::Trace(trace)) = serde_json::from_slice(&line) else {
            panic!("no trace")
        };
        assert_eq!((trace.steps.len(), trace.left_out), (0, 1000));
    }

    #[test]
    fn an_id_that_nobody_asked_for_is_not_written_down() {
        let watchers = Watchers::new();
        let filter = Filter {
            id: Some("a".to_owned()),
            ..Filter::default()
        };
        let watch = watchers.watch(filter).unwrap();
        assert!(watchers.begin("b", Hidden::default).is_none());
        assert!(watchers.begin("a", Hidden::default).is_some());
        assert_eq!(watch.lost(), None);
    }
}
