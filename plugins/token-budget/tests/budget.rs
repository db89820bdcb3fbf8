//! The policy from request to finish, natively, with the SDK's limits.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use std::time::Duration;

use serde_json::json;
use token_budget::TokenBudget;
use tollgate_sdk::{
    Ending, Outcome, RawEvent, Usage,
    testing::{self, Exchange, Run, Sent, Session, complete, counted, ended},
};

const INPUT: u64 = 100;

/// A hundred tokens of prompt, by its bytes.
fn chat(caller: &str) -> Exchange {
    let empty = json!({ "model": "m", "pad": "" }).to_string().len();
    let pad = "x".repeat(usize::try_from(INPUT).unwrap() * 4 - empty);
    Exchange::chat()
        .body(json!({ "model": "m", "pad": pad }).to_string())
        .fact("caller", caller)
        .fact("tier", "team")
}

/// The same prompt and a maximum of output, which makes it six tokens longer or so.
fn chat_with(field: &str, value: u64) -> Exchange {
    chat("ada").json(field, value)
}

fn team(tokens: u64, more: serde_json::Value) -> Run<TokenBudget> {
    let mut settings = json!({ "tiers": { "team": { "tokens": tokens, "period": "1h" } } });
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Run::new(settings)
}

/// What is left, found by what a refusal says about a request for everything.
fn left(run: &Run<TokenBudget>, exchange: Exchange, tokens: u64) -> u64 {
    let mut session = run.open(exchange.json("/max_tokens", tokens - INPUT - 20));
    let decided = session.request();
    let remaining = match decided.refusal() {
        None => tokens,
        Some(refusal) => {
            assert_eq!(refusal.code, "token_budget_exceeded");
            let words = refusal.message.split(" has ").nth(1).unwrap();
            words.split(' ').next().unwrap().parse().unwrap()
        }
    };
    session.finish(&ended(Ending::Refused));
    remaining
}

fn usage(input_tokens: u64, output_tokens: u64) -> Option<Usage> {
    Some(Usage {
        input_tokens,
        output_tokens,
        cached_tokens: 0,
    })
}

fn code(run: &Run<TokenBudget>, exchange: Exchange) -> Option<(u16, String)> {
    let decided = run.open(exchange).request();
    decided
        .refusal()
        .map(|refusal| (refusal.status, refusal.code.clone()))
}

fn refused(status: u16, code: &str) -> Option<(u16, String)> {
    Some((status, code.to_owned()))
}

