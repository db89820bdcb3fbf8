//! Upstreams of one name, one generation after the other.

use std::sync::Arc;

use tollgate_config::Endpoint;
use tollgate_upstreams::{
    discovery::{DiscoveryError, Found},
    load,
};

use super::{Clients, Longest, Upstream};

fn found(url: &str, last: u8) -> Vec<Found> {
    let endpoint = Endpoint::parse(url).unwrap();
    let address = ([10, 0, 0, last], endpoint.port()).into();
    vec![Found {
        endpoint,
        address: Some(address),
    }]
}

fn labels(upstream: &Upstream) -> Vec<String> {
    let endpoints = upstream.endpoints();
    endpoints.iter().map(|one| one.label.to_string()).collect()
}

/// One that is live after it was built by what is known.
fn next(clients: &Clients, text: &str) -> Arc<Upstream> {
    let asked = Upstream::candidate(clients, text, Vec::new());
    let endpoints = &asked.written.endpoints;
    let fleet = clients.fleet("u");
    let known = match fleet.known(endpoints) {
        known if known.is_empty() => fleet.last_found(endpoints),
        known => known,
    };
    let upstream = Upstream::candidate(clients, text, known);
    upstream.go_live();
    upstream
}

#[tokio::test]
async fn a_candidate_changes_nothing_before_it_is_live() {
    let clients = Clients::new();
    let text = |decay: &str, pause: &str| {
        format!(
            "{{ endpoints: [ \"http://a\" ], balance: {{ peak-ewma: {{ decay: {decay} }} }}, \
               health: {{ breaker: {{ pause: {pause} }} }} }}"
        )
    };
    let (before, after) = (text("5s", "5s"), text("6s", "6s"));
    let alike = |one: &Upstream, other: &Upstream| {
        let [one_load, other_load] = [one, other].map(|of| of.endpoints()[0].load.clone());
        let [one, other] = [one, other].map(|of| of.care.breaker.clone().unwrap());
        (
            Arc::ptr_eq(&one_load, &other_load),
            Arc::ptr_eq(&one, &other),
        )
    };
    let live = Upstream::candidate(&clients, &before, Vec::new());
    live.go_live();
    let refused = Upstream::candidate(&clients, &after, Vec::new());
    assert_eq!(alike(&live, &refused), (false, false));
    drop(refused);
    let same = Upstream::candidate(&clients, &before, Vec::new());
    assert_eq!(alike(&live, &same), (true, true));

    let other = Upstream::candidate(&clients, &after, Vec::new());
    other.go_live();
    let same = Upstream::candidate(&clients, &after, Vec::new());
    assert_eq!(alike(&other, &same), (true, true));
}

#[tokio::test]
async fn a_candidate_with_other_connections_takes_nobody_elses() {
    let clients = Clients::new();
    let text = "{ endpoints: { dns: \"http://a.test\" } }";
    let live = Upstream::candidate(&clients, text, found("http://a.test", 1));
    live.go_live();
    let way = |connect: u64| {
        let longest = Longest::to_connect(std::time::Duration::from_secs(connect));
        let ways = clients.ways(&live.written, longest).unwrap();
        ways.to(&found("http://a.test", 1)[0].endpoint).clone()
    };
    let state = live.endpoints()[0].state.clone();
    let found = &found("http://a.test", 1)[0];
    let load = load::Settings::of(&live.written.balance);
    let make = |connect| {
        let (label, way) = (found.label(), way(connect));
        super::Endpoint::new(found, label, state.clone(), (&way, load)).unwrap()
    };
    assert!(state.is_pinned(&way(1)));
    let other = make(9);
    assert!(state.is_pinned(&way(1)));
    other.take_over();
    assert!(state.is_pinned(&way(9)));
}

#[tokio::test]
async fn what_the_dns_told_stays_while_the_name_is_the_same() {
    let clients = Clients::new();
    let dns = |more: &str| format!("{{ endpoints: {{ dns: \"http://a.test:8000\"{more} }} }}");
    let live = Upstream::candidate(&clients, &dns(""), found("http://a.test:8000", 1));
    live.go_live();
    let same = ["http://a.test:8000 at 10.0.0.1:8000"];
    for more in [
        ", refresh: 1s",
        ", timeout: 1s",
        ", resolver: \"10.0.0.53:53\"",
        "",
    ] {
        assert_eq!(labels(&next(&clients, &dns(more))), same, "{more}");
    }
    let moved = next(
        &clients,
        "{ endpoints: { dns: \"http://a.test:8000/v1\" } }",
    );
    assert_eq!(labels(&moved), ["http://a.test:8000/v1 at 10.0.0.1:8000"]);
    next(&clients, "{ endpoints: [ \"http://b\" ] }");
    assert_eq!(labels(&next(&clients, &dns(""))), same);
}

