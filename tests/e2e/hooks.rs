//! Each hook, at work on real traffic.

use serde_json::json;

use crate::fixture::{Site, chat_through, probing};

#[tokio::test]
async fn on_request_changes_headers_and_json_and_leaves_the_rest() {
    let settings = r#"request: {
        set_headers: { x-set: "new", authorization: "Bearer upstream-key" },
        append_headers: { x-many: "second" },
        remove_headers: [ x-gone ],
        set_json: { /temperature: 0.5, /metadata/team: "rivers", /stop: [ "a", "b" ] },
        remove_json: [ /user ],
    }"#;
    let site = Site::start(&probing(settings)).await;
    let ask = site
        .chat()
        .header("x-set", "old")
        .header("x-many", "first")
        .header("x-gone", "1")
        .header("x-kept", "1");
    let answer = ask
        .header("authorization", "Bearer client-key")
        .set("user", "ada")
        .set("seed", 7)
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    assert_eq!(request.header_values("x-set"), ["new"]);
    assert_eq!(
        request.header_values("authorization"),
        ["Bearer upstream-key"]
    );
    assert_eq!(request.header_values("x-many"), ["first", "second"]);
    assert_eq!(request.header("x-gone"), None);
    assert_eq!(request.header("x-kept"), Some("1"));
    let body = request.json();
    assert_eq!(body["temperature"], 0.5);
    assert_eq!(body["metadata"], json!({ "team": "rivers" }));
    assert_eq!(body["stop"], json!(["a", "b"]));
    assert_eq!(body["user"], json!(null));
    assert_eq!(body["seed"], 7);
    assert_eq!(body["messages"][0]["content"], "Name three rivers.");
    assert_eq!(
        request.header("content-length").unwrap(),
        request.body.len().to_string()
    );
}

#[tokio::test]
async fn on_request_refuses_and_the_upstream_hears_nothing() {
    let settings = r#"refuse: { status: 429, code: too_many_rivers, message: "Ask for fewer.", retry_after_ms: 1500 }"#;
    let site = Site::start(&probing(settings)).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (429, "too_many_rivers".to_owned()));
    assert_eq!(answer.json()["error"]["message"], "Ask for fewer.");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(site.standin.seen().requests, 0);
    site.metric_becomes(
        r#"tollgate_plugin_finishes{policy="probe",ending="Ending::Refused",status="429"}"#,
        1.0,
    )
    .await;
}

#[tokio::test]
async fn on_request_answers_and_the_upstream_hears_nothing() {
    let settings = r#"reply: { status: 203, headers: { x-from: "the policy", content-type: text/plain }, body: "at once" }"#;
    let site = Site::start(&probing(settings)).await;
    let answer = site.chat().send().await;
    assert_eq!((answer.status, answer.text()), (203, "at once".to_owned()));
    assert_eq!(answer.header("x-from"), Some("the policy"));
    assert_eq!(answer.header("content-length"), Some("7"));
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test]
async fn on_request_sends_a_request_to_another_model_or_upstream() {
    let config = r#"
policies:
  to-model: { PROBE, on_error: refuse, settings: { go_to: { model: large } } }
  to-upstream: { PROBE, on_error: refuse, settings: { go_to: { upstream: other } } }
  to-both: { PROBE, on_error: refuse, settings: { go_to: { model: large, upstream: other } } }
upstreams:
  standin: { endpoints: [ "http://UPSTREAM" ] }
  other: { endpoints: [ "http://UPSTREAM" ], headers: { x-upstream: other } }
models:
  small: { targets: [ { upstream: standin } ] }
  large: { targets: [ { upstream: standin, model: large-1 }, { upstream: other, model: large-2, weight: 0 } ] }
routes:
  - { match: { path: /v1/chat/completions, headers: { x-way: model } }, policies: [ to-model ] }
  - { match: { path: /v1/chat/completions, headers: { x-way: upstream } }, policies: [ to-upstream ] }
  - { match: { path: /v1/chat/completions, headers: { x-way: both } }, policies: [ to-both ] }
"#;
    let site = Site::start(config).await;
    for (way, model, upstream) in [
        ("model", "large-1", None),
        ("upstream", "small", Some("other")),
        ("both", "large-2", Some("other")),
    ] {
        let answer = site.chat().header("x-way", way).send().await;
        assert_eq!(answer.status, 200, "{way}: {}", answer.text());
        let seen = site.standin.seen();
        let request = seen.newest().unwrap();
        assert_eq!(request.json()["model"], model, "{way}");
        assert_eq!(request.header("x-upstream"), upstream, "{way}");
    }
}