fn chunk(text: &str) -> RawEvent {
    let choices = json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]);
    RawEvent::json(
        &json!({ "id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices }),
    )
}

fn words(count: usize) -> Vec<RawEvent> {
    vec![chunk("four"); count]
}

fn streaming(run: &Run<TokenBudget>, exchange: Exchange) -> Session<TokenBudget> {
    let mut session = run.open(exchange.streaming());
    assert!(session.request().is_next());
    session
}

fn reasons(sent: &Sent) -> Vec<(u64, String)> {
    let documents = sent
        .events
        .iter()
        .filter_map(|event| serde_json::from_slice::<serde_json::Value>(&event.data).ok());
    documents
        .filter_map(|chunk| {
            let choice = chunk.pointer("/choices/0")?;
            Some((
                choice["index"].as_u64()?,
                choice["finish_reason"].as_str()?.to_owned(),
            ))
        })
        .collect()
}

#[test]
fn what_the_upstream_reports_is_charged() {
    let run = team(10_000, json!({}));
    let mut session = run.open(chat("ada"));
    let decided = session.request();
    assert!(decided.is_next() && decided.is_untouched());
    session.finish(&complete(usage(30, 12)));
    assert_eq!(left(&run, chat("ada"), 10_000), 10_000 - 42);
    assert_eq!(counted("tokens"), 42);
}

#[test]
fn a_request_holds_its_prompt_and_what_it_may_put_out() {
    let run = team(10_000, json!({}));
    let cases = [
        ("default", &[][..], 1024),
        ("max", &[("/max_tokens", 500)], 505),
        ("newer", &[("/max_completion_tokens", 500)], 508),
        (
            "both",
            &[("/max_tokens", 500), ("/max_completion_tokens", 600)],
            613,
        ),
        ("choices", &[("/max_tokens", 500), ("/n", 3)], 1507),
    ];
    for (name, fields, expected) in cases {
        let exchange = fields.iter().fold(chat(name), |exchange, (field, value)| {
            exchange.json(field, *value)
        });
        assert!(run.open(exchange).request().is_next());
        let held = 10_000 - left(&run, chat(name), 10_000);
        assert!(held.abs_diff(INPUT + expected) <= 1, "{name}: {held}");
    }
}

#[test]
fn a_maximum_of_null_is_none() {
    let run = team(10_000, json!({}));
    assert!(
        run.open(chat("ada").json("/max_tokens", tollgate_sdk::Value::Null))
            .request()
            .is_next()
    );
    let held = 10_000 - left(&run, chat("ada"), 10_000);
    assert!((INPUT + 1024..INPUT + 1034).contains(&held), "{held}");
}

#[test]
fn hostile_maxima_hold_the_default_or_never_fit() {
    let run = team(10_000, json!({}));
    for value in [
        json!(-1),
        json!(0.5),
        json!("7"),
        json!(true),
        json!([1]),
        json!({}),
        json!(-9e99),
    ] {
        let mut session = run.open(chat(&value.to_string()).json("/max_tokens", value.clone()));
        assert!(session.request().is_next(), "{value}");
        let held = 10_000 - left(&run, chat(&value.to_string()), 10_000);
        assert!(
            (INPUT + 1024..INPUT + 1040).contains(&held),
            "{value}: {held}"
        );
    }
    for value in [
        json!(1_u64 << 63),
        json!(u64::MAX),
        json!(1e300),
        json!(10_000),
    ] {
        let asked = chat("ada").json("/max_tokens", value.clone());
        assert_eq!(
            code(&run, asked),
            refused(400, "request_exceeds_budget"),
            "{value}"
        );
    }
    let asked = chat_with("/n", 1_000_000_000).json("/max_tokens", 1);
    assert_eq!(code(&run, asked), refused(400, "request_exceeds_budget"));
    assert_eq!(left(&run, chat("ada"), 10_000), 10_000);
}

#[test]
fn a_budget_that_is_used_up_says_when_to_come_back() {
    let run = team(400, json!({}));
    let mut session = run.open(chat_with("/max_tokens", 200));
    assert!(session.request().is_next());
    session.finish(&complete(usage(105, 200)));
    let decided = run.open(chat_with("/max_tokens", 200)).request();
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (429, "token_budget_exceeded")
    );
    assert_eq!(refusal.retry_after_ms, Some(3_600_000));
    assert_eq!(
        refusal.message,
        "The budget of 400 tokens per 1 hour has 95 left, and this request may take 305 tokens \
         (105 in, 200 out). Try again in 1 hour, or ask for less output with `max_tokens`."
    );
    assert_eq!(counted("refused"), 1);
    testing::advance(Duration::from_secs(3600));
    assert!(run.open(chat_with("/max_tokens", 200)).request().is_next());
}

#[test]
fn a_token_bucket_comes_back_evenly() {
    let run = Run::<TokenBudget>::new(json!({
        "tiers": { "team": { "tokens": 400, "period": "400s", "algorithm": "token-bucket" } },
    }));
    let mut session = run.open(chat_with("/max_tokens", 200));
    assert!(session.request().is_next());
    session.finish(&complete(usage(200, 200)));
    let decided = run.open(chat_with("/max_tokens", 96)).request();
    assert_eq!(decided.refusal().unwrap().retry_after_ms, Some(200_000));
}

#[test]
fn a_small_budget_is_not_used_up_by_what_is_held_by_default() {
    let run = team(400, json!({}));
    for _ in 0..5 {
        let mut session = run.open(chat("ada"));
        assert!(session.request().is_next());
        session.finish(&complete(usage(40, 10)));
    }
    assert_eq!(code(&run, chat("ada")), None);
}

#[test]
fn each_caller_has_a_budget_of_its_own_and_a_tier_can_share_one() {
    let run = team(200, json!({}));
    assert!(run.open(chat("ada")).request().is_next());
    assert!(run.open(chat("bob")).request().is_next());
    let run = team(200, json!({ "scope": "tier" }));
    assert!(run.open(chat("ada")).request().is_next());
    assert_eq!(
        code(&run, chat("bob")),
        refused(429, "token_budget_exceeded")
    );
}

#[test]
fn any_fact_can_be_the_scope() {
    let run = team(200, json!({ "scope": "project" }));
    assert!(
        run.open(chat("ada").fact("project", "x"))
            .request()
            .is_next()
    );
    assert_eq!(
        code(&run, chat("bob").fact("project", "x")),
        refused(429, "token_budget_exceeded")
    );
    assert_eq!(code(&run, chat("bob").fact("project", "y")), None);
    assert_eq!(code(&run, chat("bob")), refused(403, "no_caller"));
}