#[tokio::test]
async fn what_was_found_for_a_candidate_that_is_refused_is_forgotten() {
    let clients = Clients::new();
    let text = |name: &str| format!("{{ endpoints: {{ dns: \"http://{name}\" }} }}");
    let live = Upstream::candidate(&clients, &text("a.test"), found("http://a.test", 1));
    live.go_live();
    let refused = Upstream::candidate(&clients, &text("b.test"), found("http://b.test", 2));
    let fleet = clients.fleet("u");
    assert_eq!(fleet.known(&live.written.endpoints).len(), 1);
    assert_eq!(fleet.known(&refused.written.endpoints), []);
    assert_eq!(fleet.last_found(&refused.written.endpoints), []);
}

#[tokio::test]
async fn what_is_found_while_a_candidate_is_made_is_not_lost() {
    let clients = Clients::new();
    let text = "{ endpoints: { dns: \"http://a.test\" } }";
    let live = Upstream::candidate(&clients, text, found("http://a.test", 1));
    live.go_live();
    let known = clients.fleet("u").known(&live.written.endpoints);
    live.care
        .fleet
        .renew(&live.written.endpoints, &found("http://a.test", 2));
    let next = Upstream::candidate(&clients, text, known);
    next.go_live();
    assert_eq!(labels(&next), ["http://a.test at 10.0.0.2:80"]);
}

#[tokio::test]
async fn a_change_is_for_all_that_look_there_and_only_while_the_live_one_does() {
    let clients = Clients::new();
    let text = |path: &str| format!("{{ endpoints: {{ dns: \"http://a.test{path}\" }} }}");
    let old = Upstream::candidate(&clients, &text(""), found("http://a.test", 1));
    old.go_live();
    let new = next(&clients, &text("/v1"));
    let fleet = clients.fleet("u");
    assert!(fleet.renew(&old.written.endpoints, &found("http://a.test", 2)));
    assert_eq!(labels(&old), ["http://a.test at 10.0.0.2:80"]);
    assert_eq!(labels(&new), ["http://a.test/v1 at 10.0.0.2:80"]);
    assert_eq!(fleet.ward.available(), 1);

    let listed = next(&clients, "{ endpoints: [ \"http://b\", \"http://c\" ] }");
    assert!(!fleet.renew(&old.written.endpoints, &found("http://a.test", 3)));
    assert_eq!(labels(&old), ["http://a.test at 10.0.0.2:80"]);
    assert_eq!(labels(&listed), ["http://b", "http://c"]);
    assert_eq!(fleet.ward.available(), 2);
}

#[tokio::test]
async fn what_is_found_while_a_look_fails_is_not_lost_and_nothing_replaces_it() {
    let clients = Clients::new();
    let text = "{ endpoints: { dns: \"http://a.test\" } }";
    let live = Upstream::candidate(&clients, text, Vec::new());
    live.go_live();
    let failed = (
        Vec::new(),
        Some(Err(DiscoveryError::Empty("a.test".to_owned()))),
    );
    let next = Upstream::looked_for(&clients, text, failed);
    live.care
        .fleet
        .renew(&live.written.endpoints, &found("http://a.test", 2));
    next.go_live();
    assert_eq!(labels(&next), ["http://a.test at 10.0.0.2:80"]);
    // Its task would tell only of what differs from what it found, and not that it mended.
    assert!(!next.is_told_as(&live));
    assert!(Upstream::candidate(&clients, text, next.found()).is_told_as(&next));
}

#[tokio::test]
async fn what_left_is_known_no_more_and_may_be_what_remains() {
    let clients = Clients::new();
    let text = "{ endpoints: { dns: \"http://a.test\" } }";
    let live = Upstream::candidate(&clients, text, found("http://a.test", 1));
    live.go_live();
    let fleet = clients.fleet("u");
    // One that is not live retires nobody.
    Upstream::candidate(&clients, text, Vec::new()).retire();
    assert_eq!(fleet.known(&live.written.endpoints).len(), 1);
    live.retire();
    assert_eq!(fleet.known(&live.written.endpoints), []);
    assert_eq!(fleet.last_found(&live.written.endpoints).len(), 1);
}

#[tokio::test]
async fn endpoints_that_stay_are_the_same_ones() {
    let clients = Clients::new();
    let text = "{ endpoints: { dns: \"http://a.test\" }, balance: peak-ewma }";
    let live = Upstream::candidate(&clients, text, found("http://a.test", 1));
    live.go_live();
    let other = text.replace("peak-ewma", "model-aware");
    let old = Upstream::candidate(&clients, &other, found("http://a.test", 1));
    let before = old.endpoints();
    let both = [found("http://a.test", 1), found("http://a.test", 2)].concat();
    live.care.fleet.renew(&live.written.endpoints, &both);
    let after = old.endpoints();
    assert_eq!(after.len(), 2);
    assert!(Arc::ptr_eq(&before[0].load, &after[0].load));
}
