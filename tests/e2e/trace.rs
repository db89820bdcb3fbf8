//! Exchanges shown to who watches.

mod command;
mod panics;

use std::{fs, net::SocketAddr};

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpSocket, task::JoinHandle, time::timeout};
use tollgate::trace::{HIDDEN, Line, Step, Trace};

use crate::fixture::{PATIENCE, Site, chat_through, probing, until_async};

/// Somebody who watches.
struct Watcher {
    status: u16,
    body: Incoming,
    text: String,
    /// All lines so far.
    seen: String,
    _sender: http1::SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Watcher {
    async fn ask(admin: SocketAddr, query: &str, token: Option<&str>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::get(format!("/trace{query}")).header("host", admin.to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = sender
            .send_request(request.body(Empty::new()).unwrap())
            .await
            .unwrap();
        Self {
            status: response.status().as_u16(),
            body: response.into_body(),
            text: String::new(),
            seen: String::new(),
            _sender: sender,
            driver,
        }
    }

    /// Watches already when it returns.
    async fn of(site: &Site, query: &str) -> Self {
        let mut watcher = Self::ask(site.gateway.admin_addr(), query, None).await;
        assert_eq!(watcher.status, 200);
        assert!(matches!(watcher.line().await, Some(Line::Watching { .. })));
        watcher
    }

    async fn line(&mut self) -> Option<Line> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = line.to_owned();
                self.text = rest.to_owned();
                self.seen.push_str(&line);
                self.seen.push('\n');
                return Some(serde_json::from_str(&line).unwrap());
            }
            let frame = timeout(PATIENCE, self.body.frame())
                .await
                .expect("a line or the end")?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn trace(&mut self) -> Trace {
        loop {
            match self.line().await {
                Some(Line::Trace(trace)) => return *trace,
                Some(Line::Still) => {}
                other => panic!("no trace, but {other:?}"),
            }
        }
    }
}

fn step<'a>(trace: &'a Trace, policy: &str, hook: &str) -> &'a Step {
    let is_it = |step: &&Step| step.policy == policy && step.hook == hook;
    let found = trace.steps.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {hook} of {policy} in {trace:#?}"))
}

fn two_probes(first: &str, second: &str) -> String {
    chat_through(
        "first, second",
        &format!(
            "
  first: {{ PROBE, on_error: refuse, settings: {{ {first} }} }}
  second: {{ PROBE, on_error: refuse, settings: {{ {second} }} }}"
        ),
    )
}

