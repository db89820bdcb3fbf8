use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tollgate_testkit::{Grants, HttpCallGrant, Loaded};

use super::*;

/// Keys, tokens that they signed, good until 2100, and tokens that they did not.
static SIGNED: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("tokens.json")).unwrap());

fn tokens(kind: &str) -> impl Iterator<Item = (&str, &str)> {
    let tokens = SIGNED[kind].as_object().unwrap().iter();
    tokens.map(|(name, token)| (name.as_str(), token.as_str().unwrap()))
}

fn grants(host: &str) -> Grants {
    Grants {
        kv: true,
        http_call: Some(HttpCallGrant {
            hosts: vec![host.to_owned()],
            timeout: Duration::from_secs(5),
            max_response_bytes: 64 << 10,
            max_calls: 4,
        }),
        ..Grants::default()
    }
}

fn settings() -> Value {
    json!({
        "keys": SIGNED["jwks"]["keys"], "issuer": "https://idp.example", "audience": "gateway",
        "facts": { "caller": "/sub", "groups": "/groups" },
    })
}

fn load(isolation: Isolation, settings: &Value, host: &str) -> Loaded {
    let plugin = standard("jwt").grants(grants(host)).isolation(isolation);
    plugin.settings(settings.clone()).load().unwrap()
}

fn with(token: &str) -> Exchange {
    chat("hello").header("authorization", &format!("Bearer {token}"))
}

#[test]
fn it_needs_the_grants_that_its_page_names() {
    for (grants, missing) in [
        (Grants::default(), "kv"),
        (
            Grants {
                kv: true,
                ..Grants::default()
            },
            "http-call",
        ),
    ] {
        let plugin = standard("jwt").grants(grants).settings(settings());
        let refused = plugin.load().unwrap_err().to_string();
        assert!(refused.contains(missing), "{refused}");
    }
}

#[test]
fn a_token_of_each_kind_is_checked_in_the_time_and_memory_of_a_plugin() {
    for isolation in ISOLATIONS {
        let policy = load(isolation, &settings(), "https://idp.example:443");
        for (algorithm, token) in tokens("good") {
            let run = policy.run(with(token)).unwrap();
            assert!(is_let_through(&run), "{algorithm}: {:?}", run.verdict);
            assert_eq!(fact(&run, "caller"), Some("ada"));
            assert_eq!(fact(&run, "groups"), Some("rivers,lakes"));
            assert!(run.request.headers.get("authorization").is_none());
        }
        for (code, token) in tokens("refused") {
            let run = policy.run(with(token)).unwrap();
            assert_eq!(refusal(&run), (401, code));
            assert_eq!(fact(&run, "caller"), None);
        }
        for (what, token) in tokens("forged") {
            let run = policy.run(with(token)).unwrap();
            assert_eq!(refusal(&run), (401, "invalid_token"), "{what}");
        }
        assert_eq!(
            refusal(&policy.run(chat("hello")).unwrap()),
            (401, "missing_token")
        );
    }
}

#[test]
fn tokens_made_to_hurt_are_refused_within_the_bounds() {
    let (_, good) = tokens("good").next().unwrap();
    for isolation in ISOLATIONS {
        let policy = load(isolation, &settings(), "https://idp.example:443");
        // `[` and `{"a":` again and again, in base64url.
        let deep = format!("eyJhbGciOiJFZERTQSIsIngiOltb{}.e30.AA", "W1tb".repeat(3000));
        let deeper = format!("eyJiIjp7{}.e30.AA", "ImEiOnsiYSI6eyJhIjp7".repeat(600));
        for token in [
            "x".repeat(30_000),
            ".".repeat(16_000),
            format!("{good}{}", "A".repeat(16_000)),
            deep,
            deeper,
            format!("{good}."),
            good.to_uppercase(),
            good.replace('.', ".."),
        ] {
            let run = policy.run(with(&token)).unwrap();
            let shown: String = token.chars().take(40).collect();
            assert_eq!(refusal(&run), (401, "invalid_token"), "{shown}");
            assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
        }
        let run = policy.run(with(good)).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
    }
}

/// A server of keys on the loopback, and how often it was asked.
struct Provider {
    host: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let answer = Arc::new(Mutex::new(String::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (says, counts) = (answer.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                // Who hangs up is not served.
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    counts.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(says.lock().unwrap().as_bytes());
                }
            }
        });
        Self {
            host,
            answer,
            asked,
        }
    }

    fn says(&self, status: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
    }
}

#[test]
fn keys_are_fetched_once_for_all_instances_and_kept_through_an_outage() {
    for isolation in ISOLATIONS {
        let provider = Provider::start();
        provider.says("200 OK", &SIGNED["jwks"].to_string());
        let mut settings = settings();
        settings.as_object_mut().unwrap().remove("keys");
        settings["jwks_url"] = format!("{}/keys", provider.host).into();
        settings["pause"] = "1ms".into();
        let policy = load(isolation, &settings, &provider.host);
        for _ in 0..3 {
            for (algorithm, token) in tokens("good") {
                let run = policy.run(with(token)).unwrap();
                assert!(is_let_through(&run), "{algorithm}: {:?}", run.verdict);
            }
        }
        assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "{isolation:?}");
        provider.says("503 Service Unavailable", "");
        for (what, token) in tokens("forged") {
            let run = policy.run(with(token)).unwrap();
            assert_eq!(refusal(&run), (401, "invalid_token"), "{what}");
        }
        assert!(
            provider.asked.load(Ordering::SeqCst) > 1,
            "an unknown key is looked for"
        );
        for (algorithm, token) in tokens("good") {
            let run = policy.run(with(token)).unwrap();
            assert!(is_let_through(&run), "{algorithm}: {:?}", run.verdict);
        }
    }
}

#[test]
fn with_no_keys_in_reach_nobody_is_let_in() {
    for isolation in ISOLATIONS {
        let provider = Provider::start();
        provider.says("200 OK", r#"{"keys":[]}"#);
        let mut settings = settings();
        settings.as_object_mut().unwrap().remove("keys");
        settings["jwks_url"] = format!("{}/keys", provider.host).into();
        let policy = load(isolation, &settings, &provider.host);
        for (algorithm, token) in tokens("good") {
            let run = policy.run(with(token)).unwrap();
            assert_eq!(refusal(&run), (503, "keys_unavailable"), "{algorithm}");
        }
    }
}

#[test]
fn what_is_remembered_is_that_a_signature_was_good_and_no_more() {
    let mut settings = settings();
    settings["remember"] = "1h".into();
    for isolation in ISOLATIONS {
        let policy = load(isolation, &settings, "https://idp.example:443");
        for _ in 0..2 {
            for (algorithm, token) in tokens("good") {
                assert!(
                    is_let_through(&policy.run(with(token)).unwrap()),
                    "{algorithm}"
                );
            }
            for (code, token) in tokens("refused") {
                assert_eq!(refusal(&policy.run(with(token)).unwrap()), (401, code));
            }
            for (what, token) in tokens("forged") {
                assert_eq!(
                    refusal(&policy.run(with(token)).unwrap()).1,
                    "invalid_token",
                    "{what}"
                );
            }
        }
    }
}
