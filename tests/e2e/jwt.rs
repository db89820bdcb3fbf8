//! `jwt` on real traffic, with a provider of keys on the loopback: who is let in, who is
//! not, and keys that change or cannot be had.

use serde_json::{Value, json};

use crate::{
    client::Answer,
    fixture::{Site, either_way, until_async},
    issuer::{Key, base64url, claims, claims_with, jwks, now, trusting, with_token},
    scripted::{Said, Scripted},
};

mod keys;

async fn provider<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Scripted {
    Scripted::saying(jwks(keys)).await
}

/// Status and code.
fn told(answer: &Answer) -> (u16, String) {
    match answer.status {
        200 => (200, String::new()),
        _ => answer.refusal(),
    }
}

async fn told_of(site: &Site, token: &str) -> (u16, String) {
    told(&with_token(site, token).send().await)
}

async fn is_let_in(site: &Site, token: &str) {
    let answer = with_token(site, token).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Asks until the token is told this.
async fn comes_to(site: &Site, token: &str, status: u16, code: &str) {
    until_async(&format!("{status} {code}"), async || {
        (told_of(site, token).await == (status, code.to_owned())).then_some(())
    })
    .await;
}

#[test]
fn a_token_of_each_kind_says_who_calls_to_the_policies_behind_and_to_the_log() {
    either_way(async |isolation| {
        let keys = [Key::rsa("r"), Key::p256("p"), Key::ed25519("e")];
        let provider = provider(&keys).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        for key in &keys {
            is_let_in(&site, &key.token(&claims())).await;
            let seen = site.standin.seen();
            let request = seen.newest().unwrap();
            let facts = ["x-caller", "x-tier", "x-groups"].map(|name| request.header(name));
            assert_eq!(facts, [Some("ada"), Some("team"), Some("rivers,lakes")]);
            assert_eq!(request.header("authorization"), None, "it goes no further");
        }
        assert_eq!(provider.count(), 1, "the keys are asked for once");
        let asked = provider.newest();
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("GET", "/keys")
        );
        assert_eq!(asked.header("authorization"), None);

        let log = site.access_log(3).await;
        let first = keys[0].token(&claims());
        let payload = first.split('.').nth(1).unwrap();
        assert!(
            !log.contains(&payload[..40]),
            "a token is never logged: {log}"
        );
        for line in site.exchanges(3).await {
            let facts = json!({ "caller": "ada", "groups": "rivers,lakes", "tier": "team" });
            assert_eq!(line["facts"], facts, "{isolation}: {line}");
        }
        let fetched = r#"tollgate_plugin_fetches{policy="callers",outcome="ok"}"#;
        site.metric_becomes(fetched, 1.0).await;
    });
}

#[test]
fn streams_are_let_in_too_and_other_routes_are_not_asked() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let provider = provider([&key]).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        let ask = with_token(&site, &key.token(&claims())).set("stream", true);
        assert!(ask.stream().await.collect().await.is_complete());
        let models = site.ask("GET", "/v1/models").send().await;
        assert_eq!(models.status, 200, "{isolation}");
    });
}

/// HMAC with SHA-256, as a reader would compute it that takes a public key for a secret.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

/// What a stranger makes of the public keys: no signature, or one with them as a secret.
fn confused(keys: &[Key]) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    let body = base64url(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE"] {
        let head = base64url(json!({ "alg": alg, "kid": "e" }).to_string());
        tokens.push((alg.to_owned(), format!("{head}.{body}.")));
    }
    for key in keys {
        for alg in ["HS256", "HS512"] {
            let head = base64url(json!({ "alg": alg, "kid": key.kid }).to_string());
            let message = format!("{head}.{body}");
            for secret in [
                key.public_bytes().to_vec(),
                key.jwk().to_string().into_bytes(),
            ] {
                let signature = base64url(hmac(&secret, message.as_bytes()));
                tokens.push((alg.to_owned(), format!("{message}.{signature}")));
            }
        }
    }
    tokens
}

