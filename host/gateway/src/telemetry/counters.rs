//! Numbers of the data path, counted once an exchange has ended.
//!
//! Names that become labels are those of the configuration: everything else is
//! counted as `other`, so no client can make the exposition grow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tollgate_config::Config;
use tollgate_sandbox::contract::{Ending, Usage};

use super::{
    access,
    exposition::{Exposition, Family, Histogram, Kind},
};
use crate::serve::{Cached, PolicyRecord, Reason, Record, TryOutcome};

/// Names that are kept after they left the configuration, so their counters go on.
const FORMER_MAX: usize = 1000;

const ENDINGS: [Ending; 6] = [
    Ending::Complete,
    Ending::ClientGone,
    Ending::UpstreamFailed,
    Ending::Refused,
    Ending::Cut,
    Ending::TimedOut,
];
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const OTHER: &str = "other";

#[derive(Debug, Default)]
struct Route {
    exchanges: [[AtomicU64; ENDINGS.len()]; CLASSES.len()],
    total: Histogram,
    first_byte: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// By what came of looking the answer up.
    cached: [AtomicU64; Cached::ALL.len()],
    /// Connections that changed their protocol, from the handshake to the end.
    upgraded: Histogram,
    /// Of copies for a mirror, which count nowhere else on a route.
    mirrored: Mirrored,
}

#[derive(Debug, Default)]
struct Mirrored {
    exchanges: [[AtomicU64; ENDINGS.len()]; CLASSES.len()],
    total: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    tokens: Tokens,
}

#[derive(Debug, Default)]
struct Upstream {
    head: Histogram,
    /// By why it was asked.
    attempts: [AtomicU64; Reason::ALL.len()],
    /// Tries that did not answer, by how they went.
    missed: [AtomicU64; TryOutcome::WORDS.len()],
    over_budget: AtomicU64,
}

#[derive(Debug, Default)]
struct Tokens {
    input: AtomicU64,
    output: AtomicU64,
    cached: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Route {
    fn count(&self, record: &Record) {
        add(
            &self.exchanges[class(record.status)][ending(record.ending)],
            1,
        );
        match record.upgrade {
            None => self.total.add(record.total),
            Some(_) => self.upgraded.add(record.total),
        }
        if let Some(time) = record.first_byte {
            self.first_byte.add(time);
        }
        add(&self.bytes_in, record.bytes_in.unwrap_or_default());
        add(&self.bytes_out, record.bytes_out);
        if let Some(cached) = record.cache {
            add(&self.cached[cached as usize], 1);
        }
    }
}

impl Mirrored {
    fn count(&self, record: &Record) {
        add(
            &self.exchanges[class(record.status)][ending(record.ending)],
            1,
        );
        self.total.add(record.total);
        add(&self.bytes_in, record.bytes_in.unwrap_or_default());
        add(&self.bytes_out, record.bytes_out);
        if let Some(usage) = &record.usage {
            self.tokens.count(usage);
        }
    }
}

impl Tokens {
    fn count(&self, usage: &Usage) {
        add(&self.input, usage.input_tokens);
        add(&self.output, usage.output_tokens);
        add(&self.cached, usage.cached_tokens);
    }

