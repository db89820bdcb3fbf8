//! Keys that change, are withdrawn, or cannot be had.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tollgate::Options;

use super::*;

/// Keys are looked for again nearly at once.
const QUICK: &str = "pause: 50ms";

#[test]
fn a_new_key_is_good_without_a_reload_and_a_withdrawn_one_is_not() {
    either_way(async |isolation| {
        let (old, new) = (Key::ed25519("old"), Key::p256("new"));
        let provider = provider([&old]).await;
        let site = Site::start(&trusting(&provider, isolation, QUICK)).await;
        is_let_in(&site, &old.token(&claims())).await;
        provider.say(jwks([&new]));
        is_let_in(&site, &old.token(&claims())).await;
        assert_eq!(provider.count(), 1, "a known key is no reason to ask again");
        comes_to(&site, &new.token(&claims()), 200, "").await;
        let withdrawn = told_of(&site, &old.token(&claims())).await;
        assert_eq!(withdrawn, (401, "invalid_token".to_owned()));
        assert_eq!(site.gateway.generation(), 1, "{isolation}");
    });
}

#[test]
fn a_key_of_the_same_name_is_replaced_once_the_set_is_old() {
    either_way(async |isolation| {
        let (old, new) = (Key::ed25519("e"), Key::ed25519("e"));
        let provider = provider([&old]).await;
        let settings = "pause: 50ms\n      refresh: 100ms";
        let site = Site::start(&trusting(&provider, isolation, settings)).await;
        is_let_in(&site, &old.token(&claims())).await;
        provider.say(jwks([&new]));
        comes_to(&site, &new.token(&claims()), 200, "").await;
        comes_to(&site, &old.token(&claims()), 401, "invalid_token").await;
    });
}

/// What a provider in trouble says.
fn troubles(size: usize) -> Vec<(&'static str, Said)> {
    let stranger = Key::ed25519("e");
    let twice = format!(r#"{{"keys":[{}],"keys":[]}}"#, stranger.jwk());
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "e", "k": "AAAA" }] });
    vec![
        (
            "an error",
            Said::json(500, &json!({ "keys": [stranger.jwk()] })),
        ),
        (
            "another address",
            Said::new(302, "text/plain", "").header("location", "http://localhost:1/keys"),
        ),
        ("a page", Said::new(200, "text/html", "<html>")),
        ("nothing", Said::new(200, "application/json", "")),
        ("no keys", Said::json(200, &json!({ "keys": [] }))),
        (
            "no list",
            Said::json(200, &json!({ "keys": stranger.jwk() })),
        ),
        ("a shared secret", Said::json(200, &secret)),
        ("two lists", Said::new(200, "application/json", twice)),
        (
            "too deep",
            Said::new(
                200,
                "application/json",
                format!("{{\"keys\":{}", "[".repeat(50_000)),
            ),
        ),
        (
            "too much",
            Said::new(200, "application/json", " ".repeat(size)),
        ),
        ("half of it", jwks([&stranger]).cut_after(40)),
        (
            "bytes",
            Said::new(
                200,
                "application/json",
                &b"{\"keys\":[{\"kty\":\"\xff\"}]}"[..],
            ),
        ),
    ]
}

/// Until the provider was asked `more` times again, with nobody asking the gateway.
async fn asked_again(provider: &Scripted, more: usize) {
    let before = provider.count();
    until_async("it is asked by the clock", async || {
        (provider.count() >= before + more).then_some(())
    })
    .await;
}

#[test]
fn keys_come_and_go_by_the_clock_and_no_exchange_fetches_any() {
    either_way(async |isolation| {
        let (old, new) = (Key::ed25519("old"), Key::p256("new"));
        let provider = provider([&old]).await;
        let quick = "pause: 100ms\n      refresh: 100ms";
        let site = Site::start(&trusting(&provider, isolation, quick)).await;
        assert!(
            provider.count() > 0,
            "keys are there before the first exchange"
        );
        is_let_in(&site, &old.token(&claims())).await;
        // It is away, in three ways, and the keys stay.
        for away in [
            Said::new(503, "text/plain", ""),
            jwks([&new]).cut_after(0),
            jwks([&new]).cut_after(40),
        ] {
            provider.say(away);
            asked_again(&provider, 1).await;
            is_let_in(&site, &old.token(&claims())).await;
        }
        // It is back with another key, which is there before anybody asks for it.
        provider.say(jwks([&new]));
        asked_again(&provider, 2).await;
        provider.say(Said::new(503, "text/plain", ""));
        asked_again(&provider, 1).await;
        is_let_in(&site, &new.token(&claims())).await;
        let told = told_of(&site, &old.token(&claims())).await;
        assert_eq!(told, (401, "invalid_token".to_owned()), "{isolation}");
        let ticks = r#"tollgate_policy_calls_total{policy="callers",hook="tick"}"#;
        assert!(site.metric(ticks).await >= 5.0);
    });
}