#[tokio::test]
async fn a_trace_tells_policy_by_policy_what_was_read_asked_decided_and_changed() {
    let site = Site::start(&two_probes(
        r#"request: { set_headers: { x-one: new }, set_json: { /temperature: 0.5 }, facts: { caller: ada, team: blue } }, log: hello"#,
        r#"seen: { x-team: team }, response: { remove_json: [ /usage ] }, finished_into: x-finished"#,
    ))
    .await;
    let mut watcher = Watcher::of(&site, "").await;
    let answer = site
        .chat()
        .header("x-one", "old")
        .set("temperature", 1.0)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let trace = watcher.trace().await;
    assert_eq!(
        (
            trace.route.as_deref(),
            trace.model.as_deref(),
            trace.caller.as_deref(),
            trace.status
        ),
        (Some("chat"), Some("small"), Some("ada"), 200)
    );
    assert_eq!(Some(trace.id.as_str()), answer.header("x-request-id"));
    assert_eq!(
        (trace.generation, trace.ending.as_str(), trace.left_out),
        (1, "complete", 0)
    );
    let order: Vec<_> = trace
        .steps
        .iter()
        .map(|step| format!("{} {}", step.policy, step.hook))
        .collect();
    assert_eq!(
        order,
        [
            "first on_request",
            "second on_request",
            "second on_response",
            "first on_response",
            "first on_finish",
            "second on_finish"
        ]
    );
    let first = step(&trace, "first", "on_request");
    assert!(first.us > 0 && first.plugin == "probe");
    assert_eq!(first.decision.as_ref().unwrap().verdict, "next");
    let edits = |step: &Step| {
        let edits = step.edits.iter();
        let edits = edits.map(|edit| json!([edit.edit, edit.name, edit.before, edit.after]));
        edits.collect::<Vec<_>>()
    };
    for expected in [
        json!(["set-header", "x-one", "old", "new"]),
        json!(["set-json", "/temperature", 1, 0.5]),
        json!(["set-fact", "caller", null, "ada"]),
    ] {
        assert!(
            edits(first).contains(&expected),
            "{expected} in {:#?}",
            edits(first)
        );
    }
    let log = first
        .calls
        .iter()
        .find(|call| call.call == "log.write")
        .unwrap();
    assert_eq!(log.arguments["message"], "hello");
    assert!(
        first
            .calls
            .iter()
            .any(|call| call.call == "clock.monotonic-us"),
        "of open"
    );
    let second = step(&trace, "second", "on_request");
    let read = second
        .reads
        .iter()
        .find(|read| read.part == "fact")
        .unwrap();
    assert_eq!(
        (read.name.as_str(), read.value.as_ref()),
        ("team", Some(&json!("blue")))
    );
    let call = second
        .calls
        .iter()
        .find(|call| call.call == "kv.increment")
        .unwrap();
    assert_eq!(
        (&call.arguments["key"], &call.arguments["by"]),
        (&json!("finished"), &json!(0))
    );
    assert!(call.result["ok"].is_i64(), "{call:?}");
    let removed = &edits(step(&trace, "second", "on_response"))[0];
    assert_eq!(
        (&removed[0], &removed[1], &removed[3]),
        (&json!("remove-json"), &json!("/usage"), &json!(null))
    );
    assert!(removed[2]["prompt_tokens"].is_u64(), "{removed}");
    let [attempt] = trace.attempts.as_slice() else {
        panic!("{:?}", trace.attempts)
    };
    assert_eq!(
        (attempt.upstream.as_str(), attempt.status),
        ("standin", Some(200))
    );
    let finished = step(&trace, "first", "on_finish");
    assert!(
        finished
            .calls
            .iter()
            .any(|call| call.call == "metrics.count")
    );
}

#[tokio::test]
async fn no_secret_is_shown_to_who_watches() {
    let site = Site::start(&two_probes(
        r#"secret: canary, secret_into: x-carried, log: "canary-of-the-secret went by", request: { facts: { note: "of canary-of-the-secret" } }, seen: { authorization: note }"#,
        r#"call: "http://UPSTREAM/?api_key=canary-of-the-query", request: { set_headers: { x-api-key: canary-set-by-a-policy }, set_json: { /metadata: { password: canary-in-json } } }"#,
    ))
    .await;
    let mut watcher = Watcher::of(&site, "").await;
    let ask = site
        .chat()
        .header("authorization", "Bearer sk-canary-of-the-client")
        .header("x-probe", "sk-canary-of-the-client")
        .header("cookie", "session=canary-of-the-cookie");
    assert_eq!(ask.send().await.status, 200);
    let trace = watcher.trace().await;
    assert!(!watcher.seen.contains("canary-"), "{}", watcher.seen);
    let first = step(&trace, "first", "on_request");
    let secret = first
        .calls
        .iter()
        .find(|call| call.call == "secrets.get")
        .unwrap();
    assert_eq!(
        (&secret.arguments, &secret.result),
        (&json!({ "name": "canary" }), &json!({ "ok": HIDDEN }))
    );
    let carried = first
        .edits
        .iter()
        .find(|edit| edit.name.as_deref() == Some("x-carried"));
    assert_eq!(carried.unwrap().after, Some(json!(HIDDEN)));
    let read = first
        .reads
        .iter()
        .find(|read| read.name == "x-probe")
        .unwrap();
    assert_eq!(
        read.value,
        Some(json!(HIDDEN)),
        "the client's credential, under another name"
    );
    let second = step(&trace, "second", "on_request");
    let call = second
        .calls
        .iter()
        .find(|call| call.call == "http-call.send")
        .unwrap();
    let url = call.arguments["url"].as_str().unwrap();
    assert!(url.ends_with("/?api_key=(hidden)"), "{url}");
    let metadata = second
        .edits
        .iter()
        .find(|edit| edit.name.as_deref() == Some("/metadata"));
    assert_eq!(metadata.unwrap().after, Some(json!({ "password": HIDDEN })));
}

