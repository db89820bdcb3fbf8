//! What the gates before upstreams have seen, in the Prometheus text format.
//!
//! The label `upstream` is empty for the gate before all of them together. Gates that do not
//! stand have no samples.

use tollgate_upstreams::admission::{Counts, Reason};

use crate::{
    serve::{Gauges, Generation},
    telemetry::exposition::{Exposition, Kind},
};

/// A family of one value a gate.
type One = (&'static str, Kind, &'static str, fn(&Counts) -> f64);

const EACH: [One; 7] = [
    (
        "tollgate_gate_limit",
        Kind::Gauge,
        "Requests that are let in at once.",
        |counts| counts.limit as f64,
    ),
    (
        "tollgate_gate_in_use",
        Kind::Gauge,
        "Requests that were let in and have not ended.",
        |counts| counts.in_use as f64,
    ),
    (
        "tollgate_gate_waiting",
        Kind::Gauge,
        "Requests that wait for their turn.",
        |counts| counts.waiting as f64,
    ),
    (
        "tollgate_gate_admitted_total",
        Kind::Counter,
        "Requests that were let in.",
        |counts| counts.admitted as f64,
    ),
    (
        "tollgate_gate_waited_total",
        Kind::Counter,
        "Of them, those that had to wait.",
        |counts| counts.waited as f64,
    ),
    (
        "tollgate_gate_wait_seconds_total",
        Kind::Counter,
        "How long those waited.",
        |counts| counts.wait.as_secs_f64(),
    ),
    (
        "tollgate_gate_left_total",
        Kind::Counter,
        "Requests whose client left while they waited.",
        |counts| counts.left as f64,
    ),
];

pub(super) fn render(live: &Generation, gauges: &Gauges, out: &mut Exposition) {
    out.single(
        "tollgate_exchanges_turned_away_total",
        Kind::Counter,
        "Exchanges that were refused because too many were open.",
        gauges.turned_away(),
    );
    let all = live.gate.iter().map(|gate| ("", gate.counts()));
    let mut gates: Vec<_> = live
        .upstreams()
        .filter_map(|(name, upstream)| Some((name.as_str(), upstream.door.as_ref()?.counts())))
        .chain(all)
        .collect();
    gates.sort_unstable_by_key(|(upstream, _)| *upstream);
    for (name, kind, help, value) in EACH {
        let mut family = out.family(name, kind, help);
        for (upstream, counts) in &gates {
            family.sample(&[("upstream", upstream)], value(counts));
        }
    }
    let mut family = out.family(
        "tollgate_gate_refused_total",
        Kind::Counter,
        "Requests that were not let in, by why.",
    );
    for (upstream, counts) in &gates {
        for (reason, count) in Reason::ALL.iter().zip(counts.refused) {
            let labels = [("upstream", *upstream), ("reason", reason.as_str())];
            family.sample(&labels, count);
        }
    }
}