#[test]
fn a_caller_without_a_name_is_refused_or_shares() {
    let nobody = || Exchange::chat().fact("tier", "team");
    assert_eq!(
        code(&team(400, json!({})), nobody()),
        refused(403, "no_caller")
    );
    let run = team(35, json!({ "on_missing_caller": "share" }));
    assert_eq!(code(&run, nobody()), None);
    assert_eq!(code(&run, nobody()), refused(429, "token_budget_exceeded"));
    let empty = Exchange::chat().fact("tier", "team").fact("caller", "");
    assert_eq!(code(&run, empty), None);
}

#[test]
fn a_tier_that_is_not_listed_has_the_default_or_nothing() {
    let other = || Exchange::chat().fact("caller", "ada").fact("tier", "other");
    assert_eq!(
        code(&team(400, json!({})), other()),
        refused(403, "no_budget")
    );
    let run = team(400, json!({ "default": { "tokens": 9, "period": "1m" } }));
    assert_eq!(code(&run, other()), refused(400, "request_exceeds_budget"));
    assert_eq!(code(&run, chat("ada")), None);
}

#[test]
fn a_request_without_a_body_takes_nothing() {
    let run = team(400, json!({}));
    let models = Exchange::chat().to("GET", "/v1/models").body("");
    assert_eq!(code(&run, models), None);
}

#[test]
fn what_a_later_policy_refused_is_given_back() {
    let run = team(10_000, json!({}));
    let mut session = run.open(chat("ada"));
    assert!(session.request().is_next());
    session.finish(&Outcome {
        attempts: 0,
        status: 403,
        ..ended(Ending::Refused)
    });
    assert_eq!(left(&run, chat("ada"), 10_000), 10_000);
}

#[test]
fn a_stream_that_the_client_left_is_charged_as_counted() {
    let run = team(10_000, json!({}));
    let mut session = streaming(&run, chat("ada"));
    let sent = session.events(words(40));
    assert_eq!(sent.events, words(40));
    session.finish(&ended(Ending::ClientGone));
    let used = 10_000 - left(&run, chat("ada"), 10_000);
    assert!(used.abs_diff(INPUT + 4 + 40) <= 1, "{used}");
}

#[test]
fn a_stream_is_cut_where_the_budget_ends() {
    let run = team(300, json!({}));
    let mut session = streaming(&run, chat_with("/max_tokens", 50));
    let sent = session.events(words(1000));
    assert!(sent.ended);
    let passed = sent.events.len() - 2;
    assert!((180..200).contains(&passed), "{passed}");
    assert_eq!(sent.events[..passed], words(passed));
    let last = br#"{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
    assert_eq!(sent.events[passed].data, last);
    assert_eq!(sent.events[passed + 1], RawEvent::done());
    session.finish(&ended(Ending::Cut));
    assert_eq!(
        code(&run, chat("ada")),
        refused(429, "token_budget_exceeded")
    );
    assert_eq!(counted("cut"), 1);
}

/// Its request said nothing of a stream, so the gateway was to settle it.
#[test]
fn a_stream_that_nobody_asked_for_is_counted_and_cut_too() {
    for (ending, tokens, is_cut) in [(Ending::Cut, 300, true), (Ending::TimedOut, 3000, false)] {
        let run = team(tokens, json!({}));
        let before = left(&run, chat("ada"), tokens);
        let mut session = run.open(chat_with("/max_tokens", 50));
        assert!(session.request().is_next());
        let sent = session.events(words(1000));
        assert_eq!(sent.ended, is_cut);
        session.finish(&ended(ending));
        let used = before - left(&run, chat("ada"), tokens);
        let passed = if is_cut {
            sent.events.len() as u64 - 2
        } else {
            1000
        };
        assert!(
            used.abs_diff(INPUT + passed) <= 8,
            "{ending:?}: {used} of {passed}"
        );
    }
}

#[test]
fn a_stream_grows_while_there_is_room_and_is_settled_as_a_whole() {
    let run = team(100_000, json!({}));
    let mut session = streaming(&run, chat_with("/max_tokens", 10));
    for _ in 0..100 {
        assert!(!session.events(words(100)).ended);
    }
    session.finish(&complete(usage(90, 9000)));
    assert_eq!(left(&run, chat("ada"), 100_000), 100_000 - 9090);
}

#[test]
fn reported_usage_beyond_what_was_held_is_charged_too() {
    let run = team(1000, json!({}));
    let mut session = run.open(chat_with("/max_tokens", 10));
    assert!(session.request().is_next());
    session.finish(&complete(usage(100, 5000)));
    assert_eq!(left(&run, chat("ada"), 1000), 0);
}

