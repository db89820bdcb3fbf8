//! What it costs to have several endpoints, to choose among them and to watch them.

use std::net::SocketAddr;

use crate::{Plan, compare, contender::fleet, swift};

const WATCHED: &str = "health: { active: {}, breaker: {} }";

/// Side by side with one endpoint that nobody watches.
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
    println!();
    compare(&contenders, alone, plan).await?;
    for standin in standins {
        standin.stop().await;
    }
    Ok(())
}