    fn kinds(&self) -> [(&'static str, u64); 3] {
        [
            ("input", &self.input),
            ("output", &self.output),
            ("cached", &self.cached),
        ]
        .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}

/// Counters by name, and those of every name that is not known.
type Named<T> = BTreeMap<Arc<str>, Arc<T>>;

#[derive(Debug, Default)]
struct Known {
    routes: Named<Route>,
    upstreams: Named<Upstream>,
    models: Named<Tokens>,
    policies: Named<Histogram>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    known: ArcSwap<Known>,
    no_route: Route,
    other_model: Tokens,
}

impl Counters {
    /// Makes the names of `config` labels; what was counted under a name goes on.
    pub(crate) fn know(&self, config: &Config) {
        let former = self.known.load();
        let known = Known {
            routes: renew(
                &former.routes,
                config.routes.iter().map(|route| route.name.as_str()),
            ),
            upstreams: renew(
                &former.upstreams,
                config.upstreams.keys().map(String::as_str),
            ),
            models: renew(&former.models, config.models.keys().map(String::as_str)),
            policies: renew(&former.policies, config.policies.keys().map(String::as_str)),
        };
        self.known.store(Arc::new(known));
    }

    /// Counts an exchange that ended.
    pub(crate) fn count(&self, record: &Record) {
        let known = self.known.load();
        let route = record
            .route
            .as_ref()
            .and_then(|name| known.routes.get(name))
            .map_or(&self.no_route, |route| route);
        if record.mirror {
            route.mirrored.count(record);
        } else {
            route.count(record);
        }
        count_tries(&known.upstreams, record);
        if let Some(usage) = record.usage.as_ref().filter(|_| !record.mirror) {
            let model = record
                .model
                .as_deref()
                .and_then(|name| known.models.get(name));
            let tokens = model.map_or(&self.other_model, |tokens| tokens);
            tokens.count(usage);
        }
        // One that was not asked took no time, and would make those that were look quick.
        let was_asked = |policy: &&PolicyRecord| !policy.spent.time.is_zero();
        for policy in record.policies.iter().filter(was_asked) {
            if let Some(times) = known.policies.get(policy.policy.name()) {
                times.add(policy.spent.time);
            }
        }
    }

    pub(crate) fn render(&self, out: &mut Exposition) {
        let known = self.known.load();
        let mut routes: BTreeMap<&str, &Route> = borrowed(&known.routes);
        routes.insert("", &self.no_route);
        exchanges(out, &routes);
        mirrored(out, &routes);
        let mut models: BTreeMap<&str, &Tokens> = borrowed(&known.models);
        models.entry(OTHER).or_insert(&self.other_model);
        let mut family = out.family(
            "tollgate_tokens_total",
            Kind::Counter,
            "Tokens as the upstreams reported them, by configured model and kind.",
        );
        for (model, tokens) in models {
            for (kind, count) in tokens.kinds() {
                family.sample(&[("model", model), ("kind", kind)], count);
            }
        }
        upstreams(out, &borrowed(&known.upstreams));
        let mut family = out.family(
            "tollgate_policy_exchange_seconds",
            Kind::Histogram,
            "Time that a policy took of an exchange that it was asked in, all its hooks but the last.",
        );
        for (name, times) in &known.policies {
            family.histogram(&[("policy", name)], times);
        }
    }
}

/// Each try for the upstream that it went to.
fn count_tries(upstreams: &Named<Upstream>, record: &Record) {
    let add = |counter: &AtomicU64, by: u32| {
        counter.fetch_add(by.into(), Ordering::Relaxed);
    };
    let mut left = record.attempts;
    for tried in &record.tries {
        let Some(upstream) = upstreams.get(&tried.upstream) else {
            continue;
        };
        add(&upstream.missed[tried.outcome.index()], 1);
        if tried.endpoint.is_some() {
            add(&upstream.attempts[tried.reason as usize], 1);
            left = left.saturating_sub(1);
        }
    }
    let last = record.upstream.as_ref();
    let Some(upstream) = last.and_then(|name| upstreams.get(name)) else {
        return;
    };
    add(&upstream.attempts[record.reason as usize], left.min(1));
    add(&upstream.over_budget, record.over_budget);
    if let Some(time) = record.upstream_head {
        upstream.head.add(time);
    }
}

fn upstreams(out: &mut Exposition, upstreams: &BTreeMap<&str, &Upstream>) {
    let mut family = out.family(
        "tollgate_upstream_attempts_total",
        Kind::Counter,
        "Requests sent to an upstream, by why: first, retry, fallback or hedge.",
    );
    for (name, upstream) in upstreams {
        for (reason, count) in Reason::ALL.iter().zip(&upstream.attempts) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 || *reason == Reason::First {
                family.sample(&[("upstream", name), ("reason", reason.as_str())], count);
            }
        }
    }
    let mut family = out.family(
        "tollgate_upstream_missed_total",
        Kind::Counter,
        "Tries that did not answer the client, by how they went.",
    );
    for (name, upstream) in upstreams {
        for (outcome, count) in TryOutcome::WORDS.iter().zip(&upstream.missed) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                family.sample(&[("upstream", name), ("outcome", outcome)], count);
            }
        }
    }
    let mut family = out.family(
        "tollgate_upstream_over_budget_total",
        Kind::Counter,
        "Retries and hedges that were due, with none left in the budget.",
    );
    for (name, upstream) in upstreams {
        let count = upstream.over_budget.load(Ordering::Relaxed);
        family.sample(&[("upstream", name)], count);
    }
    let mut family = out.family(
        "tollgate_upstream_head_seconds",
        Kind::Histogram,
        "From the request sent to the head of the upstream's response.",
    );
    for (name, upstream) in upstreams {
        family.histogram(&[("upstream", name)], &upstream.head);
    }
}

