//! `api-keys`, `model-rules` and `token-budget`, each and together, on real traffic.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixture::{Site, chat_through};

fn hash(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `api-keys` with Ada of the tier `team` and Bob of the tier `trial`.
pub(crate) fn callers() -> String {
    let (ada, bob) = (hash("key-of-ada"), hash("key-of-bob"));
    format!(
        r#"
  callers:
    plugin: api-keys
    on_error: refuse
    settings: {{ keys: [ {{ sha256: {ada}, caller: ada, tier: team }}, {{ sha256: {bob}, caller: bob, tier: trial }} ] }}"#
    )
}

/// `model-rules` with one rule.
fn for_every_model(rule: &str) -> String {
    format!(
        r#"
  rules:
    plugin: model-rules
    on_error: refuse
    settings: {{ rules: [ {{ models: [ "*" ], {rule} }} ] }}"#
    )
}

pub(crate) const ADA: &str = "Bearer key-of-ada";
pub(crate) const BOB: &str = "Bearer key-of-bob";

#[tokio::test]
async fn a_known_key_is_let_in_and_names_its_caller_to_those_behind() {
    let probe = "\n  probe: { PROBE, on_error: refuse, settings: { seen: { x-caller: caller, x-tier: tier } } }";
    let site = Site::start(&chat_through(
        "callers, probe",
        &format!("{}{probe}", callers()),
    ))
    .await;
    assert_eq!(
        site.chat().header("authorization", ADA).send().await.status,
        200
    );
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    assert_eq!(
        (request.header("x-caller"), request.header("x-tier")),
        (Some("ada"), Some("team"))
    );
    assert_eq!(request.header("x-caller-in-head"), Some("ada"));
    assert_eq!(
        request.header("authorization"),
        None,
        "the key goes no further"
    );
    let log = site.access_log(1).await;
    assert!(
        log.contains(r#""caller":"ada""#) && !log.contains("key-of-ada"),
        "{log}"
    );
}

#[tokio::test]
async fn the_log_names_the_caller_of_a_request_that_led_nowhere() {
    let site = Site::start(&chat_through("callers", &callers())).await;
    for (model, code) in [
        (json!("no-such"), "model_not_found"),
        (json!(null), "model_required"),
    ] {
        let ask = site.chat().header("authorization", ADA).set("model", model);
        assert_eq!(ask.send().await.error_code(), code);
    }
    for line in site.exchanges(2).await {
        assert_eq!(line["facts"]["caller"], "ada", "{line}");
    }
}

#[tokio::test]
async fn a_stream_holds_no_instance_that_has_seen_all_it_will() {
    let site = Site::start(&chat_through("callers", &callers())).await;
    let alive = "tollgate_policy_instances{policy=\"callers\"";
    let ready = "tollgate_policy_instances_ready{policy=\"callers\"";
    let at_first = site.metric(alive).await;
    let ask = site.streamed().header("authorization", ADA);
    let mut stream = ask.behaving("pace=100ms,tokens=30").stream().await;
    stream.next().await.expect("an event");
    // It is put back, or another is made when it is thrown away: all there are wait.
    site.metric_becomes(ready, at_first).await;
    assert_eq!(site.metric(alive).await, at_first);
    stream.next().await.expect("the stream goes on");
}

#[tokio::test]
async fn what_a_policy_did_before_a_stream_let_go_of_it_is_in_the_log() {
    let policies = &for_every_model("response: { headers: { set: { x-rules: \"applied\" } } }");
    let site = Site::start(&chat_through("rules", policies)).await;
    let stream = site.streamed().stream().await;
    assert_eq!(stream.header("x-rules"), Some("applied"));
    assert!(stream.collect().await.is_complete());
    let line = &site.exchanges(1).await[0];
    let rules = &line["policies"][0];
    assert_eq!(
        (&rules["policy"], &rules["edits"]),
        (&json!("rules"), &json!(1))
    );
    assert_eq!(rules["decided"], "next");
}

#[tokio::test]
async fn every_other_credential_is_refused_and_reaches_no_one() {
    let site = Site::start(&chat_through("callers", &callers())).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (401, "missing_api_key".to_owned()));
    assert_eq!(answer.json()["error"]["type"], "authentication_error");
    for credential in [
        "Bearer wrong",
        "Bearer key-of-ad",
        "Bearer key-of-adaa",
        "Bearer KEY-OF-ADA",
        "Basic key-of-ada",
        "key-of-ada",
        "Bearer",
        "Bearer ",
        "Bearer key-of-ada, Bearer key-of-ada",
        "Bearer ' OR 1=1 --",
        "Bearer key-of-ada\tx",
    ] {
        let answer = site.chat().header("authorization", credential).send().await;
        let (status, code) = answer.refusal();
        assert_eq!(status, 401, "{credential}");
        assert!(
            ["missing_api_key", "invalid_api_key"].contains(&code.as_str()),
            "{credential}: {code}"
        );
    }
    let two = site
        .chat()
        .header("authorization", "Bearer wrong")
        .header("authorization", ADA)
        .send()
        .await;
    assert_eq!(two.status, 401);
    let bytes = site
        .chat()
        .header("authorization", b"Bearer \xff\xfe".to_vec())
        .send()
        .await;
    assert_eq!(bytes.status, 401);
    let in_query = site
        .ask("POST", "/v1/chat/completions?api_key=key-of-ada")
        .json(json!({ "model": "small" }))
        .send()
        .await;
    assert_eq!(in_query.status, 401);
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test]
async fn a_key_that_is_taken_out_is_refused_from_the_next_request_on() {
    let both = chat_through("callers", &callers());
    let site = Site::start(&both).await;
    assert_eq!(
        site.chat().header("authorization", BOB).send().await.status,
        200
    );
    site.reconfigure(&both.replace(&hash("key-of-bob"), &hash("another")))
        .await;
    assert_eq!(
        site.chat().header("authorization", BOB).send().await.status,
        401
    );
    assert_eq!(
        site.chat().header("authorization", ADA).send().await.status,
        200
    );
}

const RULES: &str = r#"
  rules:
    plugin: model-rules
    on_error: refuse
    settings:
      rules:
        - models: [ "assistant*" ]
          request:
            alias: small
            rename: { /max_tokens: /max_completion_tokens }
            clamp: { /temperature: { max: 0.5 } }
            default: { /top_p: 0.9 }
            set: { /metadata: { team: rivers } }
            remove: [ /user ]
            prepend_system: Answer in one sentence.
            headers: { set: { x-rules: "applied" } }
          response:
            set: { /served_by: tollgate }
            headers: { set: { x-rules: "applied" } }
          events:
            replace_text: [ { from: three, to: four } ]
            set: { /served_by: tollgate }
      cases:
        - name: an alias
          request: { body: { model: assistant, messages: [] } }
          expect: { body: { model: small, top_p: 0.9, metadata: { team: rivers }, messages: [ { role: system, content: Answer in one sentence. } ] } }"#;

#[tokio::test]
async fn rules_of_a_model_change_request_response_and_events() {
    let site = Site::start(&chat_through("rules", RULES)).await;
    let ask = site
        .chat()
        .set("model", "assistant-2")
        .set("user", "ada")
        .set("temperature", 2)
        .set("max_tokens", 7);
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["served_by"], "tollgate");
    assert_eq!(answer.header("x-rules"), Some("applied"));
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    let body = request.json();
    assert_eq!(request.header("x-rules"), Some("applied"));
    assert_eq!(
        (&body["model"], &body["temperature"], &body["top_p"]),
        (&json!("small"), &json!(0.5), &json!(0.9))
    );
    assert_eq!(
        (&body["max_tokens"], &body["max_completion_tokens"]),
        (&json!(null), &json!(7))
    );
    assert_eq!(
        (&body["user"], &body["metadata"]["team"]),
        (&json!(null), &json!("rivers"))
    );
    assert_eq!(
        body["messages"][0],
        json!({ "role": "system", "content": "Answer in one sentence." })
    );
    assert_eq!(body["messages"][1]["content"], "Name three rivers.");
    let stream = ask.set("stream", true).stream().await.collect().await;
    assert!(stream.is_complete(), "{stream:?}");
    assert!(stream.text().contains("Name four rivers."), "{stream:?}");
    let chunks: Vec<Value> = stream
        .events
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok())
        .collect();
    assert!(
        chunks.iter().all(|chunk| chunk["served_by"] == "tollgate"),
        "{stream:?}"
    );
    // A model without a rule is left alone.
    let plain = site.chat().set("user", "ada").send().await;
    assert_eq!(
        (plain.json()["served_by"].clone(), plain.header("x-rules")),
        (json!(null), None)
    );
    assert_eq!(site.standin.seen().newest().unwrap().json()["user"], "ada");
}

