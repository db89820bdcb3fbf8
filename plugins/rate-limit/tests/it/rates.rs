use std::time::Duration;

use tollgate_sdk::testing::advance;

use super::*;

fn per_caller(requests: u64) -> Run<RateLimit> {
    run(json!([{ "name": "callers", "by": ["caller"], "requests": requests, "period": "1m" }]))
}

#[test]
fn as_many_as_allowed_pass_and_the_next_is_told_when_to_come_back() {
    let run = per_caller(3);
    assert_eq!(count(&run, &chat("ada"), 5), 3);
    let told = refused(&run, chat("ada"));
    assert_eq!((told.status, &*told.code), (429, "rate_limit_exceeded"));
    assert_eq!(
        told.message,
        "rate-limit: the limit `callers` of 3 requests in 1 minute is used up. \
         Try again in 1 minute."
    );
    assert_eq!(told.header("retry-after"), Some("60"));
    advance(Duration::from_secs(60));
    assert_eq!(count(&run, &chat("ada"), 5), 3);
}

#[test]
fn what_was_refused_does_not_count() {
    let run = per_caller(1);
    assert_eq!(count(&run, &chat("ada"), 1), 1);
    advance(Duration::from_secs(59));
    assert_eq!(count(&run, &chat("ada"), 50), 0);
    advance(Duration::from_secs(1));
    assert_eq!(count(&run, &chat("ada"), 1), 1);
}

#[test]
fn a_request_counts_whatever_becomes_of_it() {
    let run = per_caller(2);
    for ending in [
        tollgate_sdk::Ending::Refused,
        tollgate_sdk::Ending::ClientGone,
    ] {
        let session = start(&run, chat("ada")).unwrap();
        session.finish(&tollgate_sdk::testing::ended(ending));
    }
    assert!(!passes(&run, chat("ada")));
}

#[test]
fn callers_do_not_take_from_each_other() {
    let run = per_caller(2);
    assert_eq!(count(&run, &chat("ada"), 5), 2);
    assert_eq!(count(&run, &chat("bob"), 5), 2);
}

#[test]
fn a_bucket_lets_a_burst_through_and_then_as_many_as_come_back() {
    let run = run(json!([{
        "name": "callers", "by": ["caller"], "requests": 60, "period": "1m",
        "algorithm": "token-bucket", "burst": 5,
    }]));
    assert_eq!(count(&run, &chat("ada"), 10), 5);
    let told = refused(&run, chat("ada"));
    assert_eq!(told.header("retry-after"), Some("1"));
    assert!(
        told.message
            .contains("60 requests in 1 minute, 5 at a stretch, is used up"),
        "{}",
        told.message
    );
    advance(Duration::from_secs(1));
    assert_eq!(count(&run, &chat("ada"), 10), 1);
    advance(Duration::from_secs(600));
    assert_eq!(count(&run, &chat("ada"), 10), 5);
}

#[test]
fn each_combination_of_what_it_counts_by_counts_for_itself() {
    let run =
        run(json!([{ "name": "both", "by": ["caller", "model"], "requests": 1, "period": "1h" }]));
    let ask = |caller: &str, model: &str| passes(&run, chat(caller).json("/model", model));
    assert!(ask("ada", "m"));
    assert!(ask("ada", "n"));
    assert!(ask("bob", "m"));
    assert!(!ask("ada", "m"));
}

#[test]
fn it_counts_by_routes_tiers_and_any_fact() {
    let run = run(json!([
        { "name": "routes", "by": ["route"], "requests": 1, "period": "1h", "match": { "routes": ["a", "b"] } },
        { "name": "teams", "by": ["team", "tier"], "on_missing": "skip", "requests": 1, "period": "1h" },
    ]));
    assert_eq!(count(&run, &Exchange::chat().route("a"), 2), 1);
    assert_eq!(count(&run, &Exchange::chat().route("b"), 2), 1);
    assert_eq!(count(&run, &Exchange::chat().route("c"), 2), 2);
    let team = |team: &str, tier: &str| Exchange::chat().fact("team", team).fact("tier", tier);
    assert_eq!(count(&run, &team("x", "gold"), 2), 1);
    assert_eq!(count(&run, &team("x", "free"), 2), 1);
    assert_eq!(count(&run, &team("y", "gold"), 2), 1);
}

#[test]
fn with_nothing_to_count_by_all_requests_count_together() {
    let run = run(json!([{ "name": "all", "by": [], "requests": 2, "period": "1h" }]));
    assert!(passes(&run, chat("ada")));
    assert!(passes(&run, chat("bob")));
    assert!(!passes(&run, Exchange::chat()));
}

#[test]
fn a_limit_applies_to_the_models_tiers_and_routes_that_it_names() {
    let run = run(json!([{
        "name": "few", "by": [], "requests": 1, "period": "1h",
        "match": { "models": ["gpt-*", "o1"], "tiers": ["trial"], "routes": ["chat"] },
    }]));
    let ask = |model: &str| Exchange::chat().json("/model", model);
    let trial = |model: &str| ask(model).fact("tier", "trial").route("chat");
    assert_eq!(count(&run, &trial("llama"), 3), 3);
    assert_eq!(count(&run, &ask("gpt-4").route("chat"), 3), 3);
    assert_eq!(count(&run, &ask("gpt-4").fact("tier", "trial"), 3), 3);
    assert!(passes(&run, trial("gpt-4")));
    assert!(!passes(&run, trial("o1")));
}

#[test]
fn what_it_counts_by_and_is_not_known_is_refused_shared_or_skipped() {
    let with = |on_missing: &str| {
        run(json!([{
            "name": "x", "by": ["caller"], "on_missing": on_missing, "requests": 1, "period": "1h",
        }]))
    };
    let told = refused(&with("refuse"), Exchange::chat());
    assert_eq!(
        (told.status, &*told.code),
        (403, "rate_limit_unknown_subject")
    );
    assert_eq!(count(&with("skip"), &Exchange::chat(), 3), 3);
    let shared = with("share");
    assert_eq!(count(&shared, &Exchange::chat(), 3), 1);
    assert_eq!(
        count(&shared, &chat(""), 3),
        1,
        "nobody is not the empty caller"
    );
}

#[test]
fn a_request_without_a_model_is_the_clients_mistake() {
    let run = run(json!([{ "name": "m", "by": ["model"], "requests": 1, "period": "1h" }]));
    let told = refused(&run, Exchange::chat().body(r#"{"messages":[]}"#));
    assert_eq!(
        (told.status, &*told.code),
        (400, "rate_limit_unknown_subject")
    );
    assert_eq!(
        told.message,
        "rate-limit: the limit `m` counts by `model`, which is not known of this request."
    );
}

#[test]
fn attached_to_a_target_it_counts_an_exchange_once() {
    let run = per_caller(2);
    let target = tollgate_sdk::Target {
        upstream: "u".to_owned(),
        dialect: "openai".to_owned(),
        model: None,
        attempt: 1,
    };
    let mut session = run.open(chat("ada"));
    assert!(session.attempt(&target).is_next());
    assert!(session.attempt(&target).is_next());
    assert!(passes(&run, chat("ada")));
    let mut late = run.open(chat("ada"));
    assert_eq!(Told::of(&late.attempt(&target)).status, 429);
}