fn exchanges(out: &mut Exposition, routes: &BTreeMap<&str, &Route>) {
    let mut family = out.family(
        "tollgate_exchanges_total",
        Kind::Counter,
        "Exchanges that ended, by route (empty: none matched), class of status and ending.",
    );
    for (name, route) in routes {
        by_status_and_ending(&mut family, name, &route.exchanges);
    }
    let mut family = out.family(
        "tollgate_exchange_seconds",
        Kind::Histogram,
        "From a request's arrival to its response's end.",
    );
    for (name, route) in routes {
        family.histogram(&[("route", name)], &route.total);
    }
    let mut family = out.family(
        "tollgate_upgrade_seconds",
        Kind::Histogram,
        "From a handshake's arrival to the end of the connection.",
    );
    for (name, route) in routes {
        if !route.upgraded.is_empty() {
            family.histogram(&[("route", name)], &route.upgraded);
        }
    }
    let mut family = out.family(
        "tollgate_first_byte_seconds",
        Kind::Histogram,
        "From a request's arrival to the first byte of its response's body.",
    );
    for (name, route) in routes {
        family.histogram(&[("route", name)], &route.first_byte);
    }
    let mut family = out.family(
        "tollgate_cache_exchanges_total",
        Kind::Counter,
        "Exchanges whose answer was looked up, by route and what came of it.",
    );
    for (name, route) in routes {
        for (cached, count) in Cached::ALL.iter().zip(&route.cached) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                family.sample(&[("route", name), ("cache", cached.as_str())], count);
            }
        }
    }
    let mut family = out.family(
        "tollgate_body_bytes_total",
        Kind::Counter,
        "Bytes of bodies, in requests and responses.",
    );
    for (name, route) in routes {
        for (direction, bytes) in [("in", &route.bytes_in), ("out", &route.bytes_out)] {
            family.sample(
                &[("route", name), ("direction", direction)],
                bytes.load(Ordering::Relaxed),
            );
        }
    }
}

fn by_status_and_ending(
    family: &mut Family<'_>,
    route: &str,
    exchanges: &[[AtomicU64; ENDINGS.len()]; CLASSES.len()],
) {
    for (class, by_ending) in CLASSES.iter().zip(exchanges) {
        for (kind, count) in ENDINGS.iter().zip(by_ending) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = [
                    ("route", route),
                    ("status", *class),
                    ("ending", access::ending(*kind)),
                ];
                family.sample(&labels, count);
            }
        }
    }
}

/// Of routes that had copies made.
fn mirrored(out: &mut Exposition, routes: &BTreeMap<&str, &Route>) {
    let routes = routes.iter().map(|(name, route)| (*name, &route.mirrored));
    let routes: Vec<_> = routes
        .filter(|(_, mirrored)| !mirrored.total.is_empty())
        .collect();
    let mut family = out.family(
        "tollgate_mirror_exchanges_total",
        Kind::Counter,
        "Copies for a mirror that ended, by route, class of the answer's status and ending.",
    );
    for (name, mirrored) in &routes {
        by_status_and_ending(&mut family, name, &mirrored.exchanges);
    }
    let mut family = out.family(
        "tollgate_mirror_seconds",
        Kind::Histogram,
        "From a copy's beginning to its answer's end.",
    );
    for (name, mirrored) in &routes {
        family.histogram(&[("route", name)], &mirrored.total);
    }
    let mut family = out.family(
        "tollgate_mirror_bytes_total",
        Kind::Counter,
        "Bytes of bodies, of copies and their answers.",
    );
    for (name, mirrored) in &routes {
        for (direction, bytes) in [("in", &mirrored.bytes_in), ("out", &mirrored.bytes_out)] {
            family.sample(
                &[("route", name), ("direction", direction)],
                bytes.load(Ordering::Relaxed),
            );
        }
    }
    let mut family = out.family(
        "tollgate_mirror_tokens_total",
        Kind::Counter,
        "Tokens as the upstreams reported them for copies, by kind.",
    );
    for (name, mirrored) in &routes {
        for (kind, count) in mirrored.tokens.kinds() {
            family.sample(&[("route", name), ("kind", kind)], count);
        }
    }
}

