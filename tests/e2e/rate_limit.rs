//! `rate-limit` on real traffic: what clients are told, what counts, and places that
//! come back whatever becomes of an exchange.

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    client::{Answer, Ask},
    fixture::{Site, at_the_target, chat_through, either_way},
    standard_plugins::{ADA, BOB, callers},
};

const TOLD: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];

/// The policy `limits` with these limits, in the format of the configuration.
fn policy(isolation: &str, limits: &str) -> String {
    format!(
        "\n  limits: {{ plugin: rate-limit, on_error: refuse, isolation: {isolation}, grants: {{ limits: true }}, settings: {{ limits: [ {limits} ] }} }}"
    )
}

/// The same, behind the callers' keys.
fn limited(isolation: &str, limits: &str) -> String {
    let policies = format!("{}{}", callers(), policy(isolation, limits));
    chat_through("callers, limits", &policies)
}

fn by(site: &Site, key: &str) -> Ask {
    site.chat().header("authorization", key)
}

fn told(answer: &Answer) -> [Option<&str>; 3] {
    TOLD.map(|name| answer.header(name))
}

/// Its code, once it is a refusal that says when to come again.
fn limit_code(answer: &Answer) -> String {
    let (status, code) = answer.refusal();
    assert_eq!(status, 429, "{}", answer.text());
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    let pause = answer.header("retry-after").unwrap();
    assert!(pause.parse::<u64>().unwrap() > 0, "{pause}");
    code
}

async fn all_over(site: &Site) {
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
}

const TWO_AN_HOUR: &str = "{ name: callers, by: [ caller ], requests: 2, period: 1h }";

#[test]
fn answers_streams_and_refusals_say_how_a_client_stands() {
    either_way(async |isolation| {
        let site = Site::start(&limited(isolation, TWO_AN_HOUR)).await;
        // What the upstream says of its own limits is not what the client's are.
        let upstream_says = "header=x-ratelimit-remaining-requests:99";
        let first = by(&site, ADA).behaving(upstream_says).send().await;
        assert_eq!(first.status, 200, "{}", first.text());
        assert_eq!(told(&first), [Some("2"), Some("1"), Some("1h0m0s")]);
        let values = first.headers.get_all(TOLD[1]).iter().count();
        assert_eq!(values, 1, "the upstream's own is replaced");

        let stream = by(&site, ADA).set("stream", true).stream().await;
        assert_eq!(stream.header(TOLD[1]), Some("0"));
        assert!(stream.collect().await.is_complete());

        let refused = by(&site, ADA).send().await;
        assert_eq!(limit_code(&refused), "rate_limit_exceeded");
        let standing = told(&refused);
        assert_eq!(standing[..2], [Some("2"), Some("0")]);
        assert!(standing[2].is_some());
        let message = refused.json()["error"]["message"].to_string();
        assert!(
            message.contains("`callers` of 2 requests in 1 hour") && !message.contains("ada"),
            "{message}"
        );

        assert_eq!(by(&site, BOB).send().await.status, 200, "another's count");
        assert_eq!(site.standin.seen().requests, 3, "{isolation}");
        let log = site.exchanges(4).await;
        let line = log.iter().find(|line| line["status"] == 429).unwrap();
        assert_eq!(line["facts"]["limited_by"], "callers", "{line}");
        let refused = r#"tollgate_plugin_refused{policy="limits",code="rate_limit_exceeded",limit="callers"}"#;
        site.metric_becomes(refused, 1.0).await;
    });
}

#[tokio::test]
async fn an_answer_that_failed_upstream_says_how_a_client_stands_too() {
    let site = Site::start(&limited("exchange", TWO_AN_HOUR)).await;
    let failed = by(&site, ADA).behaving("fail=503").send().await;
    assert_eq!((failed.status, told(&failed)[1]), (503, Some("1")));
    // What was let through counts, whatever became of it.
    let gone = by(&site, ADA).behaving("cut-headers").send().await;
    assert_eq!(gone.status, 502);
    let refused = by(&site, ADA).send().await;
    assert_eq!(limit_code(&refused), "rate_limit_exceeded");
}

