//! What a request costs through the gateway: CPU time from the operating system,
//! requests per second, added latency and memory, side by side with the bare
//! minimum of a proxy. At full load, at one pace for all, for streams, and last the
//! gateway's memory while many streams are held open, how soon a client's hang-up
//! reaches the upstream, what balancing and health cost, what those cost who watch
//! exchanges, and what clients notice of an endpoint that dies or stalls.
//!
//! ```console
//! $ cargo bench --bench load                 # everything
//! $ cargo bench --bench load -- --quick      # fewer requests, fewer open streams
//! $ cargo bench --bench load -- policies     # the rows whose name has it
//! $ cargo bench --bench load -- endpoint     # balancing and health alone
//! $ cargo bench --bench load -- trace        # with nobody who watches, and with somebody
//! $ cargo bench --bench load -- outage       # an endpoint that dies, and one that stalls
//! ```
//! The upstream, the load and each gateway share one machine, so only ratios within
//! one run mean something. All contenders are there at once, and every one is loaded for a
//! moment in each of many rounds, in turn, while the others are idle; the medians of the
//! rounds are shown, and of the ratios that each round has by itself.

#[path = "bare.rs"]
mod bare;
#[path = "contender.rs"]
mod contender;
#[path = "departures.rs"]
mod departures;
#[path = "fleet.rs"]
mod fleet;
#[path = "outage.rs"]
mod outage;
#[path = "table.rs"]
mod table;
#[path = "watched.rs"]
mod watched;

use std::time::Duration;

use contender::{Contender, EACH_TIME, Kind, Running, contenders};
use table::{Row, print};
use tollgate::demo::{
    load::{Load, Report, Until},
    standin::{Standin, StandinOptions},
};

const CONNECTIONS: usize = 16;
/// Requests a second of the paced load: few enough for every contender, so that all
/// of them wake and sleep as often.
const PACE: u32 = 2_000;
/// Tokens of one streamed answer; each is an event.
const TOKENS: u64 = 64;
/// Streams open at once while the gateway's memory is read; a fifth of them if it has
/// to be quick.
const STREAMS: usize = 1_000;

struct Plan {
    is_quick: bool,
    rounds: usize,
    requests: u64,
    streams: u64,
    held_streams: usize,
    filter: Option<String>,
}

impl Plan {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let quick = arguments.iter().any(|argument| argument == "--quick");
        Self {
            is_quick: quick,
            rounds: if quick { 4 } else { 24 },
            requests: if quick { 2_000 } else { 4_000 },
            streams: if quick { 50 } else { 100 },
            held_streams: if quick { STREAMS / 5 } else { STREAMS },
            filter: arguments
                .into_iter()
                .find(|argument| !argument.starts_with("--")),
        }
    }
}

impl Plan {
    fn wants(&self, name: &str) -> bool {
        self.filter
            .as_deref()
            .is_none_or(|filter| name.contains(filter))
    }
}

fn main() -> anyhow::Result<()> {
    if let Ok(role) = std::env::var(bare::ROLE) {
        return bare::main(&role);
    }
    // The load and the stand-in are one process: two sockets a stream.
    tollgate::descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(&Plan::from_arguments()))
}

async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let standin = swift().await?;
    let all = contenders(standin.addr).await?;
    compare(&all, "tollgate, no policy", plan).await?;
    standin.stop().await;
    hold_streams(plan).await?;
    departures::measure(if plan.is_quick { 20 } else { 200 }, |name| {
        plan.wants(name)
    })
    .await?;
    fleet::measure(plan).await?;
    watched::measure(plan).await?;
    if plan.wants("outage") {
        outage::measure().await?;
    }
    Ok(())
}

/// A stand-in that answers as fast as it can.
async fn swift() -> anyhow::Result<Standin> {
    let mut options = StandinOptions::behaving(&format!("tokens={TOKENS},pace=0ms"))?;
    options.keep = 0;
    Ok(Standin::start(([127, 0, 0, 1], 0).into(), options).await?)
}