#[tokio::test]
async fn rules_that_leave_responses_alone_are_never_shown_one() {
    let policies = &for_every_model("request: { set: { /user: rivers } }");
    let site = Site::start(&chat_through("rules", policies)).await;
    let ask = site.chat();
    assert_eq!(ask.send().await.status, 200);
    let stream = ask.set("stream", true).stream().await.collect().await;
    assert!(stream.is_complete(), "{stream:?}");
    assert_eq!(
        site.standin.seen().newest().unwrap().json()["user"],
        "rivers"
    );
    let told = site.look("/policies").await.json();
    assert_eq!(
        told["policies"][0]["hooks"],
        json!(["on_request", "on_attempt"])
    );
    let metrics = site.look("/metrics").await.text();
    for (hook, calls) in [("request", "2"), ("response", "0"), ("events", "0")] {
        let called = format!("tollgate_policy_calls_total{{policy=\"rules\",hook=\"{hook}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&called));
        assert_eq!(count.unwrap_or("0"), calls, "{hook}");
    }
    // Rules that do change a stream are shown it from the swap on.
    site.write_config(&chat_through("rules", RULES));
    site.gateway.reload().await.unwrap();
    let told = site.look("/policies").await.json();
    assert_eq!(
        told["policies"][0]["hooks"].as_array().map(Vec::len),
        Some(4)
    );
}

#[tokio::test]
async fn rules_whose_cases_fail_do_not_go_live() {
    let good = chat_through("rules", RULES);
    let site = Site::start(&good).await;
    site.write_config(&good.replace("body: { model: small, top_p", "body: { model: large, top_p"));
    let refused = site.gateway.reload().await.unwrap_err();
    assert!(
        refused.message.contains("an alias") && refused.message.contains("model"),
        "{refused}"
    );
    assert_eq!(site.gateway.generation(), 1);
    assert_eq!(
        site.chat().set("model", "assistant").send().await.status,
        200
    );
}

/// What is asked of the model `small` is changed so.
async fn with_rule(request: &str) -> Site {
    let policies = format!(
        r#"
  rules:
    plugin: model-rules
    on_error: refuse
    settings:
      rules:
        - models: [ small ]
          request: {{ {request} }}
"#
    );
    Site::start(&chat_through("rules", &policies)).await
}

#[tokio::test]
async fn a_field_that_stands_twice_is_refused_and_not_hidden_from_a_policy() {
    let site = with_rule("clamp: { /options/heat: { max: 1 } }").await;
    for content_type in ["application/json", "text/plain"] {
        let answer = site
            .ask("POST", "/v1/chat/completions")
            .header("content-type", content_type)
            .body(r#"{"model":"small","messages":[],"options":{"heat":9,"heat":1}}"#)
            .send()
            .await;
        assert_eq!(
            answer.refusal(),
            (400, "invalid_json".to_owned()),
            "{content_type}"
        );
    }
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test]
async fn what_a_policy_could_not_read_is_refused_and_switches_no_rule_off() {
    let site = with_rule(
        "remove: [ /list/0 ], set: { /metadata/team: search, /metadata/env: prod }, \
         clamp: { /list/0/n: { max: 10 } }",
    )
    .await;
    let send = async |odd: &str| {
        let list = format!(r#"[0,{{"n":99,"odd":{odd}}}]"#);
        let rest = r#""model":"small","messages":[],"metadata":{"id":7}"#;
        site.ask("POST", "/v1/chat/completions")
            .header("content-type", "application/json")
            .body(format!(r#"{{{rest},"list":{list}}}"#))
            .send()
            .await
    };
    for odd in [r#""cut \ud83d""#, "1e400"] {
        for _ in 0..3 {
            assert_eq!(
                send(odd).await.refusal(),
                (400, "invalid_json".to_owned()),
                "{odd}"
            );
        }
    }
    assert_eq!(site.standin.seen().requests, 0);
    assert_eq!(send(r#""whole \ud83d\ude00""#).await.status, 200);
    let sent = site.standin.seen().newest().unwrap().json();
    assert_eq!(sent["list"][0]["n"], 10);
    assert_eq!(sent["metadata"]["team"], "search");
}

#[tokio::test]
async fn what_a_lenient_upstream_might_read_as_json_is_not_let_past_a_policy_unread() {
    let site = Site::start(&chat_through("rules", RULES)).await;
    for body in [
        r#"{"model":"assistant","model":"small"}"#,
        r#"{"model":"assistant",}"#,
    ] {
        let answer = site
            .ask("POST", "/v1/chat/completions")
            .header("content-type", "text/plain")
            .body(body)
            .send()
            .await;
        assert_eq!(answer.refusal(), (400, "invalid_json".to_owned()), "{body}");
    }
    assert_eq!(site.standin.seen().requests, 0);
}

fn budget(settings: &str) -> String {
    let budget = format!(
        "\n  budget: {{ plugin: token-budget, on_error: refuse, grants: {{ limits: true }}, settings: {{ {settings} }} }}"
    );
    chat_through("callers, budget", &format!("{}{budget}", callers()))
}

#[tokio::test]
async fn what_each_caller_spent_on_each_model_is_shown_on_the_admin_port() {
    let settings = r#"tiers: { team: { tokens: 100000, period: 1h, money: { day: "5" } }, trial: { tokens: 100000, period: 1h, money: { day: "5" } } }, prices: { currency: USD, other_models: refuse, models: [ { models: [ small ], input: "2", output: "10" } ] }"#;
    let site = Site::start(&budget(settings)).await;
    assert_eq!(site.look("/metrics/spent_micros").await.status, 404);
    for (key, usage) in [(ADA, "5/5"), (BOB, "100/50"), (ADA, "10/20")] {
        let ask = site.chat().header("authorization", key);
        let ask = ask
            .set("max_tokens", 60)
            .behaving(&format!("usage={usage}"));
        assert_eq!(ask.send().await.status, 200);
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let report = site.look("/metrics/spent_micros").await.json();
    let row = |caller: &str, micros: u64| json!({ "policy": "budget", "labels": { "caller": caller, "model": "small" }, "value": micros });
    assert_eq!(
        report,
        json!({ "metric": "spent_micros", "rows": [ row("bob", 700), row("ada", 280) ] })
    );
}

#[tokio::test]
async fn a_budget_is_held_before_the_call_and_settled_on_what_was_used() {
    let site = Site::start(&budget("tiers: { team: { tokens: 100, period: 1h }, trial: { tokens: 100, period: 1h } }, bytes_per_token: 1000")).await;
    let ask = |key: &str| {
        site.chat()
            .header("authorization", key)
            .set("max_tokens", 60)
    };
    // 61 are held and 10 charged, so another 61 fit, and another.
    for _ in 0..3 {
        assert_eq!(ask(ADA).behaving("usage=5/5").send().await.status, 200);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    }
    assert_eq!(ask(ADA).behaving("usage=10/20").send().await.status, 200);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let spent = ask(ADA).send().await;
    assert_eq!(spent.refusal(), (429, "token_budget_exceeded".to_owned()));
    assert!(spent.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    // Someone else's is another one.
    assert_eq!(ask(BOB).send().await.status, 200);
    // What failed upstream costs nothing.
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    for _ in 0..3 {
        assert_eq!(ask(BOB).behaving("fail=503").send().await.status, 503);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_never_overdrawn_by_requests_at_once() {
    let site = Site::start(&budget(
        "tiers: { team: { tokens: 200, period: 1h } }, bytes_per_token: 1000",
    ))
    .await;
    let ask = || {
        site.chat()
            .header("authorization", ADA)
            .set("max_tokens", 49)
            .behaving("stall-before=1s,usage=1/49")
    };
    let asks: Vec<_> = (0..12).map(|_| ask()).collect();
    let answers = join_all(asks.iter().map(crate::client::Ask::send)).await;
    let let_in = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(let_in, 4, "{answers:?}");
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status != 200)
            .all(|answer| answer.status == 429)
    );
    assert_eq!(site.standin.seen().requests, 4);
}

#[tokio::test]
async fn a_stream_that_meets_the_edge_of_its_budget_is_cut_or_let_through() {
    let settings = |edge: &str| {
        format!(
            "tiers: {{ team: {{ tokens: 40, period: 1h }} }}, bytes_per_token: 1000, reserve_output: 8, at_edge: {edge}"
        )
    };
    for (edge, is_cut) in [("cut", true), ("allow", false)] {
        let site = Site::start(&budget(&settings(edge))).await;
        let ask = || site.streamed().header("authorization", ADA);
        let stream = ask()
            .behaving("tokens=100,pace=1ms,usage=none")
            .stream()
            .await
            .collect()
            .await;
        assert!(stream.is_complete(), "{edge}: {stream:?}");
        let words = stream.text().split_whitespace().count();
        let finishes: Vec<Value> = stream
            .events
            .iter()
            .filter_map(|event| serde_json::from_str(event).ok())
            .collect();
        let finish = finishes
            .iter()
            .rev()
            .find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str())
            .unwrap();
        match is_cut {
            true => assert!(
                (8..=40).contains(&words) && finish == "length",
                "{words} words, {finish}"
            ),
            false => assert!(words == 100 && finish == "stop", "{words} words, {finish}"),
        }
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        assert_eq!(
            site.exchanges(1).await[0]["ending"],
            if is_cut { "cut" } else { "complete" }
        );
        let next = ask().send().await;
        assert_eq!(
            next.refusal(),
            (429, "token_budget_exceeded".to_owned()),
            "{edge}"
        );
    }
}

#[tokio::test]
async fn all_three_stand_one_behind_the_other() {
    let budget = "\n  budget: { plugin: token-budget, on_error: refuse, grants: { limits: true }, settings: { tiers: { team: { tokens: 100000, period: 1h } } } }";
    for isolation in ["exchange", "shared"] {
        let policies = format!("{}{RULES}{budget}", callers()).replace(
            "on_error: refuse",
            &format!("on_error: refuse, isolation: {isolation}"),
        );
        let policies = policies.replace(
            &format!("    on_error: refuse, isolation: {isolation}\n"),
            &format!("    on_error: refuse\n    isolation: {isolation}\n"),
        );
        let site = Site::start(&chat_through("callers, rules, budget", &policies)).await;
        let ask = || {
            site.chat()
                .set("model", "assistant")
                .header("authorization", ADA)
        };
        assert_eq!(ask().send().await.json()["served_by"], "tollgate");
        assert!(
            ask()
                .set("stream", true)
                .stream()
                .await
                .collect()
                .await
                .is_complete()
        );
        let unknown = site
            .chat()
            .set("model", "assistant")
            .header("authorization", BOB)
            .send()
            .await;
        assert_eq!(unknown.refusal(), (403, "no_budget".to_owned()));
        assert_eq!(
            site.chat().set("model", "assistant").send().await.status,
            401
        );
        let lines = site.exchanges(4).await;
        let asked = |line: &Value| line["policies"].as_array().unwrap().len();
        assert_eq!(
            lines
                .iter()
                .filter(|line| line["status"] == 200)
                .map(asked)
                .collect::<Vec<_>>(),
            [3, 3]
        );
    }
}
