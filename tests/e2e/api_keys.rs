//! The lists of models, the ends and the rotation of `api-keys`, on real traffic.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    client::Ask,
    fixture::{Site, chat_through, either_way, until_async},
    issuer::now,
};

fn hash(key: &str) -> String {
    let digest = Sha256::digest(key);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `api-keys` with these settings; the model `large` is there as well, and the alias
/// `assistant` that a later policy makes of it.
fn known(isolation: &str, settings: &str) -> String {
    let policies = format!(
        r#"
  callers: {{ plugin: api-keys, on_error: refuse, isolation: {isolation}, settings: {{ {settings} }} }}
  rules:
    plugin: model-rules
    on_error: refuse
    settings: {{ rules: [ {{ models: [ assistant ], request: {{ alias: large }} }} ] }}"#
    );
    chat_through("callers, rules", &policies).replace(
        "models: { small:",
        "models: { large: { targets: [ { upstream: standin } ] }, small:",
    )
}

fn by(site: &Site, key: &str) -> Ask {
    site.chat().header("authorization", format!("Bearer {key}"))
}

async fn told(ask: &Ask) -> (u16, String) {
    let answer = ask.send().await;
    match answer.status {
        200 => (200, String::new()),
        _ => answer.refusal(),
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_key_gets_the_models_on_its_list_and_no_other() {
    either_way(async |isolation| {
        let settings = format!(
            "keys: [ {{ sha256: {}, caller: ada }} ], \
             callers: [ {{ caller: bob, tier: trial, models: [ small, 'ass*' ], keys: [ {{ sha256: {} }}, {{ sha256: {}, models: [ small ] }} ] }} ]",
            hash("ada"),
            hash("bob"),
            hash("bob-narrow")
        );
        let site = Site::start(&known(isolation, &settings)).await;
        for (key, model, expected) in [
            ("ada", "small", (200, String::new())),
            ("ada", "large", (200, String::new())),
            ("bob", "small", (200, String::new())),
            ("bob", "large", refused(403, "model_not_allowed")),
            ("bob", "Small", refused(403, "model_not_allowed")),
            ("bob", "no-such", refused(403, "model_not_allowed")),
            // What a later policy makes of it is the operator's to allow.
            ("bob", "assistant", (200, String::new())),
            ("bob-narrow", "small", (200, String::new())),
            ("bob-narrow", "assistant", refused(403, "model_not_allowed")),
            ("ada", "no-such", refused(404, "model_not_found")),
        ] {
            let ask = by(&site, key).set("model", model);
            assert_eq!(told(&ask).await, expected, "{key} {model} {isolation}");
        }
        let lines = site.exchanges(10).await;
        for line in lines.iter().filter(|line| line["status"] == 403) {
            let facts = json!({ "caller": "bob", "tier": "trial" });
            assert_eq!(
                (&line["facts"], &line["error"]),
                (&facts, &"model_not_allowed".into())
            );
        }
        assert_eq!(site.standin.seen().requests, 5);
    });
}

#[test]
fn no_spelling_of_a_body_gets_past_a_list() {
    either_way(async |isolation| {
        let settings = format!(
            "keys: [ {{ sha256: {}, caller: bob, models: [ small ] }} ]",
            hash("bob")
        );
        let site = Site::start(&known(isolation, &settings)).await;
        let ask = |kind: &str, body: &[u8]| {
            let ask = site
                .ask("POST", "/v1/chat/completions")
                .header("authorization", "Bearer bob");
            ask.header("content-type", kind).body(body.to_vec())
        };
        for (body, expected) in [
            (
                &br#"{"model":"small","model":"large"}"#[..],
                refused(400, "invalid_json"),
            ),
            (
                br#"{"model":"large","model":"small"}"#,
                refused(400, "invalid_json"),
            ),
            (
                br#"{"model":"small","\u006dodel":"large"}"#,
                refused(400, "invalid_json"),
            ),
            (br#"{"model":["small"]}"#, refused(400, "model_required")),
            (br#"{"Model":"small"}"#, refused(400, "model_required")),
            (br#"{"model":null}"#, refused(400, "model_required")),
            (b"", refused(400, "model_required")),
            (b"{\"model\":\"large\xff\"}", refused(400, "invalid_json")),
            (
                br#"{"model":"large\u0000"}"#,
                refused(403, "model_not_allowed"),
            ),
            (
                br#"{"model":"\u006carge"}"#,
                refused(403, "model_not_allowed"),
            ),
        ] {
            for kind in ["application/json", "text/plain"] {
                let shown = String::from_utf8_lossy(body);
                let (status, _) = told(&ask(kind, body)).await;
                assert!((400..404).contains(&status), "{shown}: {status}");
                if kind == "application/json" && !body.is_empty() {
                    assert_eq!(
                        told(&ask(kind, body)).await,
                        expected,
                        "{shown} {isolation}"
                    );
                }
            }
        }
        assert_eq!(site.standin.seen().requests, 0);
        let escaped = br#"{"model":"sm\u0061ll","messages":[]}"#;
        assert_eq!(told(&ask("application/json", escaped)).await.0, 200);
        let zipped = ask("application/json", b"\x1f\x8b").header("content-encoding", "gzip");
        assert_eq!(
            told(&zipped).await,
            refused(415, "unsupported_content_encoding")
        );
    });
}

#[test]
fn a_key_works_up_to_its_end() {
    either_way(async |isolation| {
        let at = |seconds: u64| {
            let zone = if seconds.is_multiple_of(2) {
                "Z"
            } else {
                "+00:00"
            };
            format!("'{}{zone}'", rfc3339(seconds))
        };
        let settings = format!(
            "keys: [ {{ sha256: {}, caller: ada, expires: {} }}, {{ sha256: {}, caller: bob, expires: {} }}, {{ sha256: {}, caller: cat, expires: 2020-02-29 }}, {{ sha256: {}, caller: dan, expires: {} }} ]",
            hash("ada"),
            at(now() + 3600),
            hash("bob"),
            at(now() - 1),
            hash("cat"),
            hash("dan"),
            at(now() + 3)
        );
        let site = Site::start(&known(isolation, &settings)).await;
        assert_eq!(told(&by(&site, "ada")).await.0, 200);
        for key in ["bob", "cat"] {
            assert_eq!(told(&by(&site, key)).await, refused(401, "expired_api_key"));
        }
        assert_eq!(
            told(&by(&site, "eve")).await,
            refused(401, "invalid_api_key")
        );
        // Without anybody touching anything, one more ends.
        until_async("the end of a key", async || {
            (told(&by(&site, "dan")).await == refused(401, "expired_api_key")).then_some(())
        })
        .await;
        assert_eq!(site.gateway.generation(), 1, "{isolation}");
        let log = site.access_log(5).await;
        assert!(
            !log.contains(&hash("ada")) && !log.contains(&hash("bob")),
            "{log}"
        );
    });
}

/// In UTC, without the zone.
fn rfc3339(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (mut year, mut left) = (1970, days);
    let every = |year: u64, nth: u64| year.is_multiple_of(nth);
    let is_leap = |year| every(year, 4) && (!every(year, 100) || every(year, 400));
    let length = |year: u64| 365 + u64::from(is_leap(year));
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}",
        left + 1
    )
}

#[test]
fn one_key_takes_over_from_another_while_requests_are_under_way() {
    either_way(async |isolation| {
        let rotating = |keys: &[&str]| {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| format!("{{ sha256: {} }}", hash(key)))
                .collect();
            let limits = "\n  limits: { plugin: rate-limit, on_error: refuse, grants: { limits: true }, settings: { limits: [ { name: all, by: [ caller ], requests: 5, period: 1h } ] } }";
            let settings = format!(
                "callers: [ {{ caller: bob, keys: [ {} ] }} ]",
                keys.join(", ")
            );
            let config =
                known(isolation, &settings).replace("\n  rules:", &format!("{limits}\n  rules:"));
            config.replace(
                "policies: [ callers, rules ]",
                "policies: [ callers, limits, rules ]",
            )
        };
        let site = Site::start(&rotating(&["old"])).await;
        assert_eq!(told(&by(&site, "old")).await.0, 200);
        assert_eq!(
            told(&by(&site, "new")).await,
            refused(401, "invalid_api_key")
        );
        site.reconfigure(&rotating(&["old", "new"])).await;
        let under_way = by(&site, "old")
            .set("stream", true)
            .behaving("tokens=30,pace=20ms")
            .stream()
            .await;
        assert_eq!(told(&by(&site, "new")).await.0, 200);
        site.reconfigure(&rotating(&["new"])).await;
        assert_eq!(
            told(&by(&site, "old")).await,
            refused(401, "invalid_api_key")
        );
        assert!(under_way.collect().await.is_complete(), "{isolation}");
        // It is one caller all the time, with one count: three so far.
        for _ in 0..2 {
            assert_eq!(told(&by(&site, "new")).await.0, 200);
        }
        assert_eq!(
            told(&by(&site, "new")).await,
            refused(429, "rate_limit_exceeded")
        );
    });
}
