use serde_json::json;
use sha2::{Digest, Sha256};
use tollgate_sdk::testing::{Exchange, Run, logged};

use super::ApiKeys;

fn hash(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn two_callers() -> Run<ApiKeys> {
    Run::new(json!({ "keys": [
        { "sha256": hash("key-of-ann"), "caller": "ann", "tier": "gold" },
        { "sha256": format!("sha256:{}", hash("key-of-bob").to_uppercase()), "caller": "bob" },
    ] }))
}

fn code(run: &Run<ApiKeys>, value: impl Into<Vec<u8>>) -> Option<String> {
    let decided = run
        .open(Exchange::chat().header("authorization", value))
        .request();
    decided.refusal().map(|refusal| {
        assert_eq!(refusal.status, 401);
        refusal.code.clone()
    })
}

#[test]
fn a_known_key_tells_who_calls_and_does_not_reach_the_upstream() {
    let run = two_callers();
    let decided = run
        .open(Exchange::chat().header("Authorization", "Bearer key-of-ann"))
        .request();
    assert!(decided.is_next());
    assert_eq!(decided.fact("caller").as_deref(), Some("ann"));
    assert_eq!(decided.fact("tier").as_deref(), Some("gold"));
    assert_eq!(decided.header("authorization"), None);

    let decided = run
        .open(Exchange::chat().header("authorization", "bearer key-of-bob"))
        .request();
    assert_eq!(decided.fact("caller").as_deref(), Some("bob"));
    assert_eq!(decided.fact("tier"), None);
}

#[test]
fn a_request_without_a_key_is_told_how_to_send_one() {
    let decided = two_callers().open(Exchange::chat()).request();
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (401, "missing_api_key")
    );
    assert_eq!(
        refusal.message,
        "Send an API key in the header `authorization: Bearer KEY`."
    );
}

#[test]
fn whatever_is_not_a_known_key_is_refused() {
    let run = two_callers();
    let long = format!("Bearer {}", "k".repeat(64 * 1024));
    let values: [&[u8]; 14] = [
        b"Bearer key-of-an",
        b"Bearer key-of-ann1",
        b"Bearer KEY-OF-ANN",
        b"Bearer key-of-cat",
        b"Basic key-of-ann",
        b"key-of-ann",
        b"Bearer key-of-ann, Bearer key-of-bob",
        b"Bearer key-of-ann,",
        b"Bearer\tkey-of-ann",
        b"Bearer key-of-ann\n",
        b"Bearer key-of-ann\0",
        b"Bearer ' OR 1=1 --",
        b"Bearer \xff\xfe",
        long.as_bytes(),
    ];
    for value in values {
        let shown = String::from_utf8_lossy(value);
        assert_eq!(
            code(&run, value).as_deref(),
            Some("invalid_api_key"),
            "{shown:?}"
        );
    }
    for value in ["", "Bearer", "Bearer "] {
        assert_eq!(
            code(&run, value).as_deref(),
            Some("missing_api_key"),
            "{value:?}"
        );
    }
}

#[test]
fn a_key_in_the_query_string_is_no_key() {
    let exchange = Exchange::chat().to("POST", "/v1/chat/completions?api_key=key-of-ann");
    let decided = two_callers().open(exchange).request();
    assert_eq!(decided.refusal().unwrap().code, "missing_api_key");
}

#[test]
fn of_two_headers_the_unchecked_one_never_reaches_the_upstream() {
    let exchange = || {
        Exchange::chat()
            .header("authorization", "Bearer key-of-ann")
            .header("authorization", "Bearer another")
    };
    let kept = Run::<ApiKeys>::new(json!({
        "keys": [ { "sha256": hash("key-of-ann"), "caller": "ann" } ],
        "strip": false,
    }));
    let decided = kept.open(exchange()).request();
    assert_eq!(
        decided.header("authorization").as_deref(),
        Some("Bearer key-of-ann")
    );
    assert_eq!(
        two_callers()
            .open(exchange())
            .request()
            .header("authorization"),
        None
    );
}

#[test]
fn another_header_can_carry_the_key() {
    let run = Run::<ApiKeys>::new(json!({
        "keys": [ { "hash": hash("k"), "caller": "ann" } ],
        "header": "X-Api-Key",
    }));
    assert!(
        run.open(Exchange::chat().header("x-api-key", "k"))
            .request()
            .is_next()
    );
    let decided = run
        .open(Exchange::chat().header("authorization", "Bearer k"))
        .request();
    assert_eq!(
        decided.refusal().unwrap().message,
        "Send an API key in the header `x-api-key: KEY`."
    );
}

#[test]
fn neither_a_key_nor_a_part_of_it_is_logged_or_shown() {
    let run = two_callers();
    for value in ["Bearer key-of-ann", "Bearer key-of-cat", "key-of-dog"] {
        let decided = run
            .open(Exchange::chat().header("authorization", value))
            .request();
        assert!(
            decided
                .refusal()
                .is_none_or(|refusal| !refusal.message.contains("key-of"))
        );
    }
    assert!(logged().is_empty());
}

#[test]
fn every_one_of_thousands_of_keys_is_found() {
    let keys: Vec<_> = (0..5000)
        .map(|n| json!({ "sha256": hash(&format!("key-{n}")), "caller": format!("caller-{n}") }))
        .collect();
    let run = Run::<ApiKeys>::new(json!({ "keys": keys }));
    for n in [0, 1, 2499, 4998, 4999] {
        let decided = run
            .open(Exchange::chat().header("authorization", format!("Bearer key-{n}")))
            .request();
        assert_eq!(decided.fact("caller"), Some(format!("caller-{n}")));
    }
    assert_eq!(
        code(&run, "Bearer key-5000").as_deref(),
        Some("invalid_api_key")
    );
}

#[test]
fn mistakes_in_the_settings_are_named_with_their_place() {
    let errors = |settings| Run::<ApiKeys>::try_new(settings).err().unwrap();
    assert_eq!(
        errors(json!({ "keys": [ { "sha256": "abc", "caller": "ann" } ] })),
        ["/keys/0/sha256: expected the SHA-256 of a key: 64 hex digits"]
    );
    assert_eq!(
        errors(json!({ "keys": [] })),
        ["/keys: at least one key is needed"]
    );
    assert_eq!(
        errors(json!({ "keys": [
            { "sha256": hash("b"), "caller": "ann" },
            { "sha256": hash("a"), "caller": "" },
            { "sha256": hash("b"), "caller": "cat", "tier": "a\nb" },
        ] })),
        [
            "/keys/1/caller: expected 1 to 256 bytes without control characters",
            "/keys/2/tier: expected 1 to 256 bytes without control characters",
            "/keys/2/sha256: the same key as /keys/0",
        ]
    );
    assert_eq!(
        errors(json!({ "keys": [], "header": "a b" })),
        ["/header: expected the name of a header"]
    );
    assert!(errors(json!({ "kyes": [] }))[0].starts_with("/kyes: unknown field `kyes`"));
}

#[test]
fn the_schema_describes_the_settings() {
    let schema = Run::<ApiKeys>::settings_schema();
    for word in [
        "sha256", "caller", "callers", "tier", "models", "expires", "header", "strip",
    ] {
        assert!(schema.contains(word), "{word}");
    }
}

#[test]
fn its_samples_hold() {
    two_callers().prove();
}

mod lists;
mod rotation;