/// Those that are wanted, side by side.
async fn compare(all: &[Contender], to: &str, plan: &Plan) -> anyhow::Result<()> {
    let mut measured = Vec::new();
    for contender in all.iter().filter(|one| plan.wants(&one.name)) {
        let running = contender.start().await?;
        let watching = running.watch().await?;
        measured.push((contender, running, watching, Row::new(&contender.name)));
    }
    if measured.is_empty() {
        return Ok(());
    }
    // Of what the start takes, some is given back a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (_, running, _, row) in &mut measured {
        row.idle_kib = running.resident_kib()?;
    }
    for round in 0..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        // Another is the first each time: what came before it is measured with everyone.
        measured.rotate_left(1);
        for (contender, running, _, row) in &mut measured {
            // The first is to warm up.
            match round {
                0 => one((contender, running), plan, &mut Row::new("")).await?,
                _ => one((contender, running), plan, row).await?,
            }
        }
    }
    let mut rows = Vec::new();
    for (_, running, watching, mut row) in measured {
        row.busy_kib = running.resident_kib()?;
        rows.push(row);
        drop(watching);
        running.stop().await;
    }
    // In the order in which they were given.
    rows.sort_by_key(|row| all.iter().position(|one| one.name == row.name));
    print(&rows, to, TOKENS);
    Ok(())
}

/// How much memory the gateway has while many streams are open.
async fn hold_streams(plan: &Plan) -> anyhow::Result<()> {
    let options = StandinOptions::behaving(&format!("tokens={TOKENS},pace=200ms"))?;
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options).await?;
    let held = plan.held_streams;
    println!("\n| {held} open streams | resident, MiB |\n|---|--:|");
    for contender in contenders(standin.addr).await? {
        let fits = contender.name.contains("no policy") || contender.name.contains("3 policies");
        let fits = fits && !contender.name.contains(EACH_TIME);
        if !fits || !plan.wants(&contender.name) {
            continue;
        }
        let running = contender.start().await?;
        let mut streams = load(&contender, &running, 100);
        streams.connections = held;
        let streams = tokio::spawn(streams.run(Until::Requests(held as u64)));
        tokio::time::sleep(Duration::from_secs(8)).await;
        let resident = running.resident_kib()? as f64 / 1024.0;
        whole(streams.await?)?;
        running.stop().await;
        println!("| {} | {resident:.0} |", contender.name);
    }
    standin.stop().await;
    Ok(())
}

/// One contender, once: plain requests, the same at one pace for all, then streams.
async fn one(
    (contender, running): (&Contender, &Running),
    plan: &Plan,
    row: &mut Row,
) -> anyhow::Result<()> {
    let load = |streamed_percent| load(contender, running, streamed_percent);
    let before = running.cpu()?;
    let plain = whole(load(0).run(Until::Requests(plan.requests)).await)?;
    row.plain(&plain, running.cpu()?.saturating_sub(before));
    let before = running.cpu()?;
    let mut paced = load(0);
    paced.per_second = Some(PACE);
    let paced = whole(paced.run(Until::Requests(plan.requests / 4)).await)?;
    row.paced(&paced, running.cpu()?.saturating_sub(before));
    let before = running.cpu()?;
    let streamed = whole(load(100).run(Until::Requests(plan.streams)).await)?;
    row.streamed(&streamed, running.cpu()?.saturating_sub(before));
    Ok(())
}

fn load(contender: &Contender, running: &Running, streamed_percent: u64) -> Load {
    let mut load = Load::chat(running.addr, "standin-small");
    if matches!(contender.kind, Kind::Tollgate { .. } | Kind::Watched(_)) {
        load = load.header(
            http::header::AUTHORIZATION,
            http::HeaderValue::from_static("Bearer bench-key"),
        );
    }
    load.connections = CONNECTIONS;
    load.streamed_percent = streamed_percent;
    load.patience = Duration::from_secs(60);
    load
}

fn whole(report: Report) -> anyhow::Result<Report> {
    anyhow::ensure!(
        report.failed == 0,
        "{} requests failed: {:?}",
        report.failed,
        report.failures
    );
    Ok(report)
}
