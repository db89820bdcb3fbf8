//! Lets exchanges that are ready together take a step together.
//!
//! The code of policies is far larger than a core's first cache, and so is that which sends a
//! request on. One exchange after the other through both, each finds neither in the cache. So
//! who has asked its policies lets the others that are ready do so first; then all of them go
//! on. Where exchanges come one by one, nobody waits.
//!
//! Source: James R. Larus and Michael Parkes, "Using Cohort Scheduling to Enhance Server
//! Performance", USENIX 2002.

use std::{
    cell::Cell,
    num::NonZero,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// So many wait at once: each keeps its request meanwhile, and a thousand that come together
/// would be in memory together.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    const OF_A_WORKER: usize = 8;
    // As many workers as tokio makes, unless `TOKIO_WORKER_THREADS` says it.
    OF_A_WORKER * std::thread::available_parallelism().map_or(1, NonZero::get)
});

thread_local! {
    /// So many came here since this worker last had nothing to do, and in the time before.
    static READY: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A worker is out of work: what it does next is another cohort. It is for
/// [`on_thread_park`](tokio::runtime::Builder::on_thread_park); on a runtime without it,
/// everybody who comes is taken for one of many.
pub(crate) fn end() {
    READY.with(|ready| ready.set((0, ready.get().0)));
}

/// Waits until those that are ready have come here too.
pub(super) async fn gather() {
    let (now, before) = READY.get();
    let now = now.saturating_add(1);
    READY.set((now, before));
    // Whether the first of them has others behind it is not known; most likely it is as before.
    if now.max(before) > 1
        && let Some(_place) = Place::take(&WAITING)
    {
        tokio::task::yield_now().await;
    }
}

/// One of those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < *MOST).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        pin::pin,
        rc::Rc,
        task::{Context, Waker},
    };

    use tokio::task::LocalSet;

    use super::*;

    fn is_let_through() -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(gather()).poll(&mut context).is_ready()
    }

    #[test]
    fn no_more_wait_than_there_are_places_and_one_that_leaves_makes_room() {
        let waiting = AtomicUsize::new(0);
        let mut places: Vec<_> = std::iter::from_fn(|| Place::take(&waiting)).collect();
        assert_eq!(places.len(), *MOST);
        places.pop();
        assert!(Place::take(&waiting).is_some());
        drop(places);
        assert_eq!(waiting.into_inner(), 0);
    }

    #[test]
    fn one_that_comes_alone_does_not_wait() {
        for _ in 0..3 {
            assert!(is_let_through());
            end();
        }
    }

    #[test]
    fn the_second_of_a_cohort_waits_and_the_first_of_the_next_one_too() {
        assert!(is_let_through());
        assert!(!is_let_through());
        end();
        assert!(!is_let_through(), "there were two before");
        end();
        assert!(is_let_through(), "there was one before");
    }

    #[tokio::test]
    async fn those_that_are_ready_take_a_step_before_any_takes_the_next() {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let tasks = LocalSet::new();
        // One that came before.
        gather().await;
        for who in ["first", "second", "third"] {
            let steps = steps.clone();
            tasks.spawn_local(async move {
                steps.borrow_mut().push((1, who));
                gather().await;
                steps.borrow_mut().push((2, who));
            });
        }
        tasks.await;
        let steps = steps
            .borrow()
            .iter()
            .map(|(step, _)| *step)
            .collect::<Vec<_>>();
        assert_eq!(steps, [1, 1, 1, 2, 2, 2]);
    }
}
