//! Who watches, and for what.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

use super::{Filter, Hidden, Journal, Known, Line, Trace};

/// At once.
const WATCHERS_MAX: usize = 8;
/// Traces that wait for one watcher to read them.
const WAITING_MAX: usize = 32;
/// Exchanges that are written down at once.
const UNDER_WAY_MAX: usize = 128;
/// Exchanges that are written down, in a second, and turn out to be wanted.
const PACE: u32 = 200;
/// Those that are begun to be written down, in a second, whatever they turn out to be.
const BEGUN_MAX: u32 = 1000;
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
pub(super) struct Watcher {
    filter: Filter,
    traces: mpsc::Sender<Arc<Unmasked>>,
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
        let (traces, received) = mpsc::channel(WAITING_MAX);
        let watcher = Arc::new(Watcher {
            filter,
            traces,
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
            masking: None,
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
    /// nobody may see of it. Nothing is written to it until it is [admitted](Self::admit).
    pub(crate) fn begin(
        self: &Arc<Self>,
        id: &str,
        hidden: impl FnOnce() -> Hidden,
    ) -> Option<Arc<Journal>> {
        if self.is_empty() {
            return None;
        }
        let may_want = |watcher: &Arc<Watcher>| watcher.filter.may_want_id(id);
        if !self.watchers.lock().iter().any(may_want) {
            return None;
        }
        Some(Journal::new(Arc::clone(self), hidden()))
    }

    /// A place for an exchange whose route is known, if somebody may want it and there is
    /// one: a filter for another route costs it nothing more.
    pub(super) fn admit(self: &Arc<Self>, known: &Known<'_>) -> Option<Place> {
        let may_want = |watcher: &&Arc<Watcher>| {
            let filter = &watcher.filter;
            filter.may_want_id(known.id) && filter.may_want_route(known.route)
        };
        let watchers = self.watchers.lock();
        watchers.iter().find(may_want)?;
        let place = Place::of(self).filter(|_| self.pace.lock().admits());
        if place.is_none() {
            watchers
                .iter()
                .filter(may_want)
                .for_each(|watcher| self.skip(watcher));
        }
        place
    }

    fn skip(&self, watcher: &Watcher) {
        watcher.skipped.fetch_add(1, Ordering::Relaxed);
        self.lost_skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn any_wants(&self, known: &Known<'_>) -> bool {
        let watchers = self.watchers.lock();
        watchers.iter().any(|watcher| watcher.filter.wants(known))
    }

    /// One that was admitted was not wanted.
    pub(super) fn give_back(&self) {
        self.pace.lock().give_back();
    }

    /// Those who want an exchange that is over, if it may be shown: one that ended before
    /// it had a place takes its turn now.
    pub(super) fn wanting(&self, known: &Known<'_>, has_place: bool) -> Vec<Arc<Watcher>> {
        let watchers = self.watchers.lock();
        let wanting = watchers
            .iter()
            .filter(|watcher| watcher.filter.wants(known));
        let wanting: Vec<_> = wanting.cloned().collect();
        drop(watchers);
        if wanting.is_empty() || has_place || self.pace.lock().admits() {
            return wanting;
        }
        wanting.iter().for_each(|watcher| self.skip(watcher));
        Vec::new()
    }

    /// Gives an exchange to those who want it; never waits for one of them. What is secret
    /// is hidden when one of them takes it, and not by who serves.
    pub(super) fn publish(&self, wanting: &[Arc<Watcher>], trace: Trace, hidden: Hidden) {
        let unmasked = Arc::new(Unmasked {
            line: line(trace),
            hidden,
            masked: OnceLock::new(),
        });
        for watcher in wanting {
            let sent = watcher.traces.try_send(Arc::clone(&unmasked));
            if let Err(mpsc::error::TrySendError::Full(_)) = sent {
                watcher.slow.fetch_add(1, Ordering::Relaxed);
                self.lost_slow.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn line(trace: Trace) -> String {
    let written = |line: &Line| serde_json::to_string(line).unwrap_or_default();
    let mut line = Line::Trace(Box::new(trace));
    let whole = written(&line);
    match &mut line {
        Line::Trace(trace) if whole.len() > LINE_MAX => {
            trace.left_out += trace.steps.len() as u64;
            trace.steps.clear();
            written(&line)
        }
        _ => whole,
    }
}

/// A trace on its way to those who want it.
pub(super) struct Unmasked {
    line: String,
    hidden: Hidden,
    /// Done once for all of them.
    masked: OnceLock<Bytes>,
}

impl std::fmt::Debug for Unmasked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Unmasked").finish_non_exhaustive()
    }
}

impl Unmasked {
    fn masked(&self) -> Bytes {
        let mask = || {
            let mut value: Value = serde_json::from_str(&self.line).unwrap_or_default();
            self.hidden.clone().hide_in(&mut value);
            let mut line = value.to_string();
            line.push('\n');
            line.into()
        };
        self.masked.get_or_init(mask).clone()
    }
}

/// One of those that are written down at present.
#[derive(Debug)]
pub(super) struct Place(Arc<Watchers>);

impl Place {
    fn of(watchers: &Arc<Watchers>) -> Option<Self> {
        let one = Self(Arc::clone(watchers));
        let before = watchers.under_way.fetch_add(1, Ordering::Relaxed);
        (before < UNDER_WAY_MAX).then_some(one)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Pace {
    second: Option<Instant>,
    begun: u32,
    /// Of those, the ones that are wanted as far as is known.
    wanted: u32,
}

impl Pace {
    fn admits(&mut self) -> bool {
        let now = Instant::now();
        let is_over = |second: Instant| now.duration_since(second) >= Duration::from_secs(1);
        if self.second.is_none_or(is_over) {
            *self = Self {
                second: Some(now),
                ..Self::default()
            };
        }
        let admits = self.begun < BEGUN_MAX && self.wanted < PACE;
        if admits {
            self.begun += 1;
            self.wanted += 1;
        }
        admits
    }

    fn give_back(&mut self) {
        self.wanted = self.wanted.saturating_sub(1);
    }
}

/// What one watcher sees.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<Watcher>,
    received: mpsc::Receiver<Arc<Unmasked>>,
    /// The one that is to be shown next.
    masking: Option<JoinHandle<Bytes>>,
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
    /// Waits for an exchange. What was lost is told before it. Dropped half-way, it loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            if let Some(lost) = self.lost() {
                return Some(lost);
            }
            if self.masking.is_none() {
                let unmasked = self.received.recv().await?;
                // Not in the way of those who serve: a trace may be long.
                self.masking = Some(spawn_blocking(move || unmasked.masked()));
            }
            if let Some(masking) = &mut self.masking {
                let masked = masking.await;
                self.masking = None;
                if let Ok(line) = masked {
                    return Some(Next::Trace(line));
                }
            }
        }
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

    const CHAT: Known<'static> = Known {
        id: "a",
        route: Some("chat"),
        model: Some("small"),
        target_model: None,
        caller: Some("ada"),
    };

    fn publish(watchers: &Watchers, trace: Trace, hidden: Hidden) {
        let wanting = watchers.wanting(&CHAT, true);
        watchers.publish(&wanting, trace, hidden);
    }

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
            publish(&watchers, Trace::default(), Hidden::default());
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
            .filter_map(|_| watchers.admit(&CHAT))
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
        assert_eq!(watchers.under_way.load(Ordering::Relaxed), 0);
        let begun = (0..1000).filter(|_| watchers.admit(&CHAT).is_some());
        assert_eq!(begun.count(), PACE as usize - UNDER_WAY_MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(watchers.admit(&CHAT).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_filter_does_not_fit_leaves_the_place_to_what_it_fits() {
        let watchers = Watchers::new();
        let filter = Filter {
            route: Some("chat".to_owned()),
            caller: Some("ada".to_owned()),
            ..Filter::default()
        };
        let watch = watchers.watch(filter).unwrap();
        let rest = Known {
            route: Some("rest"),
            ..CHAT
        };
        for _ in 0..10 * PACE {
            assert!(watchers.admit(&rest).is_none(), "of another route");
        }
        let ben = Known {
            caller: Some("ben"),
            ..CHAT
        };
        for _ in 0..3 * PACE {
            assert!(watchers.admit(&ben).is_some());
            assert!(!watchers.any_wants(&ben), "of another caller");
            watchers.give_back();
        }
        assert!(watchers.admit(&CHAT).is_some());
        assert!(watchers.any_wants(&CHAT));
        assert_eq!(watch.lost(), None, "nothing was passed over");
        let begun = (0..2 * BEGUN_MAX).filter(|_| {
            let begun = watchers.admit(&ben).is_some();
            if begun {
                watchers.give_back();
            }
            begun
        });
        assert_eq!(begun.count() as u32, BEGUN_MAX - 3 * PACE - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_before_it_had_a_place_is_shown_at_the_same_pace() {
        let watchers = Watchers::new();
        let watch = watched(&watchers);
        let shown = (0..2 * PACE).filter(|_| !watchers.wanting(&CHAT, false).is_empty());
        assert_eq!(shown.count() as u32, PACE);
        let Some(Next::Lost { skipped, .. }) = watch.lost() else {
            panic!("nothing was lost")
        };
        assert_eq!(skipped, u64::from(PACE));
        assert!(!watchers.wanting(&CHAT, true).is_empty());
    }

    #[tokio::test]
    async fn what_is_secret_is_hidden_for_each_who_watches() {
        let watchers = Watchers::new();
        let (mut one, mut other) = (watched(&watchers), watched(&watchers));
        let mut hidden = Hidden::default();
        hidden.add(b"canary-1");
        let trace = Trace {
            path: "/canary-1".to_owned(),
            ..Trace::default()
        };
        publish(&watchers, trace, hidden);
        for watch in [&mut one, &mut other] {
            let Some(Next::Trace(line)) = watch.next().await else {
                panic!("no trace")
            };
            let Ok(Line::Trace(trace)) = serde_json::from_slice(&line) else {
                panic!("no trace")
            };
            assert_eq!(trace.path, "/(hidden)");
        }
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
        let line = line(trace);
        assert!(line.len() < LINE_MAX);
        let Ok(Line::Trace(trace)) = serde_json::from_str(&line) else {
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