#[test]
fn a_request_needs_room_in_every_limit_and_takes_from_none_that_it_does_not_pass() {
    let limits = "{ name: everyone, by: [], requests: 3, period: 1h }, \
                  { name: each-model, by: [ caller, model ], requests: 1, period: 1h }";
    either_way(async |isolation| {
        let site = Site::start(&limited(isolation, limits)).await;
        let first = by(&site, ADA).send().await;
        assert_eq!(
            told(&first)[..2],
            [Some("1"), Some("0")],
            "of the one with the fewest left"
        );
        for _ in 0..3 {
            let refused = by(&site, ADA).send().await;
            limit_code(&refused);
            assert!(
                refused.text().contains("`each-model`"),
                "{}",
                refused.text()
            );
        }
        assert_eq!(by(&site, BOB).send().await.status, 200);
        // It was let through, and only then led nowhere.
        let unknown = by(&site, ADA).set("model", "large").send().await;
        assert_eq!(unknown.refusal(), (404, "model_not_found".to_owned()));
        let refused = by(&site, BOB).set("model", "large").send().await;
        limit_code(&refused);
        assert!(refused.text().contains("`everyone`"), "{}", refused.text());
        assert_eq!(site.standin.seen().requests, 2, "{isolation}");
    });
}

#[tokio::test]
async fn what_a_limit_counts_by_has_to_be_known() {
    let counting = |subject: &str| {
        let limit = format!("{{ name: some, by: [ {subject} ], requests: 5, period: 1h }}");
        chat_through("limits", &policy("exchange", &limit))
    };
    let site = Site::start(&counting("caller")).await;
    let nameless = site.chat().set("model", json!(null));
    for (subject, status) in [("tier", 403), ("model", 400), ("caller", 403)] {
        site.reconfigure(&counting(subject)).await;
        let (answered, code) = nameless.send().await.refusal();
        assert_eq!((answered, &*code), (status, "rate_limit_unknown_subject"));
    }
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test]
async fn a_count_goes_on_after_a_swap_also_with_other_numbers() {
    let site = Site::start(&limited("exchange", TWO_AN_HOUR)).await;
    for _ in 0..2 {
        assert_eq!(by(&site, ADA).send().await.status, 200);
    }
    let three = TWO_AN_HOUR.replace("requests: 2", "requests: 3");
    site.reconfigure(&limited("exchange", &three)).await;
    let third = by(&site, ADA).send().await;
    assert_eq!(
        (third.status, told(&third)),
        (200, [Some("3"), Some("0"), Some("1h0m0s")])
    );
    site.reconfigure(&limited("shared", TWO_AN_HOUR)).await;
    limit_code(&by(&site, ADA).send().await);
}

#[test]
fn at_a_target_it_limits_what_goes_there() {
    either_way(async |isolation| {
        let config = chat_through(
            "limits",
            &policy(isolation, &TWO_AN_HOUR.replace("caller ", "model ")),
        );
        let site = Site::start(&at_the_target(&config, "limits")).await;
        for left in ["1", "0"] {
            let answer = site.chat().send().await;
            assert_eq!((answer.status, told(&answer)[1]), (200, Some(left)));
        }
        assert_eq!(limit_code(&site.chat().send().await), "rate_limit_exceeded");
        assert_eq!(site.standin.seen().requests, 2);
        let log = site.exchanges(3).await;
        let line = log.iter().find(|line| line["status"] == 429).unwrap();
        assert_eq!(line["facts"]["limited_by"], "callers", "{line}");
    });
}

#[test]
fn no_more_than_the_limit_get_through_however_many_come_at_once() {
    either_way(async |isolation| {
        let limit = "{ name: everyone, by: [], requests: 5, period: 1h }";
        let site = Site::start(&limited(isolation, limit)).await;
        let asks: Vec<_> = (0..20).map(|_| by(&site, ADA)).collect();
        let answers = join_all(asks.iter().map(Ask::send)).await;
        let statuses = |status| {
            answers
                .iter()
                .filter(|answer| answer.status == status)
                .count()
        };
        assert_eq!((statuses(200), statuses(429)), (5, 15), "{isolation}");
        let mut left: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .filter_map(|answer| answer.header(TOLD[1]))
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["0", "1", "2", "3", "4"], "each is told its own");
    });
}

const ONE_AT_ONCE: &str = "{ name: at-once, by: [ caller ], concurrency: 1 }";

