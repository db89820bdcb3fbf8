//! What it costs to have several endpoints, to choose among them and to watch them.

use std::{net::SocketAddr, time::Duration};

use tollgate::demo::load::Until;

use crate::{
    Plan,
    contender::{Contender, fleet},
    load, swift, whole,
};

const WATCHED: &str = "health: { active: {}, breaker: {} }";
/// Differences are small here, so the turns are short and many.
const REQUESTS: u64 = 4_000;
const ROUNDS: usize = 10;

/// Side by side with one endpoint that nobody watches. All gateways are up at once, and
/// have their turn in each round: what the machine does meanwhile meets them all.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let standins = [swift().await?, swift().await?, swift().await?];
    let all = standins.each_ref().map(|standin| standin.addr);
    let one: &[SocketAddr] = &all[..1];
    let alone = "1 endpoint, unwatched";
    let contenders = [
        fleet(alone, one, "health: { passive: off }", "")?,
        fleet("1 endpoint, watched", one, WATCHED, "")?,
        fleet("3 endpoints, watched, round-robin", &all, WATCHED, "")?,
        fleet(
            "3 endpoints, watched, least-requests",
            &all,
            "balance: least-requests, health: { active: {}, breaker: {} }",
            "",
        )?,
        fleet(
            "3 endpoints, watched, peak-ewma",
            &all,
            "balance: peak-ewma, health: { active: {}, breaker: {} }",
            "",
        )?,
        fleet(
            "3 endpoints, watched, consistent-hash by prompt",
            &all,
            "balance: { consistent-hash: { on: { prompt: 1KiB } } }, health: { active: {}, breaker: {} }",
            "",
        )?,
        fleet(
            "3 endpoints, watched, model-aware",
            &all,
            "balance: model-aware, health: { active: {}, breaker: {} }",
            "",
        )?,
        fleet(
            "3 endpoints, watched, bounded and retried",
            &all,
            "concurrency: { endpoint: 64 }, health: { active: {}, breaker: {} }",
            ", retries: { count: 2, on: [ connect, reset, timeout, 503 ] }",
        )?,
    ];
    let rounds = ROUNDS * plan.rounds;
    compare(&contenders, plan, rounds).await?;
    for standin in standins {
        standin.stop().await;
    }
    Ok(())
}

async fn compare(all: &[Contender], plan: &Plan, rounds: usize) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for contender in all.iter().filter(|one| plan.wants(&one.name)) {
        let running = contender.start().await?;
        rows.push((contender, running, Vec::with_capacity(rounds)));
    }
    if rows.is_empty() {
        return Ok(());
    }
    for round in 0..=rounds {
        for (contender, running, took) in &mut rows {
            let before = running.cpu()?;
            let requests = load(contender, running, 0).run(Until::Requests(REQUESTS));
            whole(requests.await)?;
            // The first is to warm up.
            if round > 0 {
                took.push(running.cpu()?.saturating_sub(before));
            }
        }
    }
    println!(
        "\n| {rounds} rounds of {REQUESTS} requests | CPU a request, µs | ratio | quietest third, µs | ratio |"
    );
    println!("|---|--:|--:|--:|--:|");
    let mut base = None;
    for (contender, running, mut took) in rows {
        running.stop().await;
        took.sort_unstable();
        let mean = |some: &[Duration]| {
            let sum: Duration = some.iter().sum();
            sum.as_secs_f64() * 1e6 / (some.len() as f64 * REQUESTS as f64)
        };
        let (all, quiet) = (mean(&took), mean(&took[..took.len().div_ceil(3)]));
        let (base_all, base_quiet) = *base.get_or_insert((all, quiet));
        println!(
            "| {} | {all:.2} | {:.3} | {quiet:.2} | {:.3} |",
            contender.name,
            all / base_all,
            quiet / base_quiet,
        );
    }
    Ok(())
}