#[test]
fn a_provider_that_does_not_answer_holds_up_neither_start_nor_reload_nor_who_is_known() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let token = key.token(&claims());
        let provider = Scripted::saying(jwks([&key]).stall_after(10)).await;
        let quick = "pause: 50ms\n      refresh: 50ms";
        let config = trusting(&provider, isolation, quick).replace("timeout: 5s", "timeout: 10m");
        let config = config.replace("exchange_time: 20s", "exchange_time: 20s, tick_time: 10m");
        let site = Site::start(&config).await;
        assert_eq!(provider.count(), 1, "and nobody waits any more");
        provider.say(jwks([&key]));
        let changed = config.replace("groups: /groups", "groups: /app/tier");
        site.reconfigure(&changed).await;
        comes_to(&site, &token, 200, "").await;
        provider.say(jwks([&key]).stall_after(10));
        site.reconfigure(&config.replace("pause: 50ms", "pause: 40ms"))
            .await;
        is_let_in(&site, &token).await;
        assert_eq!(site.gateway.generation(), 3, "{isolation}");
    });
}

#[test]
fn a_configuration_that_is_only_checked_has_nothing_fetched() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let provider = provider([&key]).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        assert_eq!(provider.count(), 1);
        let mut options = Options::new(site.folder.path().join("tollgate.yaml"));
        options.compiler = Some(env!("CARGO_BIN_EXE_tollgate").into());
        options.instances = 256;
        assert!(tollgate::check(&options).await.is_ok());
        assert_eq!(provider.count(), 1, "{isolation}");
    });
}

#[test]
fn keys_are_kept_through_an_outage() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let token = key.token(&claims());
        let provider = provider([&key]).await;
        let settings = "pause: 20ms\n      refresh: 20ms";
        let site = Site::start(&trusting(&provider, isolation, settings)).await;
        is_let_in(&site, &token).await;
        for (what, said) in troubles(100_000) {
            provider.say(said);
            let before = provider.count();
            // A token of a key that nobody knows has it asked sooner than the clock.
            let strange = Key::ed25519("strange").token(&claims());
            until_async(what, async || {
                is_let_in(&site, &token).await;
                assert_eq!(told_of(&site, &strange).await.0, 401);
                (provider.count() > before + 1).then_some(())
            })
            .await;
        }
        // One that does not answer costs who asked its time, and nobody anything else.
        provider.say(jwks([&key]).stall_after(10));
        let config =
            trusting(&provider, isolation, settings).replace("timeout: 5s", "timeout: 50ms");
        site.reconfigure(&config).await;
        for _ in 0..5 {
            is_let_in(&site, &token).await;
        }
        // And none that is back is missed.
        let other = Key::ed25519("other");
        provider.say(jwks([&other]));
        comes_to(&site, &other.token(&claims()), 200, "").await;
        comes_to(&site, &token, 401, "invalid_token").await;
        assert_eq!(
            site.metric("tollgate_policy_errors_total{policy=\"callers\"")
                .await,
            0.0
        );
    });
}

#[test]
fn keys_survive_a_swap_while_the_provider_is_away() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let provider = provider([&key]).await;
        let config = trusting(&provider, isolation, "");
        let site = Site::start(&config).await;
        is_let_in(&site, &key.token(&claims())).await;
        provider.say(Said::new(503, "text/plain", ""));
        site.reconfigure(&config.replace("groups: /groups", "groups: /app/tier"))
            .await;
        is_let_in(&site, &key.token(&claims())).await;
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().header("x-groups"), Some("team"));
        assert_eq!(provider.count(), 1, "{isolation}");
    });
}

#[test]
fn keys_are_not_kept_for_ever() {
    either_way(async |isolation| {
        let key = Key::ed25519("e");
        let token = key.token(&claims());
        let provider = provider([&key]).await;
        let settings = "pause: 20ms\n      refresh: 50ms\n      keep: 300ms";
        let site = Site::start(&trusting(&provider, isolation, settings)).await;
        is_let_in(&site, &token).await;
        provider.say(Said::new(503, "text/plain", ""));
        comes_to(&site, &token, 503, "keys_unavailable").await;
        provider.say(jwks([&key]));
        comes_to(&site, &token, 200, "").await;
    });
}

