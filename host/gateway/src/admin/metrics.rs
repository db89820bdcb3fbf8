//! Everything that is counted, in the Prometheus text format.

use std::sync::atomic::Ordering;

use tollgate_capabilities::CacheStats;
use tollgate_sandbox::{Hook, Policy, PolicyStats};

use super::{Admin, gates, upstreams};
use crate::{
    serve::NotMirrored,
    telemetry::exposition::{Exposition, Family, Kind},
};

pub(super) fn render(admin: &Admin) -> String {
    let mut out = Exposition::default();
    process(admin, &mut out);
    watchers(admin, &mut out);
    admin.control.render(&mut out);
    admin.exchanges.render(&mut out);
    let live = admin.shared.generation.load();
    let stats: Vec<_> = live
        .policies
        .values()
        .map(|policy| (&**policy, policy.stats()))
        .collect();
    policies(&stats, &mut out);
    upstreams::render(&live, &mut out);
    gates::render(&live, &admin.shared.gauges, &mut out);
    admin.plugin_metrics.render(out.text_mut());
    out.into_text()
}

fn watchers(admin: &Admin, out: &mut Exposition) {
    let watchers = &admin.shared.watchers;
    out.single(
        "tollgate_trace_watchers",
        Kind::Gauge,
        "Those who watch exchanges.",
        watchers.len(),
    );
    let mut family = out.family(
        "tollgate_traces_lost_total",
        Kind::Counter,
        "Exchanges that a watcher was not shown, by reason.",
    );
    for (reason, lost) in watchers.lost() {
        family.sample(&[("reason", reason)], lost);
    }
}

fn process(admin: &Admin, out: &mut Exposition) {
    let mut family = out.family("tollgate_info", Kind::Gauge, "The version that runs.");
    family.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.single(
        "tollgate_generation",
        Kind::Gauge,
        "The generation that serves.",
        admin.shared.generation.load().id,
    );
    let mut family = out.family(
        "tollgate_generations",
        Kind::Gauge,
        "Generations alive, by state.",
    );
    let shown = admin.status.generations.shown();
    for state in ["live", "draining"] {
        family.sample(
            &[("state", state)],
            shown.iter().filter(|shown| shown.state == state).count(),
        );
    }
    out.single(
        "tollgate_looks_total",
        Kind::Counter,
        "Times that the files were read.",
        admin.status.looks(),
    );
    let refused = admin
        .status
        .last_refusal()
        .is_some_and(|refusal| refusal.stands);
    out.single(
        "tollgate_change_refused",
        Kind::Gauge,
        "1: the files as they are were refused, and an older generation serves.",
        u8::from(refused),
    );
    passing(admin, out);
    out.single(
        "tollgate_log_lines_dropped_total",
        Kind::Counter,
        "Lines that the access log's reader did not take in time.",
        admin
            .access
            .as_ref()
            .map_or(0, crate::telemetry::Lines::dropped),
    );
    answers(&admin.shared.cache.stats(), out);
    let mut family = out.family(
        "tollgate_plugin_log_lines_dropped_total",
        Kind::Counter,
        "Lines of a policy beyond what it may log.",
    );
    for (policy, dropped) in admin.plugin_log.dropped() {
        family.sample(&[("policy", &policy)], dropped);
    }
    out.single(
        "tollgate_admin_requests_total",
        Kind::Counter,
        "Requests to this port.",
        admin.requests.load(Ordering::Relaxed),
    );
}

/// What is open.
fn passing(admin: &Admin, out: &mut Exposition) {
    let gauges = &admin.shared.gauges;
    out.single(
        "tollgate_connections_open",
        Kind::Gauge,
        "Connections from clients.",
        gauges.connections(),
    );
    out.single(
        "tollgate_exchanges_open",
        Kind::Gauge,
        "Exchanges that have not ended.",
        gauges.exchanges(),
    );
    out.single(
        "tollgate_streams_open",
        Kind::Gauge,
        "Event streams on their way to a client.",
        gauges.streams(),
    );
    out.single(
        "tollgate_tasks",
        Kind::Gauge,
        "Tasks alive: of connections, exchanges, and the gateway's own.",
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
    );
    out.single(
        "tollgate_upgrades_open",
        Kind::Gauge,
        "Connections that changed their protocol, or are about to.",
        gauges.upgrades(),
    );
    out.single(
        "tollgate_upgrades_refused_total",
        Kind::Counter,
        "Upgrades that were one too many.",
        gauges.upgrades_refused(),
    );
    let bodies = &admin.shared.bodies;
    out.single(
        "tollgate_request_bodies_bytes",
        Kind::Gauge,
        "Bodies of requests that are held whole.",
        bodies.held(),
    );
    out.single(
        "tollgate_request_bodies_refused_total",
        Kind::Counter,
        "Requests whose bodies found no room.",
        bodies.refused(),
    );
    let mirrors = &admin.shared.mirrors;
    out.single(
        "tollgate_mirrors_open",
        Kind::Gauge,
        "Copies of requests that are under way.",
        mirrors.under_way(),
    );
    let mut family = out.family(
        "tollgate_mirror_left_out_total",
        Kind::Counter,
        "Requests that were to be copied and were not, by why.",
    );
    for why in NotMirrored::ALL {
        family.sample(&[("reason", why.as_str())], mirrors.left_out(why));
    }
}