#[test]
fn a_token_that_no_known_key_signed_is_refused_and_reaches_no_one() {
    either_way(async |isolation| {
        let keys = [Key::rsa("r"), Key::p256("p"), Key::ed25519("e")];
        let provider = provider(&keys).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        let stranger = Key::ed25519("e");
        let good = keys[2].token(&claims());
        let (message, _) = good.rsplit_once('.').unwrap();
        let mut tokens = confused(&keys);
        let mut more = |what: &str, token: String| tokens.push((what.to_owned(), token));
        more("a stranger's", stranger.token(&claims()));
        more("of an unknown key", Key::p256("q").token(&claims()));
        more("without its signature", format!("{message}."));
        more("of two parts", message.to_owned());
        let signature = &good[message.len()..];
        let [head, payload] = [
            r#"{"alg":"EdDSA","kid":"e"}"#.to_owned(),
            claims_with("sub", "root").to_string(),
        ]
        .map(base64url);
        more(
            "of another payload",
            format!(
                "{}.{payload}{signature}",
                message.split('.').next().unwrap()
            ),
        );
        more(
            "of another header",
            format!("{head}.{}{signature}", message.split('.').nth(1).unwrap()),
        );
        for (alg, kid) in [
            ("ES256", "r"),
            ("EdDSA", "r"),
            ("RS256", "e"),
            ("ES256", "e"),
        ] {
            let header = json!({ "alg": alg, "kid": kid }).to_string();
            more(
                "of the wrong algorithm",
                keys[2].sign(&header, claims().to_string()),
            );
        }
        for (name, value) in [
            ("jwk", stranger.jwk()),
            ("jku", format!("http://{}/keys", provider.addr).into()),
            ("x5c", json!(["MIIB"])),
            ("crit", json!(["exp"])),
        ] {
            let mut header = json!({ "alg": "EdDSA", "kid": "e" });
            header[name] = value;
            more(
                name,
                stranger.sign(&header.to_string(), claims().to_string()),
            );
            more(
                name,
                keys[2].sign(&header.to_string(), claims().to_string()),
            );
        }
        for (what, token) in &tokens {
            let expected = (401, "invalid_token".to_owned());
            assert_eq!(told_of(&site, token).await, expected, "{what}: {token}");
        }
        assert_eq!(site.standin.seen().requests, 0, "{isolation}");
        is_let_in(&site, &good).await;
        let count = tokens.len();
        let reasons = "tollgate_plugin_refused{policy=\"callers\"";
        site.metric_becomes(reasons, count as f64).await;
        for line in site
            .exchanges(count + 1)
            .await
            .iter()
            .filter(|line| line["status"] == 401)
        {
            let reason = line["facts"]["token_refused"].as_str().unwrap();
            let known = [
                "algorithm",
                "unknown_key",
                "signature",
                "header",
                "malformed",
            ];
            assert!(known.contains(&reason), "{line}");
            assert_eq!(line["facts"]["caller"], json!(null), "{line}");
        }
    });
}

#[test]
fn what_a_signed_token_says_has_to_hold_here_and_now() {
    either_way(async |isolation| {
        let key = Key::p256("p");
        let provider = provider([&key]).await;
        let site = Site::start(&trusting(&provider, isolation, "clock_skew: 30s")).await;
        let cases: [(&str, Value, &str); 14] = [
            ("exp", (now() - 31).into(), "expired_token"),
            ("exp", 0.into(), "expired_token"),
            ("exp", json!(null), "invalid_token"),
            ("exp", "2100-01-01".into(), "invalid_token"),
            ("exp", (-1).into(), "invalid_token"),
            ("nbf", (now() + 600).into(), "token_not_yet_valid"),
            ("nbf", 1e300.into(), "token_not_yet_valid"),
            ("iss", "https://idp.example/".into(), "wrong_issuer"),
            ("iss", json!(["https://idp.example"]), "wrong_issuer"),
            ("aud", "gatewa".into(), "wrong_audience"),
            ("aud", json!(["another", ["gateway"]]), "wrong_audience"),
            ("sub", json!(null), "unusable_claims"),
            ("sub", "ada\u{7}".into(), "unusable_claims"),
            ("groups", json!(["a,b"]), "unusable_claims"),
        ];
        for (name, value, code) in cases {
            let token = key.token(&claims_with(name, value.clone()));
            let expected = (401, code.to_owned());
            assert_eq!(told_of(&site, &token).await, expected, "{name}: {value}");
        }
        let mut without_end = claims();
        without_end.as_object_mut().unwrap().remove("exp");
        let expected = (401, "unusable_claims".to_owned());
        assert_eq!(told_of(&site, &key.token(&without_end)).await, expected);
        assert_eq!(site.standin.seen().requests, 0, "{isolation}");
        // Within the skew of the clocks, and with facts that are no texts.
        for (name, value) in [
            ("exp", json!(now() + 3600)),
            ("nbf", json!(now() + 20)),
            ("sub", json!(42)),
        ] {
            is_let_in(&site, &key.token(&claims_with(name, value))).await;
        }
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().header("x-caller"), Some("42"));
    });
}