fn renew<'a, T: Default>(former: &Named<T>, names: impl Iterator<Item = &'a str>) -> Named<T> {
    let mut known: Named<T> = names
        .map(|name| match former.get_key_value(name) {
            Some((name, counted)) => (Arc::clone(name), Arc::clone(counted)),
            None => (Arc::from(name), Arc::default()),
        })
        .collect();
    for (name, counted) in former {
        if known.len() >= FORMER_MAX {
            break;
        }
        known
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::clone(counted));
    }
    known
}

fn borrowed<T>(named: &Named<T>) -> BTreeMap<&str, &T> {
    named
        .iter()
        .map(|(name, counted)| (&**name, &**counted))
        .collect()
}

fn class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => class.into(),
        _ => 0,
    }
}

fn ending(ending: Ending) -> usize {
    ENDINGS
        .iter()
        .position(|known| *known == ending)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams: { up: { dialect: openai, endpoints: [\"http://127.0.0.1:1\"] } }
models: { known: { targets: [ { upstream: up } ] } }
routes: [ { name: chat, match: { path: /v1/chat/completions } } ]
";
        tollgate_config::parse_str(text, "t.yaml", std::path::Path::new("/")).unwrap()
    }

    fn rendered(counters: &Counters) -> String {
        let mut out = Exposition::default();
        counters.render(&mut out);
        out.into_text()
    }

    fn exchange(model: &str) -> Record {
        Record {
            route: Some("chat".into()),
            model: Some(model.to_owned()),
            status: 200,
            ending: Ending::Complete,
            usage: Some(Usage {
                input_tokens: 1,
                output_tokens: 2,
                cached_tokens: 0,
            }),
            ..Record::default()
        }
    }

    #[test]
    fn a_hundred_thousand_model_names_are_one_label() {
        let counters = Counters::default();
        counters.know(&config());
        let before = rendered(&counters).lines().count();
        for n in 0..100_000 {
            counters.count(&exchange(&format!("random-{n}")));
        }
        let text = rendered(&counters);
        assert_eq!(
            text.lines().count(),
            before + 1,
            "one more: the exchanges of the route"
        );
        assert!(
            text.contains("tollgate_tokens_total{model=\"other\",kind=\"output\"} 200000\n"),
            "{text}"
        );
    }

    #[test]
    fn each_try_counts_for_the_upstream_that_it_went_to() {
        let counters = Counters::default();
        counters.know(&config());
        let tried = |outcome| crate::serve::Try {
            upstream: "up".into(),
            endpoint: (outcome != TryOutcome::Unavailable).then(|| "http://a".into()),
            reason: Reason::First,
            outcome,
            took: std::time::Duration::ZERO,
        };
        counters.count(&Record {
            upstream: Some("up".into()),
            attempts: 2,
            reason: Reason::Retry,
            tries: vec![tried(TryOutcome::Status(503))],
            over_budget: 1,
            ..exchange("known")
        });
        counters.count(&Record {
            upstream: Some("up".into()),
            tries: vec![tried(TryOutcome::Unavailable)],
            ..exchange("known")
        });
        let text = rendered(&counters);
        for line in [
            "tollgate_upstream_attempts_total{upstream=\"up\",reason=\"first\"} 1\n",
            "tollgate_upstream_attempts_total{upstream=\"up\",reason=\"retry\"} 1\n",
            "tollgate_upstream_missed_total{upstream=\"up\",outcome=\"status\"} 1\n",
            "tollgate_upstream_missed_total{upstream=\"up\",outcome=\"unavailable\"} 1\n",
            "tollgate_upstream_over_budget_total{upstream=\"up\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn what_was_counted_under_a_name_goes_on_after_a_swap() {
        let counters = Counters::default();
        counters.know(&config());
        counters.count(&exchange("known"));
        counters.know(&config());
        counters.count(&exchange("known"));
        let text = rendered(&counters);
        let line =
            "tollgate_exchanges_total{route=\"chat\",status=\"2xx\",ending=\"complete\"} 2\n";
        assert!(text.contains(line), "{text}");
    }
}
