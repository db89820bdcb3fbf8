//! Lets requests on to upstreams, or has them wait for their turn.
//!
//! A request passes two gates before each try: that of the upstream, then that of all
//! upstreams together. In this order, so that nobody who waits for a busy upstream keeps a
//! place that a request to another could use. What it was let in with it gives back when
//! the try is over, the answer's last byte included, unless another follows at once: that
//! one is let in with it. Where nothing is bounded, nothing is asked. How gates work is
//! [`tollgate_upstreams::admission`]'s to know.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tollgate_config::{Concurrency, Overload, Queue};
use tollgate_upstreams::admission::{Asker, Counts, Gate, GateSettings, Permit};

use super::{carry_on::Gone, errors::ServeError, record::Record, state::Exchange};

/// The fact by which callers take turns, where a policy sets it.
const CALLER: &str = "caller";
/// What they take turns by otherwise.
const ADDRESS: &str = "client_address";

/// Nobody can guess whose line is whose.
static CALLERS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What a try is let in with: of each gate, if there is one. Given back when dropped.
#[derive(Default)]
pub(super) struct Permits {
    upstream: Option<Permit>,
    all: Option<Permit>,
    /// How long they were waited for by the try that has them.
    pub(super) waited: Option<Duration>,
}

/// How an exchange stands before the gates.
pub(super) struct Standing<'a> {
    asker: Asker,
    gone: &'a Gone,
    deadline: Instant,
    all: Option<&'a Arc<Gate>>,
}

impl<'a> Standing<'a> {
    /// By the facts that the record has by now.
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        let generation = &exchange.generation;
        Self {
            asker: asker(&exchange.record, &generation.config.overload),
            gone: &exchange.gone,
            deadline: exchange.deadline,
            all: generation.gate.as_ref(),
        }
    }

    /// Waits for its turn, as far as the try before this one does not leave it its own: a
    /// place once had is not waited for again.
    ///
    /// # Errors
    /// There is no place to wait in, or it took too long; the client left.
    pub(super) async fn admit(
        &self,
        door: Option<&Door>,
        left: Permits,
    ) -> Result<Permits, ServeError> {
        let mut waited = None;
        let mut all = left.all;
        let upstream = match door {
            None => None,
            Some(door) => match left.upstream.filter(|permit| permit.is_of(&door.gate)) {
                Some(permit) => Some(permit),
                None => Some(self.change_to(&door.gate, &mut all, &mut waited).await?),
            },
        };
        let all = match (self.all, all) {
            (None, _) => None,
            (Some(_), Some(permit)) => Some(permit),
            (Some(gate), None) => Some(self.pass(gate, &mut waited).await?),
        };
        Ok(Permits {
            upstream,
            all,
            waited,
        })
    }

    /// Of an upstream that the try before was not at. Nobody keeps a place among all for as
    /// long as that takes.
    async fn change_to(
        &self,
        gate: &Arc<Gate>,
        all: &mut Option<Permit>,
        waited: &mut Option<Duration>,
    ) -> Result<Permit, ServeError> {
        if all.is_some() {
            if let Some(permit) = gate.try_admit() {
                return Ok(permit);
            }
            *all = None;
        }
        self.pass(gate, waited).await
    }

    async fn pass(
        &self,
        gate: &Arc<Gate>,
        waited: &mut Option<Duration>,
    ) -> Result<Permit, ServeError> {
        let admitted = self.gone.or(gate.admit(self.asker, self.deadline)).await?;
        let permit = admitted.map_err(|refused| {
            if Instant::now() >= self.deadline {
                ServeError::TotalTimeout
            } else {
                ServeError::Overloaded(refused)
            }
        })?;
        let waits = [*waited, permit.waited()].into_iter().flatten();
        *waited = waits.reduce(|one, other| one + other);
        Ok(permit)
    }
}

/// Waits for its turn; where nothing is bounded, that is now.
///
/// # Errors
/// As [`Standing::admit`].
pub(super) fn admit<'a>(
    exchange: &'a Exchange,
    door: Option<&'a Door>,
    left: Permits,
) -> impl Future<Output = Result<Permits, ServeError>> + use<'a> {
    let is_bounded = door.is_some() || exchange.generation.gate.is_some();
    let standing = is_bounded.then(|| Standing::of(exchange));
    async move {
        match standing {
            Some(standing) => standing.admit(door, left).await,
            None => Ok(Permits::default()),
        }
    }
}

/// Lets it in only if that costs no wait: for what need not be done, such as a hedge.
pub(super) fn try_admit(all: Option<&Arc<Gate>>, door: Option<&Door>) -> Option<Permits> {
    try_by(Gate::try_admit, all, door)
}

