//! How soon the upstream notices that a client went away.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::contender::contenders;

/// A client that leaves: what it is doing by then, and what the stand-in is told to do.
const LEAVING: [(&str, &str, bool); 2] = [
    ("in a stream", "tokens=1000,pace=50ms", true),
    ("before the first byte", "stall-before", false),
];

/// Prints the median and the longest of so many departures, each on a quiet gateway.
pub(crate) async fn measure(times: usize, wants: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    println!(
        "\n| from a client's hang-up to the upstream's | p50, ms | longest, ms |\n|---|--:|--:|"
    );
    for (when, behaviour, streams) in LEAVING {
        let options = StandinOptions::behaving(behaviour)?;
        let standin = Standin::start(([127, 0, 0, 1], 0).into(), options).await?;
        for contender in contenders(standin.addr).await? {
            let is_shown = contender.name.contains("no policy")
                || contender.name.contains("3 policies, exchange");
            if !is_shown || !wants(&contender.name) {
                continue;
            }
            let running = contender.start().await?;
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                took.push(leave(&standin, running.addr, streams).await?);
            }
            running.stop().await;
            took.sort_unstable();
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let (median, longest) = (ms(took[times / 2]), ms(took[times - 1]));
            println!(
                "| {}, {when} | {median:.2} | {longest:.2} |",
                contender.name
            );
        }
        standin.stop().await;
    }
    Ok(())
}

async fn leave(
    standin: &Standin,
    gateway: std::net::SocketAddr,
    streams: bool,
) -> anyhow::Result<Duration> {
    let (requests, cancelled) = (standin.seen().requests, standin.seen().cancelled);
    let body = format!(
        r#"{{"model":"standin-small","stream":{streams},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer bench-key\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = TcpStream::connect(gateway).await?;
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    if streams {
        client.read_exact(&mut [0; 256]).await?;
    } else {
        let arrived = standin.wait_for(PATIENCE, |seen| seen.requests > requests);
        anyhow::ensure!(arrived.await.is_some(), "the request did not arrive");
    }
    let left = Instant::now();
    drop(client);
    let noticed = standin.wait_for(PATIENCE, |seen| seen.cancelled > cancelled);
    let seen = noticed
        .await
        .ok_or_else(|| anyhow::anyhow!("the upstream did not notice"))?;
    let last = seen.cancellations.last();
    let at = last
        .ok_or_else(|| anyhow::anyhow!("no cancellation was kept"))?
        .at;
    Ok(at.saturating_duration_since(left))
}

const PATIENCE: Duration = Duration::from_secs(10);
