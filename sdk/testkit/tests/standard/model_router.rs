use std::sync::LazyLock;

use tollgate_testkit::{Grants, Loaded};

use super::*;

#[path = "../../../../tests/mmdb.rs"]
mod mmdb;

/// Plain, and with each feature, built one after the other: all become the same file.
static BUILT: LazyLock<[Plugin; 4]> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/model-router");
    let plain = Plugin::build(&folder).unwrap();
    let with = |feature| Plugin::build_with(&folder, &[feature]).unwrap();
    [plain, with("kv"), with("geo"), with("shadow")]
});

fn plain() -> Plugin {
    BUILT[0].clone()
}

fn with_memory() -> Plugin {
    BUILT[1].clone()
}

fn with_places() -> Plugin {
    BUILT[2].clone()
}

/// Where it goes: model and upstream.
fn led(policy: &Loaded, exchange: Exchange) -> (Option<String>, Option<String>) {
    match policy.run(exchange).unwrap().verdict {
        Some(Verdict::GoTo(to)) => (to.model, to.upstream),
        Some(Verdict::Next) => (None, None),
        other => panic!("{other:?}"),
    }
}

fn split(weights: [u32; 2], more: &Value) -> Value {
    let mut then = json!({
        "by": [{ "header": "x-session" }],
        "split": [
            { "name": "stable", "model": "stable", "weight": weights[0] },
            { "name": "canary", "model": "canary", "weight": weights[1] },
        ],
    });
    let more = more.as_object().unwrap().clone();
    then.as_object_mut().unwrap().extend(more);
    json!({ "rules": [{ "name": "chat", "then": then }] })
}

fn of_session(policy: &Loaded, nth: u32) -> String {
    let session = format!("caller-{nth}");
    let (model, _) = led(policy, chat("hello").header("x-session", &session));
    model.unwrap()
}

#[test]
fn it_needs_no_grant_and_leads_by_what_a_request_is() {
    for isolation in ISOLATIONS {
        let settings = json!({
            "aliases": { "gpt-4": "chat" },
            "version_separator": "@",
            "country_header": "x-country",
            "known_models": ["small"],
            "rules": [
                { "name": "eu", "when": { "countries": ["DE"] }, "then": { "upstream": "eu" } },
                { "name": "gold", "when": { "models": ["chat"], "tiers": ["gold"] }, "then": { "model": "large" } },
                { "name": "old", "when": { "models": ["chat"], "versions": ["1"] }, "then": { "model": "chat-1" } },
                { "name": "long", "when": { "json": { "/max_tokens": { "min": 1000 } } }, "then": { "model": "long" } },
            ],
        });
        let policy = plain()
            .isolation(isolation)
            .settings(settings)
            .load()
            .unwrap();
        let model = |name: &str| (Some(name.to_owned()), None);
        let asks = |model: &str| asking(&json!({ "model": model, "messages": [] }));
        assert_eq!(
            led(&policy, asks("gpt-4").fact("tier", "gold")),
            model("large")
        );
        assert_eq!(led(&policy, asks("chat@1")), model("chat-1"));
        let many = asking(&json!({ "model": "small", "max_tokens": 1000 }));
        assert_eq!(led(&policy, many), model("long"));
        assert_eq!(led(&policy, asks("small")), (None, None));
        let german = policy.run(asks("small").header("x-country", "de")).unwrap();
        assert!(
            matches!(&german.verdict, Some(Verdict::GoTo(to)) if to.upstream.as_deref() == Some("eu"))
        );
        for fact in [
            ("country", "DE"),
            ("routed_by", "eu"),
            ("routed_to", "via eu"),
        ] {
            let fact = (fact.0.to_owned(), fact.1.to_owned());
            assert!(
                german.request.facts.contains(&fact),
                "{:?}",
                german.request.facts
            );
        }
        let unknown = policy.run(asks("large")).unwrap();
        let Some(Verdict::Refuse(refusal)) = unknown.verdict else {
            panic!("{:?}", unknown.verdict)
        };
        assert_eq!((refusal.status, &*refusal.code), (404, "model_not_found"));
    }
}

/// The same callers as natively: the split is the same on every machine.
#[test]
fn a_split_is_the_same_as_natively() {
    for isolation in ISOLATIONS {
        let settings = split([95, 5], &json!({}));
        let policy = plain()
            .isolation(isolation)
            .settings(settings)
            .load()
            .unwrap();
        let canaries: Vec<_> = (0..100)
            .filter(|nth| of_session(&policy, *nth) == "canary")
            .collect();
        assert_eq!(canaries, [7, 21, 30, 53, 89]);
    }
}

