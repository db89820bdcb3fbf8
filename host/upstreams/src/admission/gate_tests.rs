use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn settings(limit: usize, queue: usize) -> GateSettings {
    GateSettings {
        limit,
        queue,
        wait_max: Duration::from_secs(10),
        weights: Arc::new([8, 1]),
    }
}

fn asker(caller: u64) -> Asker {
    Asker { class: 0, caller }
}

type Admission = Pin<Box<dyn Future<Output = Result<Permit, Refused>> + Send>>;

fn admission(gate: &Arc<Gate>, asker: Asker) -> Admission {
    let gate = gate.clone();
    Box::pin(async move { gate.admit(asker, Instant::now() + MINUTE).await })
}

fn poll(admission: &mut Admission) -> Option<Result<Permit, Refused>> {
    let mut context = Context::from_waker(Waker::noop());
    match admission.as_mut().poll(&mut context) {
        Poll::Ready(admitted) => Some(admitted),
        Poll::Pending => None,
    }
}

fn waits(gate: &Arc<Gate>, caller: u64) -> Admission {
    let mut admission = admission(gate, asker(caller));
    assert!(poll(&mut admission).is_none());
    admission
}

fn is_at_rest(gate: &Gate) -> bool {
    let state = gate.state.lock();
    state.in_use == 0 && state.queue.is_clear()
}

#[tokio::test]
async fn who_finds_room_does_not_wait() {
    let gate = Gate::new(&settings(2, 0));
    let first = gate.try_admit().unwrap();
    let second = gate.admit(asker(1), Instant::now()).await.unwrap();
    assert_eq!(second.waited(), None);
    assert!(gate.try_admit().is_none());
    drop((first, second));
    assert!(is_at_rest(&gate));
    assert_eq!(gate.counts().admitted, 2);
}