/// The same, and only if that leaves enough for others: for what nobody waits for.
pub(super) fn try_admit_spare(all: Option<&Arc<Gate>>, door: Option<&Door>) -> Option<Permits> {
    try_by(Gate::try_admit_spare, all, door)
}

fn try_by(
    ask: fn(&Arc<Gate>) -> Option<Permit>,
    all: Option<&Arc<Gate>>,
    door: Option<&Door>,
) -> Option<Permits> {
    let upstream = match door {
        Some(door) => Some(ask(&door.gate)?),
        None => None,
    };
    let all = match all {
        Some(gate) => Some(ask(gate)?),
        None => None,
    };
    Some(Permits {
        upstream,
        all,
        waited: None,
    })
}

fn asker(record: &Record, overload: &Overload) -> Asker {
    let priorities = &overload.priorities;
    let caller = fact(record, CALLER).or_else(|| fact(record, ADDRESS));
    Asker {
        class: priorities.of(fact(record, &priorities.fact)),
        caller: CALLERS.hash_one(caller),
    }
}

fn fact<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let mut given = record.given.iter().flat_map(|given| given.iter());
    let given = given.find(|(known, _)| *known == name);
    let set = || record.facts.iter().find(|(known, _)| known == name);
    given
        .map(|(_, value)| value)
        .or_else(|| set().map(|(_, value)| value))
        .map(String::as_str)
}

/// The way to an upstream that takes so many at once.
pub(crate) struct Door {
    gate: Arc<Gate>,
    bounds: Concurrency,
    /// The live generation's, which may be another than the one that let a try in.
    endpoint_max: Arc<AtomicUsize>,
    weights: Arc<[u32]>,
}

impl Door {
    /// So many requests at each endpoint, and no more.
    pub(super) fn endpoint_max(&self) -> usize {
        self.endpoint_max.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.gate.counts()
    }

    /// `None`: nothing is bounded.
    pub(super) fn new(
        gate: &UpstreamGate,
        bounds: Option<Concurrency>,
        overload: &Overload,
    ) -> Option<Self> {
        bounds.map(|bounds| Self {
            gate: gate.gate.clone(),
            bounds,
            endpoint_max: gate.endpoint_max.clone(),
            weights: weights(overload),
        })
    }
}

fn weights(overload: &Overload) -> Arc<[u32]> {
    let weights = overload.priorities.weights.iter();
    weights.map(|(_, weight)| *weight).collect()
}

/// The gate of one upstream, whatever generation asks: what is under way there counts
/// under the next one too.
pub(crate) struct UpstreamGate {
    gate: Arc<Gate>,
    endpoint_max: Arc<AtomicUsize>,
    /// The live generation's.
    bounds: Mutex<Option<Concurrency>>,
}

impl UpstreamGate {
    /// It lets nobody in before it follows a generation.
    pub(super) fn new() -> Self {
        let nobody = Queue {
            length: 0,
            timeout: Duration::ZERO,
        };
        Self {
            gate: Gate::new(&settings(0, nobody, &Arc::from([]))),
            endpoint_max: Arc::new(AtomicUsize::new(usize::MAX)),
            bounds: Mutex::default(),
        }
    }

    /// From now on these bounds hold, and so many endpoints can be asked: as many as there
    /// are when its turn has come, so that of two changes at once the later one holds.
    pub(super) fn follow(&self, door: Option<&Door>, available: impl FnOnce() -> usize) {
        let mut bounds = self.bounds.lock();
        *bounds = door.map(|door| door.bounds);
        if let Some(door) = door {
            // First, so that whoever is let in by the new limit finds room.
            let endpoint_max = door.bounds.endpoint.unwrap_or(usize::MAX);
            self.endpoint_max.store(endpoint_max, Ordering::Release);
            let limit = limit(&door.bounds, available());
            self.gate
                .reconfigure(&settings(limit, door.bounds.queue, &door.weights));
        }
    }

    /// Now so many endpoints can be asked; as of [`follow`](Self::follow).
    pub(super) fn fit(&self, available: impl FnOnce() -> usize) {
        let bounds = self.bounds.lock();
        if let Some(bounds) = &*bounds {
            self.gate.set_limit(limit(bounds, available()));
        }
    }
}

/// With no endpoint to ask, one request finds that out at a time.
fn limit(bounds: &Concurrency, available: usize) -> usize {
    let of_endpoints = bounds
        .endpoint
        .map_or(usize::MAX, |each| each.saturating_mul(available.max(1)));
    of_endpoints.min(bounds.total.unwrap_or(usize::MAX))
}

fn settings(limit: usize, queue: Queue, weights: &Arc<[u32]>) -> GateSettings {
    GateSettings {
        limit,
        queue: queue.length,
        wait_max: queue.timeout,
        weights: weights.clone(),
    }
}