#[tokio::test]
async fn a_watcher_sees_what_its_filter_fits_and_no_more_than_it_asked_for() {
    let config = chat_through(
        "who",
        "\n  who: { PROBE, on_error: refuse, settings: { request: { facts: { caller: ada } } } }",
    );
    let site = Site::start(&config).await;
    let mut by_caller = Watcher::of(&site, "?caller=a*&model=sm*").await;
    let mut by_route = Watcher::of(&site, "?route=rest&count=1").await;
    let mut by_id = Watcher::of(&site, "?id=wanted-1").await;
    let mut of_others = Watcher::of(&site, "?caller=ben").await;
    site.chat().header("x-request-id", "other").send().await;
    site.ask("GET", "/v1/models").send().await;
    site.ask("GET", "/v1/models")
        .header("x-request-id", "wanted-1")
        .send()
        .await;
    assert_eq!(by_caller.trace().await.id, "other");
    assert_eq!(by_route.trace().await.route.as_deref(), Some("rest"));
    assert_eq!(
        by_route.line().await,
        Some(Line::Ended {
            reason: "count".to_owned()
        })
    );
    assert_eq!(by_route.line().await, None);
    assert_eq!(by_id.trace().await.id, "wanted-1");
    site.chat().header("x-request-id", "last").send().await;
    assert_eq!(by_caller.trace().await.id, "last");
    site.reconfigure(&config.replace("ada", "ben")).await;
    site.chat().send().await;
    assert_eq!(
        of_others.trace().await.generation,
        2,
        "it was not shown the others"
    );
    for (query, status) in [
        ("?count=0", 400),
        ("?seconds=0", 400),
        ("?seconds=100000", 400),
        ("?count=x", 400),
        ("?rout=chat", 400),
    ] {
        let refused = Watcher::ask(site.gateway.admin_addr(), query, None).await;
        assert_eq!(refused.status, status, "{query}");
    }
}

#[tokio::test]
async fn exchanges_that_nobody_asked_for_take_no_place_from_those_that_somebody_did() {
    const PLACES: usize = 128;
    let config = chat_through(
        "who",
        "\n  who: { PROBE, on_error: refuse, settings: { request: { facts: { caller: ben } } } }",
    );
    let site = Site::start_with(&config, "tokens=1000,pace=1s").await;
    let mut by_route = Watcher::of(&site, "?route=rest").await;
    let mut by_caller = Watcher::of(&site, "?caller=ada").await;
    let mut under_way = Vec::new();
    for _ in 0..PLACES + 2 {
        under_way.push(site.streamed().stream().await);
    }
    site.ask("GET", "/v1/models").send().await;
    assert_eq!(by_route.trace().await.route.as_deref(), Some("rest"));
    site.reconfigure(&config.replace("ben", "ada")).await;
    site.chat().behaving("tokens=1").send().await;
    assert_eq!(by_caller.trace().await.caller.as_deref(), Some("ada"));
    assert_eq!(site.metric("tollgate_traces_lost_total").await, 0.0);
}

#[tokio::test]
async fn a_client_whose_credential_is_the_word_for_what_is_hidden_stops_nobody() {
    let site = Site::start(&probing("seen: { x-team: team }")).await;
    let mut watcher = Watcher::of(&site, "").await;
    let ask = site.chat().header("x-api-key", "hidden");
    let answer = ask.header("x-request-id", "hidden").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(watcher.trace().await.id, "hidden");
}

#[tokio::test]
async fn a_streams_events_are_one_step_and_only_the_first_changes_are_shown() {
    let site = Site::start_with(&probing("mark: one"), "tokens=200,pace=0ms").await;
    let mut watcher = Watcher::of(&site, "").await;
    assert!(site.streamed().stream().await.collect().await.is_complete());
    let trace = watcher.trace().await;
    assert!(trace.stream);
    let steps = trace
        .steps
        .iter()
        .filter(|step| step.hook == "on_events")
        .count();
    assert_eq!(steps, 1);
    let events = step(&trace, "probe", "on_events").events.clone().unwrap();
    assert!(
        events.batches > 0 && events.shown >= 200 && events.changed >= 200,
        "{events:?}"
    );
    assert!((1..=32).contains(&events.changes.len()));
    let change = &events.changes[0];
    assert_eq!((change.event, change.action.as_str()), (0, "replace"));
    let text = |data: &serde_json::Value| data.as_str().unwrap().to_owned();
    assert!(!text(&change.before.as_ref().unwrap().data).contains("\"mark\":\"one\""));
    assert!(text(&change.after[0].data).contains("\"mark\":\"one\""));
}