#[test]
fn a_share_shifts_by_the_gateways_clock() {
    let shift = |at: &str| {
        let shift = json!({ "to": "canary", "steps": [{ "at": at, "percent": 100 }] });
        let settings = split([1, 0], &json!({ "shift": shift }));
        plain().settings(settings).load().unwrap()
    };
    let (over, to_come) = (shift("2020-01-01T00:00:00Z"), shift("9999-01-01T00:00:00Z"));
    for nth in 0..20 {
        assert_eq!(of_session(&over, nth), "canary");
        assert_eq!(of_session(&to_come, nth), "stable");
    }
}

#[test]
fn sessions_are_remembered_by_the_build_that_can() {
    let remember = json!({ "remember": "1h" });
    let settings = split([1, 0], &remember);
    let refused = plain().settings(settings.clone()).load().unwrap_err();
    assert!(refused.to_string().contains("feature `kv`"), "{refused}");
    let not_granted = with_memory().settings(settings.clone()).load().unwrap_err();
    assert!(not_granted.to_string().contains("kv"), "{not_granted}");
    for isolation in ISOLATIONS {
        let load = |weights: [u32; 2]| {
            let seed = format!("memory-{isolation:?}").to_lowercase();
            let settings = split(weights, &json!({ "remember": "1h", "seed": seed }));
            let grants = Grants {
                kv: true,
                ..Grants::default()
            };
            let plugin = with_memory().grants(grants).isolation(isolation);
            plugin.settings(settings).load().unwrap()
        };
        let before = load([1, 0]);
        assert_eq!(of_session(&before, 1), "stable");
        let after = load([1, 1_000_000]);
        assert_eq!(of_session(&after, 1), "stable", "{isolation:?}");
        assert_eq!(of_session(&after, 2), "canary");
        let gone = load([0, 1]);
        assert_eq!(of_session(&gone, 1), "canary");
    }
}

#[test]
fn the_clients_address_is_located_by_the_build_that_can() {
    let settings = json!({ "locate": true, "rules": [
        { "name": "de", "when": { "countries": ["DE"] }, "then": { "model": "de" } },
    ] });
    let refused = plain().settings(settings.clone()).load().unwrap_err();
    assert!(refused.to_string().contains("feature `geo`"), "{refused}");
    let granted = Grants {
        geo: true,
        ..Grants::default()
    };
    let places = mmdb::database(&[("203.0.113.0/24", ["DE", "BY", "EU", "Munich"])]);
    for isolation in ISOLATIONS {
        let plugin = with_places().isolation(isolation).grants(granted.clone());
        let plugin = plugin
            .settings(settings.clone())
            .geo(places.clone())
            .unwrap();
        let policy = plugin.load().unwrap();
        let from = |address: &str| {
            let chat = Exchange::post("/v1/chat/completions").json(json!({ "model": "m" }));
            chat.fact("client_address", address)
        };
        assert_eq!(led(&policy, from("203.0.113.9")).0.as_deref(), Some("de"));
        assert_eq!(led(&policy, from("192.0.2.1")).0, None);
    }
}

#[test]
fn a_value_as_long_as_a_body_is_none_and_no_end_of_the_policy() {
    let settings = json!({ "rules": [
        { "name": "user", "when": { "json": { "/user": ["*"] } }, "then": { "model": "x" } },
    ] });
    for isolation in ISOLATIONS {
        let policy = plain()
            .isolation(isolation)
            .settings(settings.clone())
            .load()
            .unwrap();
        let long = "ab".repeat(2 << 20);
        let run = policy.run(asking(&json!({ "user": long }))).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        assert_eq!(
            led(&policy, asking(&json!({ "user": "ada" }))).0.as_deref(),
            Some("x")
        );
    }
}

#[test]
fn copies_need_the_feature_and_the_grant_of_shadows() {
    let settings = json!({ "rules": [
        { "name": "chat", "then": { "model": "chat", "shadow": { "model": "next" } } },
    ] });
    let refused = plain().settings(settings.clone()).load().unwrap_err();
    assert!(
        refused.to_string().contains("feature `shadow`"),
        "{refused}"
    );
    let built = BUILT[3].clone().settings(settings);
    let refused = built.clone().load().unwrap_err();
    assert!(refused.to_string().contains("`shadow`"), "{refused}");
    for isolation in ISOLATIONS {
        let grants = Grants {
            shadow: true,
            ..Grants::default()
        };
        let policy = built.clone().grants(grants).isolation(isolation);
        let run = policy.load().unwrap().run(chat("hello")).unwrap();
        let to = run.shadow.unwrap();
        assert_eq!((to.model.as_deref(), to.upstream), (Some("next"), None));
        assert!(
            matches!(run.verdict, Some(Verdict::GoTo(to)) if to.model.as_deref() == Some("chat"))
        );
    }
}
