//! `model-router` on real traffic: where requests arrive, under which name, and what the
//! log says of it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    client::Ask,
    fixture::{Site, either_way},
    standard_plugins::{ADA, BOB, callers},
};

/// Chat requests through the policy `models` with these settings, in the format of the
/// configuration; two upstreams, which are both the stand-in.
fn routed(isolation: &str, settings: &str) -> String {
    with_policies(
        "models",
        &format!(
            "\n  models: {{ plugin: model-router, on_error: refuse, isolation: {isolation}, settings: {{ {settings} }} }}"
        ),
    )
}

fn with_policies(order: &str, policies: &str) -> String {
    format!(
        r#"policies:{policies}
upstreams:
  standin: {{ endpoints: [ "http://UPSTREAM" ] }}
  other: {{ endpoints: [ "http://UPSTREAM" ] }}
models:
  small: {{ targets: [ {{ upstream: standin }} ] }}
  chat-1: {{ targets: [ {{ upstream: standin, model: org/chat-1 }} ] }}
  chat-2: {{ targets: [ {{ upstream: other }} ] }}
routes:
  - {{ name: chat, match: {{ path: /v1/chat/completions }}, policies: [ {order} ] }}
  - {{ name: rest, match: {{ path: "/*" }}, upstream: standin, policies: [ {order} ] }}
"#
    )
}

/// What the upstream was told that the model is.
async fn arrives_as(site: &Site, ask: Ask) -> Value {
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    site.standin.seen().newest().unwrap().json()["model"].clone()
}

const RULES: &str = r#"aliases: { gpt-4: chat }, known_models: [ small ], version_separator: "@", country_header: x-country, rules: [
      { name: eu, when: { models: [ chat ], countries: [ DE ] }, then: { upstream: other } },
      { name: beta, when: { models: [ chat ], headers: { x-beta: [ "1" ] } }, then: { model: chat-2 } },
      { name: hot, when: { models: [ small ], json: { /temperature: { min: 1 } } }, then: { model: chat-1 } },
      { name: chat, when: { models: [ chat ] }, then: { by: [ { header: x-session } ], split: [ { version: "1", model: chat-1, weight: 1 }, { version: "2", model: chat-2, weight: 0 } ] } } ]"#;

/// The line of the log about the request with this id.
fn line<'a>(log: &'a [Value], id: &str) -> &'a Value {
    log.iter().find(|line| line["id"] == id).unwrap()
}

#[test]
fn requests_arrive_where_rules_lead_them_and_under_that_name() {
    either_way(async |isolation| {
        let site = Site::start(&routed(isolation, RULES)).await;
        let chat = |id: &str, model: &str| {
            let ask = site.chat().set("model", model);
            ask.header("x-request-id", id)
        };
        for (ask, name) in [
            (chat("no-rule", "small"), "small"),
            (chat("split", "chat"), "org/chat-1"),
            (chat("alias", "gpt-4"), "org/chat-1"),
            (chat("beta", "chat").header("x-beta", "1"), "chat-2"),
            (chat("pinned", "gpt-4@2"), "chat-2"),
            (chat("hot", "small").set("temperature", 1.5), "org/chat-1"),
            (chat("german", "gpt-4").header("x-country", "de"), "chat"),
        ] {
            assert_eq!(arrives_as(&site, ask).await, name, "{isolation}");
        }
        let stream = chat("stream", "chat").set("stream", true).stream().await;
        assert!(stream.collect().await.is_complete());

        let log = site.exchanges(8).await;
        let of_split = json!({
            "routed_by": "chat", "routed_arm": "1", "routed_version": "1", "routed_to": "chat-1",
        });
        let pinned = json!({
            "routed_by": "chat", "routed_arm": "2", "routed_version": "2", "routed_to": "chat-2",
        });
        for (id, upstream, facts) in [
            ("no-rule", "standin", Value::Null),
            ("split", "standin", of_split.clone()),
            ("alias", "standin", of_split.clone()),
            (
                "beta",
                "other",
                json!({ "routed_by": "beta", "routed_to": "chat-2" }),
            ),
            ("pinned", "other", pinned),
            (
                "hot",
                "standin",
                json!({ "routed_by": "hot", "routed_to": "chat-1" }),
            ),
            (
                "german",
                "other",
                json!({ "country": "DE", "routed_by": "eu", "routed_to": "chat via other" }),
            ),
            ("stream", "standin", of_split),
        ] {
            let line = line(&log, id);
            assert_eq!(
                (&line["upstream"], &line["facts"]),
                (&json!(upstream), &facts),
                "{id}"
            );
        }
        let asked = &line(&log, "alias")["model"];
        assert_eq!(asked, "gpt-4", "the log says what the client asked for");
        let routed = r#"tollgate_plugin_routed{policy="models",arm="1",rule="chat"}"#;
        site.metric_becomes(routed, 3.0).await;
    });
}