#[test]
fn a_token_made_to_hurt_hurts_nobody() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let provider = provider([&key]).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        let good = key.token(&claims());
        let header = r#"{"alg":"EdDSA","kid":"e"}"#;
        let deep = format!(r#"{{"sub":{}"#, "[".repeat(7000));
        let wide = format!(r#"{{"sub":[{}1]}}"#, "1,".repeat(4000));
        let twice = r#"{"sub":"ada","sub":"root"}"#;
        let kid = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, "\\u0000".repeat(1500));
        let tokens: Vec<Vec<u8>> = vec![
            b"x".repeat(30_000),
            b".".repeat(30_000),
            b"e30.".repeat(4_000),
            key.sign(header, "a".repeat(20_000)).into_bytes(),
            key.sign(header, deep).into_bytes(),
            key.sign(header, wide).into_bytes(),
            key.sign(header, twice).into_bytes(),
            key.sign(header, b"{\"sub\":\"\xff\xfe\"}").into_bytes(),
            key.sign(header, r#"{"sub":"\ud800"}"#).into_bytes(),
            key.sign(&kid, claims().to_string()).into_bytes(),
            key.sign(&format!("{{\"alg\":{}", "{\"a\":".repeat(2000)), "{}")
                .into_bytes(),
            b"\xff\xfe.\xff.\xff".to_vec(),
            format!("{good}, Bearer {good}").into_bytes(),
            format!("{good}=").into_bytes(),
        ];
        for token in &tokens {
            let value = [&b"Bearer "[..], token].concat();
            let answer = site.chat().header("authorization", value).send().await;
            let shown = String::from_utf8_lossy(&token[..token.len().min(60)]).into_owned();
            let (status, code) = answer.refusal();
            let codes = ["invalid_token", "unusable_claims"];
            assert!(
                status == 401 && codes.contains(&&*code),
                "{shown}: {status} {code}"
            );
        }
        assert_eq!(site.standin.seen().requests, 0);
        let failures = site
            .metric("tollgate_policy_errors_total{policy=\"callers\"")
            .await;
        assert_eq!(
            failures, 0.0,
            "{isolation}: it neither traps nor runs out of anything"
        );
        // Of several headers one is checked, and no other goes on.
        let two = with_token(&site, &good).header("authorization", "Bearer of-another");
        assert_eq!(two.send().await.status, 200);
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().header("authorization"), None);
        let reversed = site.chat().header("authorization", "Bearer of-another");
        let reversed = reversed.header("authorization", format!("Bearer {good}"));
        assert_eq!(
            told(&reversed.send().await),
            (401, "invalid_token".to_owned())
        );
    });
}

#[test]
fn who_sends_no_token_is_told_how() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let provider = provider([&key]).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        for value in ["", "Bearer", "Bearer "] {
            let answer = site.chat().header("authorization", value).send().await;
            assert_eq!(
                told(&answer),
                (401, "missing_token".to_owned()),
                "{value:?}"
            );
            assert!(answer.text().contains("authorization: Bearer TOKEN"));
            assert_eq!(answer.json()["error"]["type"], "authentication_error");
        }
        assert_eq!(provider.count(), 1, "what is no token fetches nothing");
    });
}

#[tokio::test]
async fn without_its_grants_or_with_wrong_settings_it_does_not_go_live() {
    let key = Key::ed25519("e");
    let provider = provider([&key]).await;
    let good = trusting(&provider, "exchange", "");
    let site = Site::start(&good).await;
    for (from, to, says) in [
        ("kv: true, ", "", "kv"),
        ("issuer: https://idp.example", "issuer: ''", "issuer"),
        ("audience: gateway", "audience: []", "audience"),
        (
            "jwks_url: http://localhost",
            "jwks_url: http://idp.example",
            "jwks_url",
        ),
        (
            "audience: gateway",
            "audience: gateway\n      pause: 1h",
            "pause",
        ),
    ] {
        site.write_config(&good.replace(from, to));
        let refused = site.gateway.reload().await.unwrap_err();
        assert!(refused.to_string().contains(says), "{says}: {refused}");
    }
    site.write_config(&good);
    is_let_in(&site, &key.token(&claims())).await;
    assert_eq!(site.gateway.generation(), 1);
    // An address that is not granted is no reason to let anybody in.
    let granted = format!("hosts: [ \"http://localhost:{}\" ]", provider.addr.port());
    let elsewhere = good.replace(&granted, "hosts: [ \"http://localhost:1\" ]");
    assert_ne!(elsewhere, good);
    let elsewhere = elsewhere.replace("/keys\n", "/others\n");
    site.reconfigure(&elsewhere).await;
    let told = told_of(&site, &key.token(&claims())).await;
    assert_eq!(told, (503, "keys_unavailable".to_owned()));
}
