//! What clients notice when one of three endpoints dies, stalls, and comes back.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tollgate::demo::{
    load::{Load, Until},
    standin::{Standin, StandinOptions},
};

use crate::contender::fleet;

/// Requests a second, and how many may be under way.
const PACE: u32 = 300;
const CONNECTIONS: usize = 64;
/// What happens at the beginning of which second.
const EVENTS: [(u64, Event); 4] = [
    (4, Event::Dies),
    (9, Event::Returns),
    (16, Event::Stalls),
    (23, Event::Answers),
];
const SECONDS: u64 = 32;
/// An answer takes the stand-in this long.
const BEHAVIOUR: &str = "tokens=16,pace=5ms";
/// Ejected after 5 errors in a row, for 2 s at first; a first byte has to come within 500 ms.
const UPSTREAM: &str =
    "health: { active: { interval: 1s }, passive: { consecutive_errors: 5, pause: 2s } }";
const MODEL: &str = ", timeouts: { first_byte: 500ms }, \
                     retries: { count: 2, on: [ connect, reset, timeout ] }";

#[derive(Clone, Copy)]
enum Event {
    Dies,
    Returns,
    Stalls,
    Answers,
}

/// Prints one line a second.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut standins = Vec::new();
    for _ in 0..3 {
        standins.push(start(([127, 0, 0, 1], 0).into()).await?);
    }
    let addrs: Vec<SocketAddr> = standins.iter().map(|standin| standin.addr).collect();
    let running = fleet("outage", &addrs, UPSTREAM, MODEL)?.start().await?;
    println!(
        "\n| second | one of three endpoints | requests | failed | p50, ms | p99, ms | longest, ms |\n\
         |--:|---|--:|--:|--:|--:|--:|"
    );
    let begin = Instant::now();
    let mut failed = 0;
    for second in 0..SECONDS {
        let event = EVENTS.iter().find(|(at, _)| *at == second);
        let what = match event.map(|(_, event)| *event) {
            None => "",
            Some(Event::Dies) => {
                if let Some(standin) = standins.pop() {
                    standin.stop().await;
                }
                "dies"
            }
            Some(Event::Returns) => {
                standins.push(start(addrs[2]).await?);
                "returns"
            }
            Some(Event::Stalls) => {
                standins[2].behave("stall-before")?;
                "stalls"
            }
            Some(Event::Answers) => {
                standins[2].behave(BEHAVIOUR)?;
                "answers again"
            }
        };
        let mut load = Load::chat(running.addr, "standin-small");
        load.connections = CONNECTIONS;
        load.per_second = Some(PACE);
        let end = Duration::from_secs(second + 1);
        let left = end.saturating_sub(begin.elapsed());
        let report = load.run(Until::Elapsed(left)).await;
        failed += report.failed;
        let ms = |us: u32| f64::from(us) / 1e3;
        let latency = report.plain_latency;
        println!(
            "| {second} | {what} | {} | {} | {:.1} | {:.1} | {:.1} |",
            report.sent,
            report.failed,
            ms(latency.p50_us),
            ms(latency.p99_us),
            ms(latency.max_us),
        );
    }
    running.stop().await;
    anyhow::ensure!(failed == 0, "{failed} requests failed");
    Ok(())
}

async fn start(addr: SocketAddr) -> anyhow::Result<Standin> {
    let mut options = StandinOptions::behaving(BEHAVIOUR)?;
    options.keep = 0;
    Ok(Standin::start(addr, options).await?)
}