#[test]
fn at_the_edge_a_stream_can_be_let_through() {
    let run = team(300, json!({ "at_edge": "allow" }));
    let mut session = streaming(&run, chat_with("/max_tokens", 50));
    let sent = session.events(words(1000));
    assert_eq!((sent.ended, sent.events.len()), (false, 1000));
    session.finish(&complete(None));
    assert_eq!(left(&run, chat("ada"), 300), 0);
}

#[test]
fn a_cut_ends_every_choice_that_is_still_open() {
    let run = team(300, json!({}));
    let mut session = streaming(&run, chat_with("/max_tokens", 10).json("/n", 3));
    let finish = json!({ "choices": [{ "index": 1, "delta": {}, "finish_reason": "stop" }] });
    assert!(!session.events([RawEvent::json(&finish)]).ended);
    let sent = session.events(words(1000));
    assert_eq!(
        reasons(&sent),
        [(0, "length".to_owned()), (2, "length".to_owned())]
    );
}

#[test]
fn a_stream_of_named_events_is_counted_by_its_deltas_and_cut_with_an_error() {
    let run = team(300, json!({}));
    let mut session = streaming(&run, chat_with("/max_output_tokens", 50));
    let repeats = RawEvent::named(
        "response.output_text.done",
        json!({ "text": "x".repeat(9000) }).to_string(),
    );
    assert!(!session.events([repeats]).ended);
    let delta = RawEvent::named("response.output_text.delta", r#"{"delta":"four"}"#);
    let sent = session.events(vec![delta; 1000]);
    assert!(sent.ended);
    let last = sent.events.last().unwrap();
    assert_eq!(last.name.as_deref(), Some("error"));
    assert!(String::from_utf8_lossy(&last.data).contains("token_budget_exceeded"));
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    let cases = [
        (
            json!({}),
            "/: nobody has a budget: give `tiers`, `default` or both",
        ),
        (
            json!({ "tiers": { "a": { "tokens": 1, "period": "soon" } } }),
            "/tiers/a/period: `soon` is not a period",
        ),
        (
            json!({ "tiers": { "a": { "tokens": 0, "period": "1h" } } }),
            "/tiers/a/tokens: ",
        ),
        (
            json!({ "tiers": { "a": { "tokens": 1, "period": "1h", "x": 1 } } }),
            "/tiers/a/x: unknown field",
        ),
        (
            json!({ "default": { "tokens": 1, "period": "1h" }, "bytes_per_token": 0 }),
            "/bytes_per_token: ",
        ),
        (
            json!({ "default": { "tokens": 1, "period": "1h" }, "scope": "" }),
            "/scope: ",
        ),
        (
            json!({ "default": { "tokens": 1, "period": "1h" }, "at_edge": "stop" }),
            "/at_edge: ",
        ),
        (json!({ "budget": {} }), "/budget: unknown field"),
    ];
    for (settings, expected) in cases {
        let errors = Run::<TokenBudget>::try_new(settings)
            .err()
            .unwrap()
            .join("\n");
        assert!(
            errors.starts_with(expected),
            "{errors:?} does not start with {expected:?}"
        );
    }
}

#[test]
fn every_setting_is_described_in_the_schema() {
    let schema: serde_json::Value =
        serde_json::from_str(&Run::<TokenBudget>::settings_schema()).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 8);
    for (name, property) in properties {
        let description = property["description"].as_str().unwrap_or_default();
        assert!(description.contains("Default: "), "{name}: {description}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_samples_hold_for_any_settings() {
    let small = json!({ "tokens": 1, "period": "1s" });
    let large = json!({ "tokens": u64::MAX, "period": "366d" });
    for settings in [
        json!({ "default": small }),
        json!({ "tiers": { "a": small, "b": large } }),
        json!({ "tiers": { "unlisted": large }, "scope": "tier" }),
        json!({ "default": large, "scope": "tier", "on_missing_caller": "share" }),
        json!({ "tiers": { "a": { "tokens": 40, "period": "1h" } }, "scope": "project", "bytes_per_token": 1 }),
        json!({ "tiers": { "a": { "tokens": 400, "period": "1h", "algorithm": "token-bucket" } }, "at_edge": "allow", "reserve_output": 0 }),
        json!({ "tiers": { "team": { "tokens": 1_000_000_000, "period": "1h" }, "trial": { "tokens": 400, "period": "1h" } } }),
    ] {
        std::thread::spawn(move || Run::<TokenBudget>::new(settings).prove())
            .join()
            .unwrap();
    }
}