#[test]
fn without_any_keys_nobody_is_let_in_and_the_first_that_come_are_used() {
    either_way(async |isolation| {
        let key = Key::rsa("r");
        let token = key.token(&claims());
        let provider = Scripted::saying(Said::new(503, "text/plain", "")).await;
        let site = Site::start(&trusting(&provider, isolation, "")).await;
        for _ in 0..10 {
            let answer = with_token(&site, &token).send().await;
            assert_eq!(told(&answer), (503, "keys_unavailable".to_owned()));
            assert_eq!(answer.header("retry-after"), Some("2"));
        }
        // How often that is depends on how long ten requests took.
        assert!(provider.count() < 10, "{isolation}");
        assert_eq!(site.standin.seen().requests, 0);
        provider.say(jwks([&key]));
        comes_to(&site, &token, 200, "").await;
    });
}

#[test]
fn a_signature_that_was_good_is_not_checked_again_and_still_needs_its_key() {
    either_way(async |isolation| {
        let (old, new) = (Key::rsa("r"), Key::ed25519("e"));
        let token = old.token(&claims());
        let provider = provider([&old]).await;
        let settings = "remember: 1h\n      pause: 50ms";
        let site = Site::start(&trusting(&provider, isolation, settings)).await;
        for _ in 0..3 {
            is_let_in(&site, &token).await;
        }
        let mut forged = token.clone();
        let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
        forged.push(last);
        assert_eq!(told_of(&site, &forged).await.0, 401);
        provider.say(jwks([&new]));
        comes_to(&site, &new.token(&claims()), 200, "").await;
        assert_eq!(
            told_of(&site, &token).await,
            (401, "invalid_token".to_owned())
        );
    });
}

#[test]
fn a_thousand_requests_at_once_are_told_right_while_keys_rotate() {
    const PAUSE: Duration = Duration::from_millis(50);
    either_way(async |isolation| {
        let keys: Arc<Vec<Key>> =
            Arc::new((0..6).map(|n| Key::ed25519(&format!("k{n}"))).collect());
        let (stays, stranger) = (Key::p256("stays"), Key::p256("stays"));
        let provider = Arc::new(provider([&stays, &keys[0]]).await);
        let began = Instant::now();
        let settings = "pause: 50ms\n      refresh: 50ms";
        let site = Site::start(&trusting(&provider, isolation, settings)).await;
        is_let_in(&site, &stays.token(&claims())).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let rotation = tokio::spawn({
            let (is_over, provider, keys) = (is_over.clone(), provider.clone(), keys.clone());
            let stays = stays.jwk();
            async move {
                let mut round = 0_usize;
                while !is_over.load(Ordering::Acquire) {
                    round += 1;
                    let set = json!({ "keys": [stays, keys[round % 6].jwk(), keys[(round + 1) % 6].jwk()] });
                    // Every third time it is out of order.
                    match round % 3 {
                        0 => provider.say(Said::new(503, "text/plain", "")),
                        _ => provider.say(Said::json(200, &set)),
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let token = |nth: usize| match nth % 4 {
            0 | 1 => stays.token(&claims()),
            2 => keys[nth % 6].token(&claims()),
            _ => stranger.token(&claims()),
        };
        let tokens: Vec<String> = (0..1000).map(token).collect();
        let answers = join_all(tokens.iter().map(|token| told_of(&site, token))).await;
        is_over.store(true, Ordering::Release);
        rotation.await.unwrap();
        for (nth, told) in answers.iter().enumerate() {
            let refused = (401, "invalid_token".to_owned());
            match nth % 4 {
                0 | 1 => assert_eq!(told.0, 200, "{isolation}: {told:?}"),
                // It depends on the moment whether that key is on the list.
                2 => assert!(told.0 == 200 || *told == refused, "{told:?}"),
                _ => assert_eq!(*told, refused),
            }
        }
        // Once by a request and once by the clock.
        let pauses = began.elapsed().as_millis() / PAUSE.as_millis();
        assert!(
            provider.count() as u128 <= 2 * (pauses + 2),
            "{} fetches",
            provider.count()
        );
        let let_in = answers.iter().filter(|told| told.0 == 200).count();
        assert_eq!(site.standin.seen().requests, let_in as u64 + 1);
        assert_eq!(
            site.metric("tollgate_policy_errors_total{policy=\"callers\"")
                .await,
            0.0
        );
        // Once it settles, what is on the list is good and what is not is not.
        provider.say(jwks([&keys[0]]));
        comes_to(&site, &stays.token(&claims()), 401, "invalid_token").await;
        comes_to(&site, &keys[0].token(&claims()), 200, "").await;
    });
}