#[tokio::test]
async fn a_body_that_the_route_does_not_read_is_read_for_the_target_that_a_policy_chose() {
    let config = r#"
policies:
  stays: { PROBE, on_error: refuse, settings: { blind: true } }
  to-large: { PROBE, on_error: refuse, settings: { blind: true, go_to: { model: large } } }
  to-adapted: { PROBE, on_error: refuse, settings: { blind: true, go_to: { model: adapted } } }
  adapter: { PROBE, on_error: refuse, settings: { attempt: { set_json: { /adapted: true } } } }
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ] } }
models:
  large: { targets: [ { upstream: standin, model: large-1 } ] }
  adapted: { targets: [ { upstream: standin, policies: [ adapter ] } ] }
routes:
  - { match: { path: /echo }, policies: [ stays ], upstream: standin }
  - { match: { path: "/*", headers: { x-way: large } }, policies: [ to-large ], upstream: standin }
  - { match: { path: "/*" }, policies: [ to-adapted ], upstream: standin }
"#;
    let site = Site::start(config).await;
    for (way, model, adapted) in [
        ("large", "large-1", json!(null)),
        ("adapted", "adapted", json!(true)),
    ] {
        let answer = site.chat().header("x-way", way).send().await;
        assert_eq!(answer.status, 200, "{way}: {}", answer.text());
        let seen = site.standin.seen();
        let body = seen.newest().unwrap().json();
        assert_eq!(
            (&body["model"], &body["adapted"]),
            (&model.into(), &adapted)
        );
        assert_eq!(body["messages"][0]["content"], "Name three rivers.");
    }
    // What cannot be read cannot go on under another name, and may where nothing reads it.
    let zipped = |path: &str| {
        let ask = site.ask("POST", path).header("x-way", "large");
        let ask = ask.header("content-type", "application/json");
        ask.header("content-encoding", "gzip").body("\u{1f}no json")
    };
    assert_eq!(zipped("/v1/chat/completions").send().await.status, 415);
    let answer = zipped("/echo").send().await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, "\u{1f}no json".into())
    );
}

#[tokio::test]
async fn on_request_reaches_a_later_policy_with_facts_and_edits() {
    let policies = r#"
  first: { PROBE, on_error: refuse, settings: { request: { facts: { caller: ada, tier: team, color: blue }, append_headers: { x-order: "1" } }, response: { append_headers: { x-order: "1" } } } }
  second: { PROBE, on_error: refuse, settings: { seen: { x-caller: caller, x-color: color }, request: { append_headers: { x-order: "2" } }, response: { append_headers: { x-order: "2" } } } }"#;
    let site = Site::start(&chat_through("first, second", policies)).await;
    let answer = site.chat().send().await;
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    assert_eq!(request.header("x-caller"), Some("ada"));
    assert_eq!(request.header("x-caller-in-head"), Some("ada"));
    assert_eq!(request.header("x-color"), Some("blue"));
    assert_eq!(request.header_values("x-order"), ["1", "2"]);
    let back: Vec<_> = answer.headers.get_all("x-order").iter().collect();
    assert_eq!(back, ["2", "1"]);
    let line = &site.exchanges(1).await[0];
    assert_eq!(
        line["facts"],
        json!({ "caller": "ada", "tier": "team", "color": "blue" })
    );
    let asked: Vec<_> = line["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| &policy["policy"])
        .collect();
    assert_eq!(asked, ["first", "second"]);
}

#[tokio::test]
async fn on_attempt_rewrites_the_request_for_its_target() {
    let config = r#"
policies:
  adapter: { PROBE, on_error: refuse, settings: { attempt: { set_json: { /adapted: true }, remove_json: [ /user ], set_headers: { x-key: "of the target" } } } }
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ] } }
models:
  adapted: { targets: [ { upstream: standin, model: llama-3, policies: [ adapter ] } ] }
  plain: { targets: [ { upstream: standin } ] }
