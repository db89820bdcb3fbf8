//! Many changes, changes that overtake each other, and what outlives them.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    folder::{Start, replace},
    ground::{Ground, eventually},
};
use crate::{client::Ask, fixture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_a_thousand_writes_is_a_few_generations_and_the_last_one_wins() {
    let ground = Ground::start(Start::Plain).await;
    for turn in 0..1000 {
        ground
            .folder
            .save(ground.folder.config(&format!("turn {turn}")));
    }
    ground.becomes("turn 999").await;
    let generations = ground.gateway.generation();
    println!("a thousand writes were {generations} generations");
    assert!(generations <= 20, "{generations}");
    ground.has_nothing_new(generations).await;
    assert_eq!(ground.generations().await["last_refusal"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_reloads_is_answered_and_joined() {
    let ground = Ground::start(Start::Plain).await;
    ground.folder.save(ground.folder.config("two"));
    let answers = join_all((0..200).map(|_| ground.reload())).await;
    for (status, said) in answers {
        assert_eq!(
            (status, &said["reloaded"]["generation"]),
            (200, &json!(2)),
            "{said}"
        );
    }
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_other_files_hides_no_change() {
    let ground = Ground::start(Start::Greeted).await;
    let plugins = ground.folder.path.join("plugins");
    for round in 0..2000 {
        let file = plugins.join(format!("other-{}.wasm", round % 50));
        fs::write(&file, round.to_string()).unwrap();
    }
    ground
        .folder
        .save_plugin(fs::read(fixture::guest("greeting-v2")).unwrap());
    ground.becomes("one+2").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one+1", "one+2"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_bad_in_turns_leave_the_last_good_one() {
    let ground = Ground::start(Start::Plain).await;
    let bad = ["listen: [", "", "colour: blue\n", "\u{feff}"];
    for turn in 0..12 {
        ground.folder.save(bad[turn % bad.len()]);
        let (status, said) = ground.reload().await;
        assert_eq!(status, 422, "{said}");
        ground
            .folder
            .save(ground.folder.config(["two", "one"][turn % 2]));
        let (status, said) = ground.reload().await;
        // An event may have been faster than the question.
        let generation = &said["reloaded"]["generation"];
        assert_eq!((status, generation), (200, &json!(turn + 2)), "{said}");
    }
    assert_eq!(
        (ground.gateway.generation(), ground.mark().await.as_str()),
        (13, "one")
    );
    assert!(
        ground
            .metric("tollgate_reloads_total{result=\"refused\"")
            .await
            >= 12.0
    );
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_bad_in_turns_faster_than_anyone_looks_end_as_the_last() {
    let ground = Ground::start(Start::Plain).await;
    for _ in 0..500 {
        ground.folder.save("listen: [");
        ground.folder.save(ground.folder.config("two"));
    }
    ground.becomes("two").await;
    ground.folder.save("listen: [");
    ground.refusal().await;
    assert_eq!(ground.mark().await, "two");
    ground.neighbour_saw(&["one", "two"]).await;
}

/// Changes that come while a plugin is compiled wait for it, and only the last one of
/// them is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_during_a_compilation_comes_after_it_and_the_latest_wins() {
    let ground = Ground::prepared(Start::Budgeted, |folder| {
        folder.save(folder.config("one").replace("cache: ", "cache: off # "));
    })
    .await;
    for turn in 1..=8 {
        let text = ground.folder.config(&format!("turn {turn}"));
        let text = text.replace("cache: ", "cache: off # ");
        ground
            .folder
            .save(text.replace("tokens: 1000000", &format!("tokens: {}", 1_000_000 + turn)));
        sleep(Duration::from_millis(60)).await;
    }
    ground.becomes("turn 8").await;
    let generations = ground.gateway.generation();
    println!("eight changes were {generations} generations");
    ground.has_nothing_new(generations).await;
    assert_eq!(ground.generations().await["last_refusal"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_a_new_generation_of_the_old_content() {
    let ground = Ground::start(Start::Greeted).await;
    let first = fs::read(ground.folder.file()).unwrap();
    ground.folder.save(ground.folder.config("two"));
    ground
        .folder
        .save_plugin(fs::read(fixture::guest("greeting-v2")).unwrap());
    ground.becomes("two+2").await;
    let before = ground.gateway.generation();
    ground.folder.save(first);
    ground
        .folder
        .save_plugin(fs::read(fixture::guest("greeting-v1")).unwrap());
    ground.becomes("one+1").await;
    assert!(ground.gateway.generation() > before);
    eventually("all former generations are gone", async || {
        let alive = ground.generations().await["generations"].as_array()?.len();
        (alive == 1).then_some(())
    })
    .await;
}

/// A configuration with a small budget for those who say that they are spenders, and
/// none for others.
fn spending(ground: &Ground, mark: &str, tokens: u32) -> String {
    let spenders = format!(
        r#"policies:
  budget:
    plugin: token-budget
    on_error: refuse
    grants: {{ limits: true }}
    settings: {{ default: {{ tokens: {tokens}, period: 24h }}, on_missing_caller: share }}
routes:
  - {{ name: spenders, match: {{ headers: {{ x-spender: }} }}, policies: [ budget ], upstream: standin }}
"#
    );
    ground
        .folder
        .config(mark)
        .replace("policies: {}\nroutes:\n", &spenders)
}

async fn spend(ground: &Ground) -> u16 {
    let ask = Ask::chat(ground.gateway.addr(), "small")
        .header("x-spender", "1")
        .set("max_tokens", 30);
    ask.behaving("tokens=3,usage=10/20").send().await.status
}

/// Documented: what is counted lives in the gateway, not in a generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_stays_so_across_swaps() {
    let ground = Ground::prepared(Start::Plain, |folder| {
        folder.save(folder.config("one"));
        fs::copy(
            fixture::guest("token-budget"),
            folder.path.join("plugins/token-budget.wasm"),
        )
        .unwrap();
    })
    .await;
    let configured = async |mark: &str, tokens| {
        replace(&ground.folder.file(), spending(&ground, mark, tokens));
        ground.becomes(mark).await;
    };
    configured("small", 300).await;
    let mut spent = 0;
    while spend(&ground).await == 200 {
        spent += 1;
        assert!(spent < 100, "the budget has no end");
    }
    assert!(spent > 0);
    assert_eq!(spend(&ground).await, 429);
    // The same policy, kept as it is.
    configured("same", 300).await;
    assert_eq!(spend(&ground).await, 429);
    // Another one: new settings, compiled and configured anew; used up to the same mark.
    configured("larger", 3000).await;
    assert_eq!(spend(&ground).await, 200);
    configured("small again", 300).await;
    assert_eq!(spend(&ground).await, 429);
}

/// What the gateway counts goes on; what a policy counts, for as long as it is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_go_on_across_a_swap() {
    let ground = Ground::start(Start::Greeted).await;
    let exchanges = async || ground.metric("tollgate_exchanges_total").await;
    let calls = async || ground.metric("tollgate_policy_calls_total").await;
    eventually("counted exchanges", async || {
        (exchanges().await > 5.0).then_some(())
    })
    .await;
    let before = (exchanges().await, calls().await);
    ground.folder.save(ground.folder.config("two"));
    ground.becomes("two+1").await;
    let after = (exchanges().await, calls().await);
    assert!(
        after.0 > before.0 && after.1 > before.1,
        "{before:?} {after:?}"
    );
    ground
        .folder
        .save_plugin(fs::read(fixture::guest("greeting-v2")).unwrap());
    ground.becomes("two+2").await;
    assert!(exchanges().await > after.0);
    assert!(calls().await > 0.0);
}

/// Everything at once: reloads, clients that hang up in the middle of a stream, and a
/// policy that traps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_with_clients_that_leave_and_a_policy_that_traps() {
    let ground = Ground::prepared(Start::Plain, |folder| {
        folder.save(folder.config("one"));
        fs::copy(
            fixture::guest("probe"),
            folder.path.join("plugins/probe.wasm"),
        )
        .unwrap();
    })
    .await;
    let config = |mark: &str| {
        let probed = "policies:\n  probe: { plugin: probe, on_error: refuse, grants: { kv: true, secrets: [ canary ], \
                      http-call: { hosts: [ \"http://localhost\" ] } } }\nsecrets: { canary: { file: canary.txt } }\n\
                      routes:\n  - { name: probed, match: { headers: { x-probe: } }, policies: [ probe ], upstream: standin }\n";
        fs::write(ground.folder.path.join("canary.txt"), "canary").unwrap();
        ground
            .folder
            .config(mark)
            .replace("policies: {}\nroutes:\n", probed)
    };
    for turn in 0..6 {
        let mark = ["two", "three"][turn % 2];
        let (trapped, slow) = (
            Ask::chat(ground.gateway.addr(), "small").header("x-probe", "trap"),
            Ask::chat(ground.gateway.addr(), "small")
                .set("stream", true)
                .behaving("tokens=500,pace=5ms"),
        );
        let streams = join_all((0..8).map(|_| slow.stream())).await;
        replace(&ground.folder.file(), config(mark));
        let (_, _, (status, said)) = tokio::join!(
            join_all((0..8).map(|_| trapped.send())),
            async { drop(streams) },
            ground.reload()
        );
        assert_eq!(status, 200, "{said}");
        assert_eq!(ground.mark().await, mark);
    }
    ground.neighbour_saw(&["one", "two", "three"]).await;
    eventually("all former generations are gone", async || {
        (ground.generations().await["generations"].as_array()?.len() == 1).then_some(())
    })
    .await;
}