#[test]
fn a_model_that_is_not_there_is_a_404_and_reaches_no_one() {
    either_way(async |isolation| {
        let site = Site::start(&routed(isolation, RULES)).await;
        for (model, says) in [
            ("large", "the model `large` does not exist."),
            ("chat@3", "the model `chat` has no version `3`."),
        ] {
            let answer = site.chat().set("model", model).send().await;
            assert_eq!(answer.refusal(), (404, "model_not_found".to_owned()));
            let error = &answer.json()["error"];
            assert_eq!(error["type"], "invalid_request_error");
            assert_eq!(error["message"], format!("model-router: {says}"));
        }
        let nameless = site.chat().set("model", json!(null)).send().await;
        assert_eq!(nameless.refusal(), (400, "model_required".to_owned()));
        // Where the route has an upstream of its own, too: nothing else looks there.
        let elsewhere = site.ask("POST", "/v1/completions");
        let elsewhere = elsewhere.json(json!({ "model": "large", "prompt": "x" }));
        assert_eq!(
            elsewhere.send().await.refusal(),
            (404, "model_not_found".to_owned())
        );
        assert_eq!(site.standin.seen().requests, 0, "{isolation}");
        let listed = RULES.replace("known_models", "list_models: true, known_models");
        site.reconfigure(&routed(isolation, &listed)).await;
        let answer = site.chat().set("model", "large").send().await;
        assert!(
            answer.text().contains("Known: `small`."),
            "{}",
            answer.text()
        );
    });
}

#[tokio::test]
async fn a_tier_leads_as_the_policy_before_says_and_not_as_a_client_does() {
    let router = r#"
  models: { plugin: model-router, on_error: refuse, settings: { rules: [
      { name: team, when: { tiers: [ team ] }, then: { model: chat-2 } } ] } }"#;
    let policies = format!("{}{router}", callers());
    let site = Site::start(&with_policies("callers, models", &policies)).await;
    let by = |key: &str| {
        site.chat()
            .header("authorization", key)
            .header("tier", "team")
    };
    assert_eq!(arrives_as(&site, by(ADA)).await, "chat-2");
    assert_eq!(arrives_as(&site, by(BOB)).await, "small");
}

fn canary(isolation: &str, weights: [u32; 2]) -> String {
    let [stable, canary] = weights;
    let rule = format!(
        "{{ name: chat, then: {{ by: [ {{ header: x-session }} ], split: [ {{ name: stable, model: chat-1, weight: {stable} }}, {{ name: canary, model: chat-2, weight: {canary} }} ] }} }}"
    );
    routed(isolation, &format!("rules: [ {rule} ]"))
}