/// Ada's place is taken, and it is nobody else's.
async fn is_taken(site: &Site) {
    let refused = by(site, ADA).send().await;
    assert_eq!(limit_code(&refused), "concurrency_limit_exceeded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(by(site, BOB).send().await.status, 200);
}

/// Ada's place is free once nothing is under way.
async fn is_free(site: &Site, after: &str) {
    all_over(site).await;
    let answer = by(site, ADA).send().await;
    assert_eq!(answer.status, 200, "after {after}: {}", answer.text());
    all_over(site).await;
}

#[test]
fn a_place_is_held_to_the_end_of_a_stream_and_free_when_its_client_hangs_up() {
    either_way(async |isolation| {
        let site = Site::start(&limited(isolation, ONE_AT_ONCE)).await;
        let ask = by(&site, ADA).set("stream", true);
        let mut stream = ask.behaving("tokens=8,stall-after=3").stream().await;
        stream.next().await.unwrap();
        is_taken(&site).await;
        drop(stream);
        is_free(&site, "a client that hung up").await;

        let waiting = by(&site, ADA).behaving("stall-before").begin();
        site.seen("it is sent", |seen| seen.in_flight == 1).await;
        is_taken(&site).await;
        drop(waiting);
        is_free(&site, "a client that left before the answer").await;
    });
}

#[test]
fn a_place_is_free_again_however_the_upstream_fails() {
    either_way(async |isolation| {
        let site = Site::start(&limited(isolation, ONE_AT_ONCE)).await;
        for behaviour in ["fail=503", "cut-headers", "malformed-json", "status=429"] {
            by(&site, ADA).behaving(behaviour).send().await;
            is_free(&site, behaviour).await;
        }
        for behaviour in [
            "cut-after=2",
            "reset-after=2",
            "no-done",
            "error-event=2",
            "malformed",
        ] {
            let ask = by(&site, ADA).set("stream", true).behaving(behaviour);
            ask.stream().await.collect().await;
            is_free(&site, behaviour).await;
        }
    });
}

#[test]
fn a_place_that_was_taken_before_a_swap_is_given_back_after_it() {
    either_way(async |isolation| {
        let site = Site::start(&limited(isolation, ONE_AT_ONCE)).await;
        for next in ["exchange", "shared"] {
            let ask = by(&site, ADA).set("stream", true);
            let mut stream = ask.behaving("tokens=8,stall-after=3").stream().await;
            stream.next().await.unwrap();
            // Something else has to change, too: the first of them is what it was.
            let rest = format!("{ONE_AT_ONCE}, {{ name: {next}, by: [], concurrency: 9 }}");
            site.reconfigure(&limited(next, &rest)).await;
            is_taken(&site).await;
            drop(stream);
            is_free(&site, "a swap").await;
        }
    });
}

#[test]
fn a_place_is_free_again_when_a_policy_behind_refuses_or_fails() {
    let probe = "\n  probe: { PROBE, on_error: refuse }";
    either_way(async |isolation| {
        let policies = format!("{}{}{probe}", callers(), policy(isolation, ONE_AT_ONCE));
        let site = Site::start(&chat_through("callers, limits, probe", &policies)).await;
        for deed in ["trap", "loop", "trap@response", "trap@finish"] {
            by(&site, ADA).header("x-probe", deed).send().await;
            is_free(&site, deed).await;
        }
    });
}

#[test]
fn no_more_run_at_once_than_there_are_places() {
    either_way(async |isolation| {
        let limit = ONE_AT_ONCE.replace("concurrency: 1", "concurrency: 4");
        let site = Site::start(&limited(isolation, &limit)).await;
        let waiting: Vec<_> = (0..12)
            .map(|_| by(&site, ADA).behaving("stall-before").begin())
            .collect();
        let refused = site.exchanges(8).await;
        assert!(
            refused.iter().all(|line| line["status"] == 429),
            "{refused:?}"
        );
        let seen = site
            .seen("the rest is sent", |seen| seen.requests == 4)
            .await;
        assert_eq!(seen.in_flight, 4, "{isolation}");
        drop(waiting);
        is_free(&site, "a crowd").await;
    });
}

#[tokio::test]
async fn without_headers_the_refusal_is_the_gateways_own() {
    let config = limited(
        "exchange",
        "{ name: one, by: [ caller ], requests: 1, period: 1h }",
    );
    let site =
        Site::start(&config.replace("settings: { limits:", "settings: { headers: false, limits:"))
            .await;
    let first = by(&site, ADA).send().await;
    assert_eq!((first.status, told(&first)), (200, [None; 3]));
    let refused = by(&site, ADA).send().await;
    assert_eq!(limit_code(&refused), "rate_limit_exceeded");
    assert_eq!(told(&refused), [None; 3]);
    let log = site.exchanges(2).await;
    let line = log.iter().find(|line| line["status"] == 429).unwrap();
    let decided = &line["policies"][1];
    assert_eq!(decided["decided"], "refuse", "{line}");
    assert_eq!(line["error"], "rate_limit_exceeded", "{line}");
}