routes: [ { match: { path: /v1/chat/completions } } ]
"#;
    let site = Site::start(config).await;
    assert_eq!(
        site.chat()
            .set("model", "adapted")
            .set("user", "ada")
            .send()
            .await
            .status,
        200
    );
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    assert_eq!(
        request.header("x-attempt"),
        Some("standin openai llama-3 1")
    );
    assert_eq!(request.header("x-key"), Some("of the target"));
    assert_eq!(request.json()["model"], "llama-3");
    assert_eq!(request.json()["adapted"], true);
    assert_eq!(request.json()["user"], json!(null));
    assert_eq!(site.chat().set("model", "plain").send().await.status, 200);
    let seen = site.standin.seen();
    assert_eq!(seen.newest().unwrap().header("x-attempt"), None);
    assert_eq!(seen.newest().unwrap().json()["adapted"], json!(null));
}

#[tokio::test]
async fn policies_of_an_upstream_are_asked_on_every_way_there_behind_those_of_the_target() {
    let config = r#"
policies:
  outer: { PROBE, on_error: refuse, settings: { attempt: { append_headers: { x-order: outer } } } }
  inner: { PROBE, on_error: refuse, settings: { attempt: { append_headers: { x-order: inner }, set_json: { /adapted: true } } } }
  there: { PROBE, on_error: refuse, settings: { go_to: { upstream: standin } } }
upstreams:
  standin: { endpoints: [ "http://UPSTREAM" ], policies: [ inner ] }
  other: { endpoints: [ "http://127.0.0.1:9" ] }
models: { small: { targets: [ { upstream: standin, policies: [ outer, inner ] } ] } }
routes:
  - { name: direct, match: { headers: { x-way: direct } }, upstream: standin }
  - { name: led, match: { headers: { x-way: led } }, policies: [ there ], upstream: other }
  - { name: model, match: { path: /v1/chat/completions } }
"#;
    let site = Site::start(config).await;
    let ask = async |way: &'static str, model: &str| {
        let answer = site.chat().header("x-way", way).set("model", model);
        assert_eq!(answer.send().await.status, 200, "{way}");
        let seen = site.standin.seen();
        let request = seen.newest().unwrap();
        assert_eq!(request.json()["adapted"], true, "{way}");
        let order = request.header_values("x-order").join(" ");
        (order, request.header("x-attempt").unwrap().to_owned())
    };
    for (way, model, order) in [
        ("direct", "any", "inner"),
        ("led", "any", "inner"),
        ("led", "small", "outer inner"),
        ("model", "small", "outer inner"),
    ] {
        let attempt = format!("standin openai {model} 1");
        assert_eq!(ask(way, model).await, (order.to_owned(), attempt), "{way}");
    }
}