#[tokio::test]
async fn refusals_answers_and_failures_show_in_the_trace() {
    let site = Site::start(
        &two_probes(
            "{}",
            r#"refuse: { status: 403, code: not_today, message: "Come again." }"#,
        )
        .replace("settings: { {} }", "settings: {}"),
    )
    .await;
    let mut watcher = Watcher::of(&site, "").await;
    site.chat().send().await;
    let trace = watcher.trace().await;
    assert_eq!(
        (trace.status, trace.error.as_deref()),
        (403, Some("not_today"))
    );
    let refused = step(&trace, "second", "on_request")
        .decision
        .clone()
        .unwrap();
    assert_eq!(
        (
            refused.verdict.as_str(),
            refused.status,
            refused.code.as_deref()
        ),
        ("refuse", Some(403), Some("not_today"))
    );
    assert!(trace.attempts.is_empty());
    site.chat().header("x-probe", "trap").send().await;
    let trace = watcher.trace().await;
    let failed = step(&trace, "first", "on_request");
    assert_eq!(failed.failure.as_ref().unwrap().kind, "trapped");
    assert!(
        failed.reads.iter().any(|read| read.name == "x-probe"),
        "what led to it"
    );
    assert!(failed.decision.is_none());
}

#[tokio::test]
async fn a_swap_goes_on_under_who_watches() {
    let site = Site::start(&probing("mark: one")).await;
    let mut watcher = Watcher::of(&site, "").await;
    site.chat().send().await;
    assert_eq!(watcher.trace().await.generation, 1);
    site.reconfigure(&probing("mark: two")).await;
    site.chat().send().await;
    let trace = watcher.trace().await;
    assert_eq!(trace.generation, 2);
    let edits = &step(&trace, "probe", "on_request").edits;
    assert_eq!(edits[0].after, Some(json!("two")));
    assert_eq!(site.metric("tollgate_trace_watchers").await, 1.0);
    drop(watcher);
    // It is noticed when something is sent to it.
    until_async("nobody watches", async || {
        site.chat().send().await;
        (site.metric("tollgate_trace_watchers").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_costs_traces_and_no_exchange() {
    let long: String = (0..40)
        .map(|n| format!("x-long-{n}: {}, ", "y".repeat(1000)))
        .collect();
    let site = Site::start(&probing(&format!(
        "request: {{ set_headers: {{ {long} }} }}"
    )))
    .await;
    let mut watcher = Watcher::of(&site, "").await;
    until_async("a lost trace", async || {
        for _ in 0..20 {
            assert_eq!(site.chat().send().await.status, 200);
        }
        (site
            .metric("tollgate_traces_lost_total{reason=\"slow\"}")
            .await
            > 0.0)
            .then_some(())
    })
    .await;
    let mut shown = 0;
    let lost = loop {
        match watcher.line().await.unwrap() {
            Line::Trace(_) => shown += 1,
            Line::Lost { slow, .. } if slow > 0 => break slow,
            _ => {}
        }
    };
    assert!(shown > 0 && lost > 0);
}

#[tokio::test]
async fn a_token_of_the_configuration_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token.txt"), "token-one\n").unwrap();
    let config = format!(
        "admin_token: watch\nsecrets: {{ watch: {{ file: token.txt }} }}\n{}",
        chat_through("", "")
    );
    let site = Site::start_in(folder, &config, "tokens=1").await;
    let ask = async |token| {
        let admin = site.gateway.admin_addr();
        Watcher::ask(admin, "", token).await.status
    };
    assert_eq!(ask(None).await, 401);
    assert_eq!(ask(Some("token-two")).await, 401);
    assert_eq!(ask(Some("")).await, 401);
    assert_eq!(ask(Some("token-one")).await, 200);
    fs::write(site.folder.path().join("token.txt"), "token-two\n").unwrap();
    assert_eq!(ask(Some("token-one")).await, 401);
    assert_eq!(ask(Some("token-two")).await, 200);
    fs::write(site.folder.path().join("token.txt"), "\n").unwrap();
    assert_eq!(ask(Some("token-two")).await, 503);
    assert_eq!(ask(Some("")).await, 503);
    assert_eq!(
        site.look("/metrics").await.status,
        200,
        "only what shows messages takes it"
    );
}