fn answers(stats: &CacheStats, out: &mut Exposition) {
    out.single(
        "tollgate_cache_answers",
        Kind::Gauge,
        "Answers that are kept.",
        stats.answers,
    );
    out.single(
        "tollgate_cache_bytes",
        Kind::Gauge,
        "What the answers that are kept take.",
        stats.bytes,
    );
    out.single(
        "tollgate_cache_stored_total",
        Kind::Counter,
        "Answers that were stored.",
        stats.stored,
    );
    out.single(
        "tollgate_cache_evicted_total",
        Kind::Counter,
        "Answers that had to go before their time was over.",
        stats.evicted,
    );
}

/// A family of one value a policy.
type One = (&'static str, Kind, &'static str, fn(&PolicyStats) -> u64);
type Stats<'a> = [(&'a Policy, PolicyStats)];

/// Families of one value a policy.
const EACH: [One; 10] = [
    (
        "tollgate_policy_remembered_total",
        Kind::Counter,
        "Requests for which a policy was not asked, since its decision was remembered.",
        |stats| stats.remembered,
    ),
    (
        "tollgate_policy_instances_made_total",
        Kind::Counter,
        "Instances made.",
        |stats| stats.instances_made,
    ),
    (
        "tollgate_policy_instances_late_total",
        Kind::Counter,
        "Instances made while an exchange waited.",
        |stats| stats.instances_late,
    ),
    (
        "tollgate_policy_instances",
        Kind::Gauge,
        "Instances alive.",
        |stats| stats.live,
    ),
    (
        "tollgate_policy_memory_peak_bytes",
        Kind::Gauge,
        "The most memory that an instance had.",
        |stats| stats.memory_peak_bytes,
    ),
    (
        "tollgate_policy_instances_ready",
        Kind::Gauge,
        "Instances that wait for an exchange.",
        |stats| stats.ready,
    ),
    (
        "tollgate_policy_memory_refused_total",
        Kind::Counter,
        "Times that an instance asked for more memory than it may have.",
        |stats| stats.memory_refused,
    ),
    (
        "tollgate_policy_log_lines_refused_total",
        Kind::Counter,
        "Log lines beyond the bound of an exchange.",
        |stats| stats.log_dropped,
    ),
    (
        "tollgate_policy_host_calls_total",
        Kind::Counter,
        "Calls of capabilities.",
        |stats| stats.host_calls,
    ),
    (
        "tollgate_policy_quarantined",
        Kind::Gauge,
        "1: it failed too often and is not asked.",
        |stats| u64::from(stats.quarantined),
    ),
];

fn policies(stats: &Stats<'_>, out: &mut Exposition) {
    let family = out.family(
        "tollgate_policy_calls_total",
        Kind::Counter,
        "Hooks called since the policy was loaded.",
    );
    by_hook(family, stats, |stats, hook| stats.calls[hook] as f64);
    let family = out.family(
        "tollgate_policy_seconds_total",
        Kind::Counter,
        "Time in hooks since the policy was loaded.",
    );
    by_hook(family, stats, |stats, hook| stats.nanos[hook] as f64 / 1e9);
    let mut family = out.family(
        "tollgate_policy_errors_total",
        Kind::Counter,
        "Hooks that gave no decision, by why.",
    );
    for (policy, stats) in stats {
        for (failure, count) in PolicyStats::FAILURES.iter().zip(stats.failures) {
            family.sample(&[("policy", policy.name()), ("error", failure)], count);
        }
    }
    for (name, kind, help, value) in EACH {
        let mut family = out.family(name, kind, help);
        for (policy, stats) in stats {
            family.sample(&[("policy", policy.name())], value(stats));
        }
    }
}

fn by_hook(mut family: Family<'_>, stats: &Stats<'_>, value: fn(&PolicyStats, usize) -> f64) {
    for (policy, stats) in stats {
        for (index, hook) in Hook::ALL.into_iter().enumerate() {
            if stats.calls[index] > 0 {
                family.sample(
                    &[("policy", policy.name()), ("hook", hook.label())],
                    value(stats, index),
                );
            }
        }
    }
}
