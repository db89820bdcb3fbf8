//! A share of live traffic that may be repeated.
//!
//! A fixed number of retries multiplies the load on an upstream that fails as a whole. A
//! budget does not: of the requests of the last seconds a share may be tried again, and a
//! few besides, so that little traffic can retry at all.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The window slides by a tenth of itself.
const SLOTS: usize = 10;

/// How much may be repeated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Retries for each request, such as 0.2: from 0 to 1, anything else is taken as the nearer end.
    pub share: f64,
    /// Retries in a window that need no requests.
    pub floor: u32,
    /// How long a request counts. At least 10 ms.
    pub window: Duration,
}

/// All of the budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the budget is spent")]
pub struct Exhausted;

/// See the module.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    floor: u64,
    slot: Duration,
    start: Instant,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// The number of the newest slot, counted from the start.
    newest: u64,
    slots: [Counts; SLOTS],
    total: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// Full: nothing was asked for yet.
    #[must_use]
    pub fn new(settings: BudgetSettings, now: Instant) -> Self {
        let share = match settings.share {
            share if share.is_nan() => 0.0,
            share => share.clamp(0.0, 1.0),
        };
        let window = settings.window.max(Duration::from_millis(10));
        Self {
            share,
            floor: u64::from(settings.floor),
            slot: window / SLOTS as u32,
            start: now,
            window: Mutex::default(),
        }
    }

    /// A request came: its first attempt, whatever becomes of it.
    pub fn note_request(&self, now: Instant) {
        let mut window = self.window.lock();
        let slot = window.slide(self.slot_at(now));
        window.slots[slot].requests += 1;
        window.total.requests += 1;
    }

    /// Takes one retry.
    ///
    /// # Errors
    /// There is none left.
    pub fn spend(&self, now: Instant) -> Result<(), Exhausted> {
        let mut window = self.window.lock();
        let slot = window.slide(self.slot_at(now));
        if window.total.retries >= self.allowed(window.total.requests) {
            return Err(Exhausted);
        }
        window.slots[slot].retries += 1;
        window.total.retries += 1;
        Ok(())
    }

    /// Gives back one that was taken and is not made.
    pub fn give_back(&self, now: Instant) {
        let mut window = self.window.lock();
        let newest = window.slide(self.slot_at(now));
        let mut newest_first = (0..SLOTS).map(|back| (newest + SLOTS - back) % SLOTS);
        // One that was taken longer ago is forgotten already.
        if let Some(slot) = newest_first.find(|slot| window.slots[*slot].retries > 0) {
            window.slots[slot].retries -= 1;
            window.total.retries -= 1;
        }
    }

    fn allowed(&self, requests: u64) -> u64 {
        self.floor + (self.share * requests as f64) as u64
    }

    fn slot_at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since / self.slot.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

impl Window {
    /// Forgets what is too old, and gives the place of the slot `at`. Clocks of other threads
    /// may be a little behind: they count for the newest.
    fn slide(&mut self, at: u64) -> usize {
        let steps = at.saturating_sub(self.newest);
        if steps >= SLOTS as u64 {
            self.slots = Default::default();
            self.total = Counts::default();
        } else {
            for step in 1..=steps {
                let old = std::mem::take(&mut self.slots[place(self.newest + step)]);
                self.total.requests -= old.requests;
                self.total.retries -= old.retries;
            }
        }
        self.newest = self.newest.max(at);
        place(self.newest)
    }
}

fn place(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn budget(share: f64, floor: u32, now: Instant) -> Budget {
        let settings = BudgetSettings {
            share,
            floor,
            window: WINDOW,
        };
        Budget::new(settings, now)
    }

    fn spend_all(budget: &Budget, now: Instant) -> usize {
        (0..10_000)
            .take_while(|_| budget.spend(now).is_ok())
            .count()
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let now = Instant::now();
        let budget = budget(0.0, 3, now);
        budget.give_back(now);
        assert_eq!(spend_all(&budget, now), 3);
        budget.give_back(now + WINDOW / 2);
        assert_eq!(spend_all(&budget, now + WINDOW / 2), 1);
        // By then all is forgotten.
        budget.give_back(now + 3 * WINDOW);
        assert_eq!(spend_all(&budget, now + 3 * WINDOW), 3);
    }

    #[test]
    fn a_share_of_the_requests_and_the_floor_may_be_repeated() {
        let now = Instant::now();
        let budget = budget(0.2, 3, now);
        assert_eq!(spend_all(&budget, now), 3);
        for _ in 0..100 {
            budget.note_request(now);
        }
        assert_eq!(spend_all(&budget, now), 20);
    }

    #[test]
    fn a_failing_upstream_gets_its_traffic_and_a_share_of_it_and_no_more() {
        let start = Instant::now();
        let budget = budget(0.1, 0, start);
        let mut retries = 0;
        // 100 requests a second for a minute; each fails and would be tried three times more.
        for tick in 0..6_000 {
            let now = start + Duration::from_millis(10 * tick);
            budget.note_request(now);
            retries += (0..3).filter(|_| budget.spend(now).is_ok()).count();
        }
        assert!((500..=600).contains(&retries), "{retries}");
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let now = Instant::now();
        let budget = budget(0.5, 1, now);
        for _ in 0..10 {
            budget.note_request(now);
        }
        assert_eq!(spend_all(&budget, now), 6);
        let later = now + WINDOW / 2;
        assert_eq!(spend_all(&budget, later), 0);
        budget.note_request(later);
        budget.note_request(later);
        assert_eq!(spend_all(&budget, later), 1);
        // The first ten and their retries are gone, the two and theirs are not.
        assert_eq!(spend_all(&budget, now + WINDOW), 1);
        assert_eq!(spend_all(&budget, now + 100 * WINDOW), 1);
    }

    #[test]
    fn settings_out_of_range_do_no_harm() {
        let now = Instant::now();
        for share in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let budget = budget(share, 0, now);
            budget.note_request(now);
            assert_eq!(budget.spend(now), Err(Exhausted));
        }
        let settings = BudgetSettings {
            share: f64::INFINITY,
            floor: 0,
            window: Duration::ZERO,
        };
        let budget = Budget::new(settings, now);
        budget.note_request(now);
        assert_eq!(spend_all(&budget, now), 1);
        // A clock that is behind.
        budget.note_request(now + WINDOW);
        budget.note_request(now);
        assert_eq!(spend_all(&budget, now + WINDOW), 2);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_retries_than_its_requests_allow(
            steps in prop::collection::vec((0_u64..1_500, any::<bool>()), 1..400),
            percent in 0_u32..=100,
            floor in 0_u32..4,
        ) {
            let start = Instant::now();
            let share = f64::from(percent) / 100.0;
            let budget = budget(share, floor, start);
            let mut now = start;
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for (pause, is_request) in steps {
                now += Duration::from_millis(pause);
                if is_request {
                    budget.note_request(now);
                    requests.push(now);
                } else if budget.spend(now).is_ok() {
                    retries.push(now);
                    // The slots hold nine tenths of a window at least, and one at most.
                    let count = |all: &[Instant], age: Duration| {
                        all.iter().filter(|at| now.duration_since(**at) < age).count()
                    };
                    let allowed = f64::from(floor) + share * count(&requests, WINDOW) as f64;
                    let spent = count(&retries, WINDOW * 9 / 10);
                    prop_assert!(spent as f64 <= allowed, "{spent} of {allowed}");
                }
            }
        }
    }
}
