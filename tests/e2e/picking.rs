//! A policy that scores endpoints, on a running gateway.

use serde_json::json;
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::fixture::{Site, either_way};

async fn fresh() -> Standin {
    let options = StandinOptions::behaving("tokens=2").unwrap();
    let addr = ([127, 0, 0, 1], 0).into();
    Standin::start(addr, options).await.unwrap()
}

/// With the policy at the model's target.
fn at_the_target(servers: &[Standin], isolation: &str) -> String {
    config(servers, isolation)
        .replace("TARGET", "policies: [ affinity ]")
        .replace("ROUTE", "match: { path: /v1/chat/completions }")
}

/// With the policy at the upstream, where a route leads that knows no model.
fn at_the_upstream(servers: &[Standin], isolation: &str) -> String {
    config(servers, isolation)
        .replace(" ] }\nmodels", " ], policies: [ affinity ] }\nmodels")
        .replace(", TARGET", "")
        .replace("ROUTE", "upstream: u")
}

fn config(servers: &[Standin], isolation: &str) -> String {
    let urls: Vec<_> = servers
        .iter()
        .map(|server| format!("\"{}\"", server.url()))
        .collect();
    format!(
        "policies:
  affinity: {{ plugin: prefix-affinity, on_error: bypass, isolation: {isolation}, grants: {{ endpoints: true }} }}
upstreams:
  u: {{ endpoints: [ {} ] }}
models:
  small: {{ targets: [ {{ upstream: u, TARGET }} ] }}
routes: [ {{ ROUTE }} ]
",
        urls.join(", ")
    )
}

/// Which of the servers answered this prompt.
async fn ask(site: &Site, servers: &[Standin], prompt: &str) -> usize {
    let counts = || servers.iter().map(|server| server.seen().requests);
    let before: Vec<_> = counts().collect();
    let body = json!({ "model": "small", "messages": [{ "role": "system", "content": prompt }] });
    let answer = site.chat().json(body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let grew = counts().zip(before).position(|(now, before)| now > before);
    grew.unwrap()
}

#[test]
fn prompts_that_begin_alike_go_to_one_endpoint_and_to_another_when_that_is_gone() {
    alike_go_to_one(at_the_target);
}

#[test]
fn a_policy_of_an_upstream_picks_where_the_route_leads_there_and_to_no_model() {
    alike_go_to_one(at_the_upstream);
}

fn alike_go_to_one(config: fn(&[Standin], &str) -> String) {
    either_way(async |isolation| {
        let mut servers = vec![fresh().await, fresh().await, fresh().await];
        let site = Site::start(&config(&servers, isolation)).await;
        let mut used = [false; 3];
        let mut homes = Vec::new();
        for nth in 0..12 {
            let prompt = format!("You are assistant number {nth}.");
            let home = ask(&site, &servers, &prompt).await;
            for _ in 0..3 {
                assert_eq!(ask(&site, &servers, &prompt).await, home, "{prompt}");
            }
            used[home] = true;
            homes.push((prompt, home));
        }
        assert!(used.iter().filter(|used| **used).count() > 1, "{used:?}");
        let gone = homes[0].1;
        servers.remove(gone).stop().await;
        let home = ask(&site, &servers, &homes[0].0).await;
        assert_eq!(ask(&site, &servers, &homes[0].0).await, home);
    });
}

#[test]
fn a_policy_that_fails_while_it_scores_leaves_the_choice_or_refuses_as_its_operator_said() {
    either_way(async |isolation| {
        let servers = [fresh().await, fresh().await];
        let failing = at_the_target(&servers, isolation)
            .replace("grants: {", "limits: { host_calls: 1 }, grants: {");
        let site = Site::start(&failing).await;
        for nth in 0..4 {
            ask(&site, &servers, &format!("You are assistant number {nth}.")).await;
        }
        let asked = servers.each_ref().map(|server| server.seen().requests);
        assert_eq!(asked, [2, 2], "in turn, as without it");
        let failures = site.metric("tollgate_policy_errors_total").await;
        assert!(failures >= 4.0, "{failures}");

        let strict = failing.replace("on_error: bypass", "on_error: refuse");
        site.reconfigure(&strict).await;
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 500, "{}", answer.text());
        let asked = servers.each_ref().map(|server| server.seen().requests);
        assert_eq!(asked, [2, 2]);
    });
}
