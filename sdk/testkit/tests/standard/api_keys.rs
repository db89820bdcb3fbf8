use tollgate_testkit::Loaded;

use super::*;

/// `printf %s key-of-ada | sha256sum`, and so on.
const ADA: &str = "5532e44183f47ed1fc146851b96d585c24da5bd5fe31a885cebc357261ed8f7f";
const BOB: &str = "808a1d81b5de08d72083995df738947d519d230a20c236003268f0f4b65ee475";
const OLD: &str = "8275452d274ed490a111b9feef1e542673122ca2f6ea53d5fc733b16dfe360df";
const NEW: &str = "a33cdebc7cafdb1183841f23cc10200f77030a4172860d8980547c280fa365ca";

fn known(isolation: Isolation, settings: &Value) -> Loaded {
    let plugin = standard("api-keys").isolation(isolation);
    plugin.settings(settings.clone()).load().unwrap()
}

fn by(key: &str, model: &str) -> Exchange {
    asking(&json!({ "model": model })).header("authorization", &format!("Bearer {key}"))
}

#[test]
fn a_key_gets_the_models_on_its_list_and_its_callers_facts() {
    let settings = json!({
        "keys": [{ "sha256": ADA, "caller": "ada", "tier": "team" }],
        "callers": [{ "caller": "bob", "models": ["small", "gpt-*"], "keys": [{ "sha256": BOB }] }],
    });
    for isolation in ISOLATIONS {
        let policy = known(isolation, &settings);
        for (key, model) in [
            ("ada", "small"),
            ("ada", "large"),
            ("bob", "small"),
            ("bob", "gpt-4o"),
        ] {
            let run = policy.run(by(&format!("key-of-{key}"), model)).unwrap();
            assert!(is_let_through(&run), "{key} {model}: {:?}", run.verdict);
            assert_eq!(fact(&run, "caller"), Some(key));
            assert!(run.request.headers.get("authorization").is_none());
        }
        let run = policy.run(by("key-of-bob", "large")).unwrap();
        assert_eq!(refusal(&run), (403, "model_not_allowed"));
        assert_eq!(fact(&run, "caller"), Some("bob"), "the log names who asked");
        let run =
            policy.run(Exchange::post("/v1/models").header("authorization", "Bearer key-of-bob"));
        assert_eq!(refusal(&run.unwrap()), (400, "model_required"));
        for key in ["key-of-eve", "key-of-ad", ""] {
            let run = policy.run(by(key, "small")).unwrap();
            assert_eq!(refusal(&run).0, 401, "{key}");
        }
    }
}

#[test]
fn only_a_list_of_models_has_the_body_read() {
    use tollgate_testkit::contract::Needs;
    let without = json!({ "keys": [{ "sha256": ADA, "caller": "ada" }] });
    let with = json!({ "keys": [{ "sha256": ADA, "caller": "ada", "models": ["small"] }] });
    for (settings, reads) in [(without, false), (with, true)] {
        let policy = known(Isolation::Exchange, &settings);
        let needs = policy.policy().needs();
        assert_eq!(needs.contains(Needs::REQUEST_JSON), reads, "{settings}");
    }
}

#[test]
fn of_two_keys_of_a_caller_one_ends_and_the_other_goes_on() {
    let settings = json!({ "callers": [{ "caller": "bob", "keys": [
        { "sha256": OLD, "expires": "2020-02-29" },
        { "sha256": NEW, "expires": "2099-12-31T23:59:59Z" },
    ] }] });
    for isolation in ISOLATIONS {
        let policy = known(isolation, &settings);
        let run = policy.run(by("key-of-old", "small")).unwrap();
        assert_eq!(refusal(&run), (401, "expired_api_key"));
        let run = policy.run(by("key-of-new", "small")).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        assert_eq!(fact(&run, "caller"), Some("bob"));
    }
}

#[test]
fn five_thousand_keys_are_configured_once_and_each_is_found() {
    let keys: Vec<Value> = (0..5000)
        .map(|n| json!({ "sha256": format!("{n:064x}"), "caller": format!("c{n}") }))
        .chain([json!({ "sha256": ADA, "caller": "ada", "tier": "team" })])
        .collect();
    for isolation in ISOLATIONS {
        let policy = known(isolation, &json!({ "keys": keys }));
        let run = policy.run(by("key-of-ada", "small")).unwrap();
        assert_eq!(fact(&run, "caller"), Some("ada"));
        assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
        let run = policy.run(by("key-of-eve", "small")).unwrap();
        assert_eq!(refusal(&run), (401, "invalid_api_key"));
    }
}

#[test]
fn settings_that_are_wrong_are_refused_with_their_place() {
    for (settings, says) in [
        (json!({ "keys": [] }), "at least one key"),
        (
            json!({ "keys": [{ "sha256": "abc", "caller": "ada" }] }),
            "/keys/0/sha256",
        ),
        (
            json!({ "callers": [{ "caller": "bob", "keys": [{ "sha256": OLD, "expires": "soon" }] }] }),
            "/callers/0/keys/0/expires",
        ),
    ] {
        let refused = standard("api-keys").settings(settings).load().unwrap_err();
        assert!(refused.to_string().contains(says), "{says}: {refused}");
    }
}
