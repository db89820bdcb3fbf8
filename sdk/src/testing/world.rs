//! What capabilities find in a native test: one world a thread, so tests do not meet.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use super::{charges::Charge, limits::Bucket};
use crate::{
    Destination,
    bindings::tollgate::policy::{cache, endpoints::Endpoint, geo::Place, http_call, log::Level},
};

pub(super) type HttpAnswer =
    dyn FnMut(&http_call::Request) -> Result<http_call::Response, http_call::Error>;

pub(super) struct World {
    pub(super) logged: Vec<(Level, String)>,
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) now_us: u64,
    pub(super) random: u64,
    pub(super) secrets: HashMap<String, Vec<u8>>,
    pub(super) places: HashMap<IpAddr, Place>,
    pub(super) kv: HashMap<String, Entry>,
    pub(super) buckets: HashMap<String, Bucket>,
    /// While the hook about a request runs: how long its body is, and what is held for it.
    pub(super) holds: Option<(Option<u64>, Vec<Charge>)>,
    pub(super) http: Option<Box<HttpAnswer>>,
    pub(super) plan: Option<cache::Plan>,
    pub(super) shadow: Option<Destination>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) scores: Vec<f64>,
    pub(super) is_configuring: bool,
}

pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    pub(super) ends_ms: Option<u64>,
}

/// 2026-01-01T00:00:00Z.
const START_US: u64 = 1_767_225_600_000_000;

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World {
        logged: Vec::new(),
        counters: BTreeMap::new(),
        now_us: START_US,
        random: 0x9e37_79b9_7f4a_7c15,
        secrets: HashMap::new(),
        places: HashMap::new(),
        kv: HashMap::new(),
        buckets: HashMap::new(),
        holds: None,
        http: None,
        plan: None,
        shadow: None,
        endpoints: Vec::new(),
        scores: Vec::new(),
        is_configuring: false,
    });
}

/// The world, for a capability.
pub(super) fn call<T>(capability: &str, with: impl FnOnce(&mut World) -> T) -> T {
    arrange(|world| {
        assert!(
            !world.is_configuring,
            "the capability `{capability}` was called while settings were checked: it would trap in the gateway"
        );
        with(world)
    })
}

/// The world, for the test.
pub(super) fn arrange<T>(with: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(with)
}

impl World {
    pub(super) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }
}

/// Moves the clock on.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::{kv, testing};
///
/// kv::put("k", b"v", Some(Duration::from_secs(1))).unwrap();
/// testing::advance(Duration::from_secs(2));
/// assert_eq!(kv::get("k"), Ok(None));
/// ```
pub fn advance(time: Duration) {
    arrange(|world| world.now_us += u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// Grants a secret.
///
/// ```
/// use tollgate_sdk::{secrets, testing};
///
/// testing::set_secret("token", b"t");
/// assert_eq!(secrets::get("token"), Ok(b"t".to_vec()));
/// ```
pub fn set_secret(name: &str, value: &[u8]) {
    arrange(|world| world.secrets.insert(name.to_owned(), value.to_vec()));
}

/// Says where an address is; of all others nothing is known.
///
/// ```
/// use tollgate_sdk::{geo::{self, Place}, testing};
///
/// testing::set_place("2001:db8::1", Place { country: Some("JP".into()), ..geo::nowhere() });
/// let place = geo::lookup("2001:db8:0::1").unwrap().unwrap();
/// assert_eq!(place.country.as_deref(), Some("JP"));
/// ```
///
/// # Panics
/// If it is no address.
#[expect(
    clippy::expect_used,
    reason = "a test that is wrong should fail where it is wrong"
)]
pub fn set_place(address: &str, place: Place) {
    let address: IpAddr = address.parse().expect("an IP address");
    arrange(|world| world.places.insert(address, place));
}

/// Answers the calls of [`http`](crate::http); without it, every host is off the list.
///
/// ```
/// use tollgate_sdk::{http, testing};
///
/// testing::answer_http(|_| Err(http::Error::TimedOut));
/// assert!(matches!(http::get("https://slow.example").send(), Err(http::Error::TimedOut)));
/// ```
pub fn answer_http(
    answer: impl FnMut(&http_call::Request) -> Result<http_call::Response, http_call::Error> + 'static,
) {
    arrange(|world| world.http = Some(Box::new(answer)));
}

/// The plan for an answer that was made last, once.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::{cache::{self, Plan}, testing};
///
/// assert!(testing::planned().is_none());
/// cache::plan(Plan::new("key", Duration::from_secs(1))).unwrap();
/// assert!(testing::planned().is_some());
/// assert!(testing::planned().is_none());
/// ```
#[must_use]
pub fn planned() -> Option<cache::Plan> {
    arrange(|world| world.plan.take())
}

/// Where the copy goes that was asked for last, once.
///
/// ```
/// use tollgate_sdk::{shadow, testing};
///
/// assert!(testing::shadowed().is_none());
/// shadow::to_model("next").unwrap();
/// assert!(testing::shadowed().is_some());
/// assert!(testing::shadowed().is_none());
/// ```
#[must_use]
pub fn shadowed() -> Option<Destination> {
    arrange(|world| world.shadow.take())
}

/// Has these to choose from.
pub(super) fn offer(endpoints: &[Endpoint]) {
    arrange(|world| {
        world.endpoints = endpoints.to_vec();
        world.scores.clear();
    });
}

/// What was thought of them, once.
pub(super) fn scored() -> Vec<f64> {
    arrange(|world| {
        world.endpoints.clear();
        std::mem::take(&mut world.scores)
    })
}

/// An endpoint that has nothing to do and has told nothing, to begin one with.
///
/// ```
/// use tollgate_sdk::{endpoints::Endpoint, testing::idle};
///
/// let busy = Endpoint { in_flight: 7, ..idle("10.0.0.5:8000") };
/// assert_eq!(busy.waiting, None);
/// ```
#[must_use]
pub fn idle(address: &str) -> Endpoint {
    Endpoint {
        address: address.to_owned(),
        weight: 1,
        in_flight: 0,
        latency_ms: None,
        running: None,
        waiting: None,
        cache_use: None,
        tried: false,
    }
}

/// The lines that were logged, without their fields.
///
/// ```
/// use tollgate_sdk::{log, testing};
///
/// log::warn("slow");
/// assert_eq!(testing::logged(), ["slow"]);
/// ```
#[must_use]
pub fn logged() -> Vec<String> {
    arrange(|world| {
        world
            .logged
            .iter()
            .map(|(_, message)| message.clone())
            .collect()
    })
}

/// What a counter came to, over all its labels.
///
/// ```
/// use tollgate_sdk::{metrics, testing};
///
/// metrics::count("refused", &[("reason", "a")], 1);
/// metrics::count("refused", &[("reason", "b")], 2);
/// assert_eq!(testing::counted("refused"), 3);
/// ```
#[must_use]
pub fn counted(name: &str) -> u64 {
    arrange(|world| world.counters.get(name).copied().unwrap_or(0))
}