/// The gate of all upstreams together.
pub(super) struct AllGate(pub(super) Arc<Gate>);

impl Default for AllGate {
    fn default() -> Self {
        Self(UpstreamGate::new().gate)
    }
}

impl AllGate {
    /// `None`: nothing is bounded.
    pub(super) fn of(&self, overload: &Overload) -> Option<Arc<Gate>> {
        overload.concurrency.map(|_| self.0.clone())
    }
}

/// From now on these bounds hold for all upstreams together.
pub(super) fn follow(gate: &Gate, overload: &Overload) {
    if let Some(bounded) = overload.concurrency {
        gate.reconfigure(&settings(bounded.limit, bounded.queue, &weights(overload)));
    }
}

/// How many requests are at one endpoint.
#[derive(Debug, Default)]
pub(super) struct Slots(AtomicUsize);

/// One of them. Given back when dropped.
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    pub(super) fn are_taken(&self, limit: usize) -> bool {
        self.0.load(Ordering::Relaxed) >= limit
    }

    /// `None`: so many are there already.
    pub(super) fn take(self: &Arc<Self>, limit: usize) -> Option<Slot> {
        let more = |taken| (taken < limit).then_some(taken + 1);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, more).ok()?;
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, poll};
    use tollgate_upstreams::discovery::Found;

    use super::{
        super::{clients::Clients, upstream::Upstream},
        *,
    };

    const QUEUE: Queue = Queue {
        length: 1,
        timeout: Duration::from_secs(1),
    };

    #[test]
    fn an_endpoint_that_is_out_takes_its_share_with_it() {
        let bounds = |endpoint, total| Concurrency {
            total,
            endpoint,
            queue: QUEUE,
        };
        assert_eq!(limit(&bounds(Some(8), None), 3), 24);
        assert_eq!(limit(&bounds(Some(8), None), 2), 16);
        assert_eq!(limit(&bounds(Some(8), Some(20)), 3), 20);
        assert_eq!(limit(&bounds(Some(8), Some(20)), 0), 8);
        assert_eq!(limit(&bounds(None, Some(20)), 0), 20);
    }

    #[test]
    fn callers_are_told_apart_by_what_a_policy_says_and_else_by_address() {
        let overload = Overload::default();
        let record = |facts: &[(&str, &str)], address: &'static str| Record {
            facts: facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            given: Some(Arc::from([(ADDRESS, address.to_owned())])),
            ..Record::default()
        };
        let of = |record: &Record| asker(record, &overload);
        let ann = of(&record(
            &[("caller", "ann"), ("priority", "high")],
            "1.1.1.1",
        ));
        let too = of(&record(
            &[("caller", "ann"), ("priority", "low")],
            "2.2.2.2",
        ));
        assert_eq!((ann.caller, ann.class, too.class), (too.caller, 0, 2));
        let one = of(&record(&[], "1.1.1.1"));
        let two = of(&record(&[("priority", "urgent")], "2.2.2.2"));
        assert_ne!(one.caller, two.caller);
        assert_ne!(one.caller, ann.caller);
        assert_eq!((one.class, two.class), (1, 1));
    }

    #[test]
    fn an_endpoint_has_so_many_slots_and_no_more() {
        let slots = Arc::new(Slots::default());
        let first = slots.take(2).unwrap();
        let second = slots.take(2).unwrap();
        assert!(slots.are_taken(2));
        assert!(slots.take(2).is_none());
        drop(first);
        assert!(!slots.are_taken(2));
        drop((slots.take(2).unwrap(), second));
        assert_eq!(slots.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_gate_follows_the_generation_and_the_endpoints() {
        let gate = UpstreamGate::new();
        let bounds = Concurrency {
            total: None,
            endpoint: Some(2),
            queue: QUEUE,
        };
        let door = Door::new(&gate, Some(bounds), &Overload::default()).unwrap();
        assert!(door.gate.try_admit().is_none());
        gate.follow(Some(&door), || 1);
        let held = [(); 2].map(|()| door.gate.try_admit().unwrap());
        assert!(try_admit(None, Some(&door)).is_none());
        gate.fit(|| 2);
        drop(try_admit(None, Some(&door)).unwrap());
        gate.fit(|| 1);
        assert!(try_admit(None, Some(&door)).is_none());
        // Nothing bounds it any more; an older generation's still count.
        gate.follow(None, || 1);
        gate.fit(|| 5);
        assert!(try_admit(None, Some(&door)).is_none());
        drop(held);
    }

    /// The way to an upstream that takes one at a time.
    fn one_at_a_time() -> Door {
        let gate = UpstreamGate::new();
        let bounds = Concurrency {
            total: Some(1),
            endpoint: None,
            queue: QUEUE,
        };
        let door = Door::new(&gate, Some(bounds), &Overload::default()).unwrap();
        gate.follow(Some(&door), || 1);
        door
    }

    #[tokio::test]
    async fn a_try_that_follows_is_let_in_with_what_the_one_before_it_had() {
        let (near, far, busy) = (one_at_a_time(), one_at_a_time(), one_at_a_time());
        let all = one_at_a_time().gate;
        let (gone, overload) = (Gone::default(), Overload::default());
        let standing = Standing {
            asker: asker(&Record::default(), &overload),
            gone: &gone,
            deadline: Instant::now() + Duration::from_secs(3600),
            all: Some(&all),
        };
        let enter = |door, left| standing.admit(Some(door), left);
        let at_once = |entering: Result<Permits, ServeError>| entering.unwrap();
        let first = at_once(enter(&near, Permits::default()).await);
        let mut other = pin!(enter(&near, Permits::default()));
        assert!(poll!(&mut other).is_pending());
        // At the same upstream nobody else comes first.
        let again = enter(&near, first).now_or_never();
        let again = at_once(again.unwrap());
        assert!(poll!(&mut other).is_pending());
        assert_eq!(again.waited, None, "what was waited for counts once");
        // At another one with room, it keeps its place among all.
        let elsewhere = enter(&far, again).now_or_never();
        let elsewhere = at_once(elsewhere.unwrap());
        assert!(poll!(&mut other).is_pending(), "it waits among all");
        assert_eq!((near.counts().in_use, all.counts().in_use), (1, 1));
        // Nobody keeps that place while it waits for a busy one.
        let held = try_admit(None, Some(&busy)).unwrap();
        let mut waits = pin!(enter(&busy, elsewhere));
        assert!(poll!(&mut waits).is_pending());
        let other = at_once(other.await);
        drop((held, other));
        drop(at_once(waits.await));
        for gate in [&near.gate, &far.gate, &busy.gate, &all] {
            assert_eq!(gate.counts().in_use, 0);
        }
    }

    #[test]
    fn of_two_changes_at_once_the_later_one_holds() {
        let gate = UpstreamGate::new();
        let bounds = Concurrency {
            total: None,
            endpoint: Some(1),
            queue: QUEUE,
        };
        let door = Door::new(&gate, Some(bounds), &Overload::default()).unwrap();
        let available = AtomicUsize::new(2);
        gate.follow(Some(&door), || available.load(Ordering::SeqCst));
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        let (gate, available) = (&gate, &available);
        std::thread::scope(|threads| {
            gate.fit(|| {
                let counted = available.load(Ordering::SeqCst);
                threads.spawn(move || {
                    available.store(1, Ordering::SeqCst);
                    gate.fit(|| available.load(Ordering::SeqCst));
                    let _ = done.send(());
                });
                // Nobody can pass by; one that could has its time.
                let passed = is_done.recv_timeout(Duration::from_millis(100));
                assert!(passed.is_err());
                counted
            });
        });
        assert_eq!(door.counts().limit, 1);
    }

    #[tokio::test]
    async fn new_weights_outlast_a_change_of_endpoints_that_an_old_task_found() {
        let clients = Clients::new();
        let text = |low: u32| {
            format!(
                "{{ endpoints: {{ dns: \"http://a.test\" }}, concurrency: {{ endpoint: 1 }} }}\n\
                 overload: {{ priorities: {{ weights: {{ high: 1, low: {low} }}, default: low }} }}"
            )
        };
        let found = |last: u8| {
            vec![Found {
                endpoint: tollgate_config::Endpoint::parse("http://a.test").unwrap(),
                address: Some(([10, 0, 0, last], 80).into()),
            }]
        };
        let old = Upstream::candidate(&clients, &text(1), found(1));
        old.go_live();
        let new = Upstream::candidate(&clients, &text(8), found(1));
        new.go_live();
        assert!(old.is_tended_as(&new));
        assert!(clients.fleet("u").renew(&old.written.endpoints, &found(2)));

        let gate = &new.door.as_ref().unwrap().gate;
        let held = gate.try_admit().unwrap();
        let (send, mut served) = tokio::sync::mpsc::channel(4);
        for class in [0, 0, 1, 1] {
            let (gate, send) = (gate.clone(), send.clone());
            let asker = Asker { class, caller: 0 };
            tokio::spawn(async move {
                let deadline = Instant::now() + Duration::from_secs(60);
                let permit = gate.admit(asker, deadline).await.unwrap();
                send.send(class).await.unwrap();
                drop(permit);
            });
        }
        while gate.counts().waiting < 4 {
            tokio::task::yield_now().await;
        }
        drop((held, send));
        let mut order = Vec::new();
        while let Some(class) = served.recv().await {
            order.push(class);
        }
        assert_eq!(order, [0, 1, 1, 0]);
    }
}