#[tokio::test]
async fn a_quarter_is_left_for_who_may_not_be_left_out() {
    for (limit, spare) in [(0, 0), (1, 1), (3, 3), (4, 3), (8, 6), (10, 8)] {
        let gate = Gate::new(&settings(limit, 0));
        let mut held = Vec::new();
        while let Some(permit) = gate.try_admit_spare() {
            held.push(permit);
        }
        assert_eq!(held.len(), spare, "of {limit}");
        assert!(!gate.has_spare());
        held.extend(std::iter::from_fn(|| gate.try_admit()));
        assert_eq!(held.len(), limit, "of {limit}");
        held.clear();
        assert_eq!(gate.has_spare(), limit > 0);
        assert!(is_at_rest(&gate));
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_goes_to_who_is_next() {
    let gate = Gate::new(&settings(1, 2));
    let permit = gate.try_admit().unwrap();
    let (mut first, mut second) = (waits(&gate, 1), waits(&gate, 2));
    advance(Duration::from_secs(2)).await;
    drop(permit);
    assert!(gate.try_admit().is_none());
    assert!(poll(&mut second).is_none());
    let permit = poll(&mut first).unwrap().unwrap();
    assert_eq!(permit.waited(), Some(Duration::from_secs(2)));
    drop(permit);
    drop(second.await.unwrap());
    assert!(is_at_rest(&gate));
    let counts = gate.counts();
    assert_eq!((counts.waited, counts.wait), (2, Duration::from_secs(4)));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bounds_one_is_refused_at_once_and_told_when_to_come_back() {
    let gate = Gate::new(&settings(1, 1));
    let permit = gate.try_admit().unwrap();
    let waiting = waits(&gate, 1);
    let refused = gate.admit(asker(2), Instant::now() + MINUTE).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason, Reason::Full);
    assert_eq!(refused.retry_after, Duration::from_secs(10));
    let refused = gate.admit(asker(1), Instant::now() + MINUTE).await;
    assert_eq!(refused.unwrap_err().reason, Reason::Share);
    drop((permit, waiting));
    assert!(is_at_rest(&gate));
    assert_eq!(gate.counts().refused, [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn who_is_displaced_is_told_at_once() {
    let gate = Gate::new(&settings(1, 2));
    let permit = gate.try_admit().unwrap();
    let (first, mut second) = (waits(&gate, 1), waits(&gate, 1));
    let third = waits(&gate, 2);
    let refused = poll(&mut second).unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::Share);
    drop((permit, first, third));
    assert!(is_at_rest(&gate));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time() {
    let gate = Gate::new(&settings(1, 4));
    let permit = gate.try_admit().unwrap();
    let start = Instant::now();
    let refused = gate.admit(asker(1), start + MINUTE).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Late);
    assert_eq!(start.elapsed().as_secs(), 10);
    let deadline = Instant::now() + Duration::from_secs(3);
    assert!(gate.admit(asker(1), deadline).await.is_err());
    assert_eq!(start.elapsed().as_secs(), 13);
    assert_eq!(gate.counts().waiting, 0);
    drop(permit);
    assert!(is_at_rest(&gate));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_in_the_last_moment_is_not_lost() {
    let gate = Gate::new(&settings(1, 4));
    let permit = gate.try_admit().unwrap();
    let mut late = waits(&gate, 1);
    advance(Duration::from_secs(11)).await;
    drop(permit);
    match poll(&mut late) {
        Some(Ok(permit)) => drop(permit),
        other => panic!("{other:?}"),
    }
    assert!(is_at_rest(&gate));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gives_its_place_or_its_permit_to_the_next() {
    let gate = Gate::new(&settings(1, 4));
    let permit = gate.try_admit().unwrap();
    let (first, second, mut third) = (waits(&gate, 1), waits(&gate, 2), waits(&gate, 3));
    drop(first);
    assert_eq!(gate.counts().waiting, 2);
    // The second is given it, and leaves before it looks.
    drop(permit);
    drop(second);
    drop(poll(&mut third).unwrap().unwrap());
    assert!(is_at_rest(&gate));
    assert_eq!(gate.counts().left, 2);
}

#[tokio::test(start_paused = true)]
async fn other_limits_hold_at_once() {
    let gate = Gate::new(&settings(1, 4));
    let permit = gate.try_admit().unwrap();
    let (mut first, mut second) = (waits(&gate, 1), waits(&gate, 2));
    gate.set_limit(3);
    let permits = [&mut first, &mut second].map(|one| poll(one).unwrap().unwrap());
    gate.reconfigure(&settings(1, 1));
    drop(permits);
    let mut third = waits(&gate, 3);
    assert!(gate.admit(asker(4), Instant::now() + MINUTE).await.is_err());
    drop(permit);
    drop(poll(&mut third).unwrap().unwrap());
    assert!(is_at_rest(&gate));
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_drains_says_how_long_its_queue_takes() {
    let gate = Gate::new(&settings(1, 50));
    let mut line: Vec<_> = (0..51)
        .map(|caller| admission(&gate, asker(caller)))
        .collect();
    let mut held = poll(&mut line[0]);
    assert!(line[1..].iter_mut().all(|one| poll(one).is_none()));
    // One comes back every 200 ms, and another takes its place in the queue.
    for turn in 0..50_usize {
        advance(Duration::from_millis(200)).await;
        drop(held.take());
        let next = poll(&mut line[turn + 1]).unwrap();
        held = Some(next);
        line.push(waits(&gate, 100 + turn as u64));
    }
    let refused = gate.admit(asker(999), Instant::now()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Full);
    let seconds = refused.retry_after.as_secs_f64();
    assert!((8.0..13.0).contains(&seconds), "{seconds}");
    drop((held, line));
    assert!(is_at_rest(&gate));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_never_exceed_the_limit_and_lose_nothing() {
    const LIMIT: usize = 3;
    let gate = Gate::new(&settings(LIMIT, 8));
    let (inside, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..16_u64).map(|caller| {
        let (gate, inside, served) = (gate.clone(), inside.clone(), served.clone());
        tokio::spawn(async move {
            for turn in 0..400 {
                let patience = Duration::from_micros(caller * 37 % 11 * turn);
                let asker = Asker {
                    class: (turn % 3) as usize,
                    caller,
                };
                let admission = gate.admit(asker, Instant::now() + MINUTE);
                if let Ok(Ok(permit)) = timeout(patience, admission).await {
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < LIMIT);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    served.fetch_add(1, Ordering::SeqCst);
                    drop(permit);
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(served.load(Ordering::SeqCst) > 0);
    assert!(is_at_rest(&gate));
}

/// What may happen at a gate.
#[derive(Debug, Clone)]
enum Step {
    Ask(Asker),
    Leave(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Limit(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let asker = (0_usize..3, 0_u64..4).prop_map(|(class, caller)| Asker { class, caller });
    prop_oneof![
        4 => asker.prop_map(Step::Ask),
        2 => index().prop_map(Step::Leave),
        3 => index().prop_map(Step::GiveBack),
        1 => (0_usize..5).prop_map(Step::Limit),
        1 => (0_u64..8_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_bound_or_loses_a_permit(
        steps in prop::collection::vec(step(), 1..120),
        bound in 0_usize..6,
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let told: Result<(), TestCaseError> = runtime.block_on(async {
            let gate = Gate::new(&settings(2, bound));
            let (mut waiting, mut permits): (Vec<Admission>, Vec<Permit>) = Default::default();
            let mut limit = 2;
            for step in steps {
                match step {
                    Step::Ask(asker) => waiting.push(admission(&gate, asker)),
                    Step::Leave(which) if !waiting.is_empty() => {
                        drop(waiting.swap_remove(which.index(waiting.len())));
                    }
                    Step::GiveBack(which) if !permits.is_empty() => {
                        drop(permits.swap_remove(which.index(permits.len())));
                    }
                    Step::Limit(to) => {
                        limit = to;
                        gate.set_limit(to);
                    }
                    Step::Pass(millis) => advance(Duration::from_millis(millis)).await,
                    Step::Leave(_) | Step::GiveBack(_) => {}
                }
                let before = permits.len();
                // Some look at once and some later, in another order than they came.
                let one = waiting.len().min(1);
                waiting.rotate_left(one);
                // Twice: the first look of one may displace another.
                for _ in 0..2 {
                    let mut at = 0;
                    while at < waiting.len() {
                        match poll(&mut waiting[at]) {
                            None => at += 1,
                            Some(admitted) => {
                                permits.extend(admitted.ok());
                                drop(waiting.swap_remove(at));
                            }
                        }
                    }
                }
                let counts = gate.counts();
                prop_assert_eq!(counts.in_use, permits.len());
                prop_assert_eq!(counts.waiting, waiting.len());
                prop_assert!(counts.waiting <= bound);
                prop_assert!(permits.len() <= limit.max(before));
                // No lost wake-up: nobody waits before an open gate.
                prop_assert!(waiting.is_empty() || permits.len() >= limit);
            }
            drop((waiting, permits));
            prop_assert!(is_at_rest(&gate));
            Ok(())
        });
        told?;
    }
}
