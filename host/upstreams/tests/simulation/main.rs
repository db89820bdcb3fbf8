//! Endpoints with queues, batches and prefix caches, in virtual time, under every way to balance.
//!
//! `cargo test -p tollgate-upstreams --test simulation -- --nocapture` prints the tables that
//! `docs/upstreams.md` shows. Everything is drawn from seeds, so each run is the same.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod chance;
mod endpoint;
mod run;
mod traffic;

use std::time::Duration;

use run::{Outcome, Setting, run};
use tollgate_config::{Balance, ConsistentHash, HashOn, ModelAware, PeakEwma, Scrape};
use traffic::{Traffic, burst, long_answers, shared, uniform};

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

fn scrape() -> Scrape {
    Scrape {
        path: "/metrics".into(),
        port: None,
        interval: Duration::from_secs(1),
        stale: Duration::from_secs(5),
    }
}

fn model_aware() -> Balance {
    Balance::ModelAware(ModelAware {
        scrape: scrape(),
        prefix_cache_bytes: 64_000 * 4,
    })
}

fn ways() -> Vec<(&'static str, Balance)> {
    let by = |on| Balance::ConsistentHash(ConsistentHash { on, bound: 125 });
    let decay = Duration::from_secs(10);
    vec![
        ("round-robin", Balance::RoundRobin),
        ("least-requests", Balance::LeastRequests),
        ("peak-ewma", Balance::PeakEwma(PeakEwma { decay })),
        (
            "consistent-hash, session",
            by(HashOn::Fact("session".into())),
        ),
        ("consistent-hash, prompt", by(HashOn::Prompt(1_024))),
        ("model-aware", model_aware()),
    ]
}

/// The median over all seeds of what `figure` reads.
fn typical(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> f64 {
    let mut all: Vec<f64> = outcomes.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Every way on this traffic, one outcome a seed.
fn compare(title: &str, traffic: impl Fn(u64) -> Traffic) -> Vec<Vec<Outcome>> {
    let traffics: Vec<Traffic> = SEEDS.iter().map(|seed| traffic(*seed)).collect();
    println!(
        "\n{title}\n| balance | p50 ms | p99 ms | prompt read from cache | busiest endpoint |"
    );
    println!("|---|---|---|---|---|");
    let mut table = Vec::new();
    for (name, balance) in ways() {
        let run_one = |traffic| run(&balance, traffic, &Setting::default());
        let outcomes: Vec<Outcome> = traffics.iter().map(run_one).collect();
        println!(
            "| `{name}` | {:.0} | {:.0} | {:.0} % | {:.0} % |",
            typical(&outcomes, Outcome::p50),
            typical(&outcomes, Outcome::p99),
            100.0 * typical(&outcomes, |outcome| outcome.cached),
            100.0 * typical(&outcomes, Outcome::busiest),
        );
        table.push(outcomes);
    }
    table
}

fn of<'a>(table: &'a [Vec<Outcome>], name: &str) -> &'a [Outcome] {
    let at = ways().iter().position(|(way, _)| *way == name);
    &table[at.unwrap()]
}

#[test]
fn model_aware_beats_round_robin_and_least_requests_on_shared_prefixes() {
    let table = compare("Shared prefixes", shared);
    let ours = of(&table, "model-aware");
    for other in ["round-robin", "least-requests"] {
        for (seed, (ours, theirs)) in ours.iter().zip(of(&table, other)).enumerate() {
            let (p50, p99) = (ours.p50() / theirs.p50(), ours.p99() / theirs.p99());
            println!("seed {seed}: {p50:.2} of the p50 and {p99:.2} of the p99 of {other}");
            assert!(
                p50 <= 0.65,
                "seed {seed}: p50 is {p50:.2} of that of {other}"
            );
            assert!(
                p99 <= 0.7,
                "seed {seed}: p99 is {p99:.2} of that of {other}"
            );
        }
    }
}

#[test]
fn model_aware_is_no_worse_than_least_requests_on_prompts_that_share_nothing() {
    no_worse(&compare("Nothing shared", uniform));
}

#[test]
fn model_aware_is_no_worse_than_least_requests_on_long_answers() {
    no_worse(&compare("Nothing shared, long answers", long_answers));
}

fn no_worse(table: &[Vec<Outcome>]) {
    let pairs = of(table, "model-aware")
        .iter()
        .zip(of(table, "least-requests"));
    for (seed, (ours, theirs)) in pairs.enumerate() {
        let (p50, p99) = (ours.p50() / theirs.p50(), ours.p99() / theirs.p99());
        println!("seed {seed}: {p50:.2} of the p50 and {p99:.2} of the p99 of least-requests");
        assert!(
            p50 <= 1.1,
            "seed {seed}: p50 is {p50:.2} of that of least requests"
        );
        assert!(
            p99 <= 1.1,
            "seed {seed}: p99 is {p99:.2} of that of least requests"
        );
    }
}

#[test]
fn one_prefix_on_cold_caches_is_spread_over_the_endpoints() {
    for seed in SEEDS {
        let outcome = run(&model_aware(), &burst(seed), &Setting::default());
        let busiest = outcome.busiest();
        assert!(
            busiest <= 0.25,
            "seed {seed}: {busiest:.2} went to one endpoint"
        );
        assert!(
            outcome.picks.iter().all(|picks| *picks > 0),
            "{:?}",
            outcome.picks
        );
    }
}

#[test]
fn without_any_scrape_model_aware_picks_as_least_requests_does() {
    let silent = Setting {
        scrapes_until: Duration::ZERO,
        ..Setting::default()
    };
    let traffic = shared(1);
    let ours = run(&model_aware(), &traffic, &silent);
    let theirs = run(&Balance::LeastRequests, &traffic, &silent);
    assert_eq!(ours.first_tokens, theirs.first_tokens);
    assert_eq!(ours.picks, theirs.picks);
}

#[test]
fn once_scrapes_fail_model_aware_is_as_good_as_least_requests() {
    let failing = Setting {
        scrapes_until: Duration::from_secs(30),
        measured_from: Duration::from_secs(40),
    };
    let healthy = Setting {
        measured_from: failing.measured_from,
        ..Setting::default()
    };
    for seed in SEEDS {
        let traffic = shared(seed);
        let failing = run(&model_aware(), &traffic, &failing);
        let least = run(&Balance::LeastRequests, &traffic, &healthy);
        let (p50, p99) = (failing.p50() / least.p50(), failing.p99() / least.p99());
        assert!(
            p50 <= 1.2 && p99 <= 1.2,
            "seed {seed}: {p50:.2} and {p99:.2}"
        );
        let healthy = run(&model_aware(), &traffic, &healthy);
        assert!(
            healthy.cached > failing.cached,
            "scrapes made no difference"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let once = run(&model_aware(), &shared(7), &Setting::default());
    let again = run(&model_aware(), &shared(7), &Setting::default());
    assert_eq!(once.first_tokens, again.first_tokens);
    let other = run(&model_aware(), &shared(8), &Setting::default());
    assert_ne!(once.first_tokens, other.first_tokens);
}