#[tokio::test]
async fn on_response_edits_headers_status_and_json() {
    let settings = r#"status: 202, response: {
        set_headers: { x-set: "new" }, remove_headers: [ x-upstream ],
        set_json: { /choices/0/message/content: "edited" }, remove_json: [ /usage ],
    }"#;
    let site = Site::start(&probing(settings)).await;
    let answer = site
        .chat()
        .behaving("header=x-upstream:1,header=x-set:old")
        .send()
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-set"), Some("new"));
    assert_eq!(answer.header("x-upstream"), None);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "edited");
    assert_eq!(answer.json()["usage"], json!(null));
    assert_eq!(answer.json()["object"], "chat.completion");
    assert_eq!(
        answer.header("content-length").unwrap(),
        answer.body.len().to_string()
    );
    // The gateway has read the usage all the same.
    assert!(
        site.exchanges(1).await[0]["output_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[tokio::test]
async fn on_response_replaces_the_response() {
    let settings = r#"reply_instead: { status: 451, headers: { content-type: text/plain }, body: "not this" }"#;
    let site = Site::start(&probing(settings)).await;
    for answer in [
        site.chat().send().await,
        site.chat().behaving("fail=500").send().await,
    ] {
        assert_eq!((answer.status, answer.text()), (451, "not this".to_owned()));
    }
    assert_eq!(site.standin.seen().requests, 2);
}

#[tokio::test]
async fn on_finish_runs_once_and_knows_status_ending_and_usage() {
    let site = Site::start(&probing("")).await;
    site.chat().behaving("usage=10/20").send().await;
    let streamed = site
        .streamed()
        .behaving("usage=1/2")
        .set("stream_options", json!({ "include_usage": true }));
    assert!(streamed.stream().await.collect().await.is_complete());
    site.chat().behaving("fail=503").send().await;
    let finishes = |ending: &str, status: u16| {
        format!(
            r#"tollgate_plugin_finishes{{policy="probe",ending="Ending::{ending}",status="{status}"}}"#
        )
    };
    site.metric_becomes(&finishes("Complete", 200), 2.0).await;
    site.metric_becomes(&finishes("Complete", 503), 1.0).await;
    site.metric_becomes("tollgate_plugin_finishes", 3.0).await;
    site.metric_becomes(
        r#"tollgate_plugin_tokens{policy="probe",kind="input"}"#,
        11.0,
    )
    .await;
    site.metric_becomes(
        r#"tollgate_plugin_tokens{policy="probe",kind="output"}"#,
        22.0,
    )
    .await;
}

#[tokio::test]
async fn what_a_policy_keeps_survives_a_swap() {
    let site = Site::start(&probing("finished_into: x-finished")).await;
    for _ in 0..3 {
        site.chat().send().await;
    }
    site.metric_becomes("tollgate_plugin_finishes", 3.0).await;
    site.reconfigure(&probing("finished_into: x-finished, mark: second"))
        .await;
    let answer = site.chat().send().await;
    assert_eq!(answer.json()["mark"], "second");
    assert_eq!(
        site.standin.seen().newest().unwrap().header("x-finished"),
        Some("3")
    );
}

#[tokio::test]
async fn a_granted_secret_is_read_and_another_is_not() {
    let site = Site::start(&probing("secret: canary, secret_into: x-secret")).await;
    site.chat().send().await;
    assert_eq!(
        site.standin.seen().newest().unwrap().header("x-secret"),
        Some("canary-of-the-secret")
    );
    site.reconfigure(&probing("secret: other, secret_into: x-secret"))
        .await;
    site.chat().send().await;
    assert_eq!(
        site.standin.seen().newest().unwrap().header("x-secret"),
        Some("Error::Denied")
    );
}

#[tokio::test]
async fn a_listed_host_is_called_and_another_is_not() {
    // A URL with a port of this run is nothing to keep compiled.
    let call = |url: &str| {
        let policies = format!(
            "\n  probe: {{ PROBE, on_error: refuse, settings: {{ call: \"{url}\" }}, limits: {{ hook_time: 2s, exchange_time: 5s }} }}"
        );
        format!("{}\ncache: off\n", chat_through("probe", &policies))
    };
    let site = Site::start(&call("http://UPSTREAM/v1/models")).await;
    assert_eq!(site.chat().send().await.status, 200);
    let seen = site.standin.seen();
    assert_eq!(seen.newest().unwrap().header("x-called"), Some("200"));
    assert_eq!(seen.requests, 2);
    site.reconfigure(&call("http://127.0.0.1:1/v1/models"))
        .await;
    assert_eq!(site.chat().send().await.status, 200);
    let seen = site.standin.seen();
    assert!(
        seen.newest()
            .unwrap()
            .header("x-called")
            .unwrap()
            .starts_with("Error::Denied"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_policy_that_reads_the_response_is_not_passed_by_json_that_is_none() {
    let site = Site::start(&probing("mark: one")).await;
    let answer = site.chat().behaving("malformed-json").send().await;
    assert_eq!(answer.refusal(), (502, "response_malformed".to_owned()));
    assert_eq!(site.exchanges(1).await[0]["ending"], "upstream_failed");
    // An error is passed on as it came, whatever it says that it is.
    let failing = site.chat().behaving("status=503,malformed-json");
    assert_eq!(failing.send().await.status, 503);
    // Where nobody reads it, that is between the client and the upstream.
    site.reconfigure(&chat_through("", "")).await;
    let answer = site.chat().behaving("malformed-json").send().await;
    assert_eq!(answer.status, 200);
}