/// The sessions that the canary has, of so many.
async fn canaries(site: &Site, sessions: u32) -> Vec<u32> {
    let ask = |nth| site.chat().header("x-session", format!("caller-{nth}"));
    let asks: Vec<Ask> = (0..sessions).map(ask).collect();
    for some in asks.chunks(20) {
        for answer in join_all(some.iter().map(Ask::send)).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let seen = site.standin.seen();
    let newest = seen.last.iter().rev().take(asks.len());
    let mut canaries: Vec<u32> = newest
        .filter(|request| request.json()["model"] == "chat-2")
        .filter_map(|request| request.header("x-session")?.strip_prefix("caller-"))
        .map(|nth| nth.parse().unwrap())
        .collect();
    canaries.sort_unstable();
    canaries
}

#[test]
fn sessions_keep_their_arm_and_move_to_the_one_that_grows_alone() {
    either_way(async |isolation| {
        let site = Site::start(&canary(isolation, [95, 5])).await;
        let few = canaries(&site, 100).await;
        assert_eq!(few, [7, 21, 30, 53, 89], "as anywhere else");
        assert_eq!(canaries(&site, 100).await, few);
        let mut before = few;
        for weights in [[75, 25], [1, 3], [0, 1]] {
            site.reconfigure(&canary(isolation, weights)).await;
            let now = canaries(&site, 100).await;
            assert!(now.len() > before.len(), "{weights:?}: {now:?}");
            assert!(before.iter().all(|session| now.contains(session)));
            before = now;
        }
        assert_eq!(before.len(), 100);
    });
}

#[tokio::test]
async fn a_canary_of_a_tenth_has_its_share_within_three_standard_errors() {
    const SESSIONS: u32 = 2000;
    let site = Site::start(&canary("shared", [90, 10])).await;
    let canaries = canaries(&site, SESSIONS).await.len();
    let (expected, error) = (200.0, 180_f64.sqrt());
    let off = (canaries as f64 - expected).abs();
    assert!(off < 3.0 * error, "{canaries} of {SESSIONS}");
}

#[tokio::test]
async fn requests_shift_once_their_time_has_come() {
    let shifting = |at: &str| {
        let shift = format!("shift: {{ to: chat-2, steps: [ {{ at: \"{at}\", percent: 100 }} ] }}");
        let split = "split: [ { model: chat-1, weight: 1 }, { model: chat-2, weight: 0 } ]";
        routed(
            "exchange",
            &format!("rules: [ {{ name: chat, then: {{ by: [], {split}, {shift} }} }} ]"),
        )
    };
    let site = Site::start(&shifting("9999-01-01T00:00:00Z")).await;
    for _ in 0..5 {
        assert_eq!(arrives_as(&site, site.chat()).await, "org/chat-1");
    }
    site.reconfigure(&shifting("2020-01-01T00:00:00Z")).await;
    for _ in 0..5 {
        assert_eq!(arrives_as(&site, site.chat()).await, "chat-2");
    }
}

#[tokio::test]
async fn rules_with_a_mistake_do_not_go_live() {
    let site = Site::start(&routed("exchange", RULES)).await;
    for (rule, says) in [
        (
            "{ name: late, when: { models: [ chat ], tiers: [ x ] }, then: {} } ]",
            "`late` can never match: /rules/3 (`chat`) always does before",
        ),
        (
            "{ name: late, when: { models: [ x ], countries: [ DEU ] }, then: {} } ]",
            "expected the two letters of a country",
        ),
    ] {
        let rules = RULES.strip_suffix(" ]").unwrap();
        let config = routed("exchange", &format!("{rules}, {rule}"));
        site.write_config(&config);
        let refused = site.gateway.reload().await.unwrap_err();
        assert!(refused.message.contains(says), "{refused}");
    }
    assert_eq!(site.gateway.generation(), 1);
    assert_eq!(
        arrives_as(&site, site.chat().set("model", "gpt-4")).await,
        "org/chat-1"
    );
}

#[tokio::test]
async fn a_destination_that_is_not_configured_is_no_way_around() {
    let rules = "rules: [ { name: a, when: { models: [ a ] }, then: { upstream: nowhere } }, { name: b, when: { models: [ b ] }, then: { model: no-such } } ]";
    let site = Site::start(&routed("exchange", rules)).await;
    let ask = |model: &str| site.chat().set("model", model);
    assert_eq!(
        ask("a").send().await.refusal(),
        (500, "policy_failed".to_owned())
    );
    assert_eq!(
        ask("b").send().await.refusal(),
        (404, "model_not_found".to_owned())
    );
    assert_eq!(site.standin.seen().requests, 0);
}
