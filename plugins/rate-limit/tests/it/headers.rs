use std::time::Duration;

use tollgate_sdk::testing::advance;

use super::*;

const NAMES: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];

fn on_answer(run: &Run<RateLimit>, exchange: Exchange, status: u16) -> [Option<String>; 3] {
    let mut session = start(run, exchange).unwrap();
    let decided = session.response(Answer::new(status).header(NAMES[1], "99"));
    assert!(decided.is_next());
    NAMES.map(|name| decided.header(name))
}

fn some(values: [&str; 3]) -> [Option<String>; 3] {
    values.map(|value| Some(value.to_owned()))
}

fn bucket(requests: u64, more: Value) -> Value {
    let mut limit = json!({
        "name": "callers", "by": ["caller"], "requests": requests, "period": "1m",
        "algorithm": "token-bucket",
    });
    let more = more.as_object().unwrap().clone();
    limit.as_object_mut().unwrap().extend(more);
    limit
}

#[test]
fn answers_and_refusals_say_what_is_left() {
    let run = run(json!([bucket(2, json!({}))]));
    assert_eq!(on_answer(&run, chat("ada"), 200), some(["2", "1", "30s"]));
    assert_eq!(on_answer(&run, chat("ada"), 500), some(["2", "0", "1m0s"]));
    advance(Duration::from_millis(500));
    let told = refused(&run, chat("ada"));
    assert_eq!(told.status, 429);
    assert_eq!(
        NAMES.map(|name| told.header(name)),
        [Some("2"), Some("0"), Some("1m0s")]
    );
    assert_eq!(told.header("retry-after"), Some("30"));
    assert_eq!(told.header("content-type"), Some("application/json"));
}

#[test]
fn a_window_is_reset_a_period_after_its_newest_request() {
    let run = run(json!([{ "name": "w", "by": [], "requests": 5, "period": "6m" }]));
    assert_eq!(on_answer(&run, chat("ada"), 200), some(["5", "4", "6m0s"]));
}

#[test]
fn a_burst_is_what_can_be_used_up() {
    let run = run(json!([bucket(6000, json!({ "burst": 12 }))]));
    assert_eq!(
        on_answer(&run, chat("ada"), 200),
        some(["12", "11", "10ms"])
    );
}

#[test]
fn of_several_limits_the_one_with_the_fewest_left_is_told() {
    let run = run(json!([
        { "name": "a", "by": [], "requests": 10, "period": "1h" },
        { "name": "b", "by": ["caller"], "requests": 3, "period": "1m" },
        { "name": "c", "by": [], "requests": 7, "period": "1h" },
    ]));
    assert_eq!(on_answer(&run, chat("ada"), 200), some(["3", "2", "1m0s"]));
}

#[test]
fn without_headers_the_refusal_is_the_gateways_own_and_answers_pass_by() {
    let run = Run::<RateLimit>::new(json!({
        "headers": false, "limits": [bucket(1, json!({}))],
    }));
    let mut session = start(&run, chat("ada")).unwrap();
    assert!(session.response(Answer::new(200)).is_untouched());
    let decided = run.open(chat("ada")).request();
    assert_eq!(decided.refusal().unwrap().retry_after_ms, Some(60_000));
}

#[test]
fn a_limit_that_did_not_apply_is_not_spoken_of() {
    let run = run(json!([bucket(
        1,
        json!({ "match": { "tiers": ["trial"] } })
    )]));
    let mut session = start(&run, chat("ada")).unwrap();
    assert!(session.response(Answer::new(200)).is_untouched());
}

#[test]
fn which_limit_refused_is_a_fact_for_the_access_log() {
    let run = run(json!([bucket(1, json!({}))]));
    assert!(passes(&run, chat("ada")));
    let decided = run.open(chat("ada")).request();
    assert_eq!(decided.fact("limited_by").as_deref(), Some("callers"));
}
