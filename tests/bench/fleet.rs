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
const ROUNDS: usize = 30;

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
    let rounds = if plan.is_quick { ROUNDS / 3 } else { ROUNDS };
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
        // Another is the first each time: what came before it is measured with everyone.
        rows.rotate_left(1);
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
    let mut measured = Vec::new();
    for (contender, running, took) in rows {
        running.stop().await;
        measured.push((&*contender.name, took));
    }
    // In the order in which they were given.
    measured.sort_by_key(|(name, _)| all.iter().position(|one| one.name == *name));
    print(&measured);
    Ok(())
}

/// Beside the first of them, in the mean of all rounds and in the middle one of the ratios that
/// each round has by itself: what disturbs some rounds does not move that.
fn print(measured: &[(&str, Vec<Duration>)]) {
    let Some((_, base)) = measured.first() else {
        return;
    };
    println!(
        "\n| {} rounds of {REQUESTS} requests | CPU a request, µs | ratio | median of the rounds' ratios |",
        base.len()
    );
    println!("|---|--:|--:|--:|");
    let sum = |took: &[Duration]| took.iter().sum::<Duration>().as_secs_f64();
    for (name, took) in measured {
        let mut ratios: Vec<f64> = took
            .iter()
            .zip(base)
            .map(|(took, base)| took.as_secs_f64() / base.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {name} | {:.2} | {:.3} | {:.3} |",
            sum(took) * 1e6 / (took.len() as f64 * REQUESTS as f64),
            sum(took) / sum(base),
            ratios[ratios.len() / 2],
        );
    }
}
