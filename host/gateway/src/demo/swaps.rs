//! Swaps policies for new versions while a load is running.
//!
//! The load knows nothing of the swaps; what it reports is the proof. A swap's time
//! is from the rename of the file to the new generation being live.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::Gateway;

use super::{
    load::{Load, Report, Until},
    plugins_build::BuildError,
    scenes::KEY,
    site::{Greeting, Rules, Site},
    standin::HEADER,
};

const BETWEEN: Duration = Duration::from_millis(700);
/// For a swap that has to compile on a busy machine; then the gateway is asked why.
const PATIENCE: Duration = Duration::from_secs(30);

/// One change of the running gateway.
#[derive(Debug, Serialize)]
pub(super) struct Swap {
    pub(super) policy: &'static str,
    pub(super) what: &'static str,
    pub(super) generation_before: u64,
    pub(super) generation_after: u64,
    pub(super) outcome: Outcome,
}

/// What became of a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// So many milliseconds after the rename.
    LiveAfterMs(f64),
    /// As it has to be: what was swapped in cannot work. With the gateway's words.
    Refused(String),
    /// It cannot work, and yet it went live.
    WronglyLive,
}

/// Runs the load, and all changes during it.
pub(super) async fn under_load(
    gateway: &Gateway,
    site: &Site,
) -> anyhow::Result<(Vec<Swap>, Report)> {
    let stop = CancellationToken::new();
    let load = tokio::spawn(load(gateway.addr())?.run(Until::Told(stop.clone())));
    tokio::time::sleep(BETWEEN).await;
    let swaps = all(gateway, site).await;
    stop.cancel();
    let report = load.await.context("the load broke down")?;
    Ok((swaps?, report))
}

/// Two requests in five are streams that last longer than a swap takes.
fn load(gateway: SocketAddr) -> anyhow::Result<Load> {
    let key = HeaderValue::try_from(format!("Bearer {KEY}"))?;
    let load = Load {
        connections: 24,
        streamed_percent: 40,
        marks: vec!["/system_fingerprint".to_owned(), "/greeting".to_owned()],
        ..Load::chat(gateway, "assistant")
    };
    Ok(load.header(header::AUTHORIZATION, key).header(
        HEADER.parse()?,
        HeaderValue::from_static("tokens=30,pace=20ms"),
    ))
}

async fn all(gateway: &Gateway, site: &Site) -> anyhow::Result<Vec<Swap>> {
    let rules = || site.rule(Rules::Strict);
    let second = || site.greet(Greeting::Second);
    let first = || site.greet(Greeting::First);
    let mut swaps = vec![
        swap(
            gateway,
            (
                "rules",
                "new settings in tollgate.yaml: temperature at most 0.2, was 1.0",
            ),
            rules,
        )
        .await?,
        swap(
            gateway,
            (
                "greeting",
                "a new version of the plugin, never compiled before",
            ),
            second,
        )
        .await?,
        swap(
            gateway,
            ("greeting", "back to the old version, already compiled"),
            first,
        )
        .await?,
        swap(
            gateway,
            ("greeting", "the new version again, already compiled"),
            second,
        )
        .await?,
    ];
    swaps.push(refused(gateway, site).await?);
    Ok(swaps)
}

async fn swap(
    gateway: &Gateway,
    (policy, what): (&'static str, &'static str),
    change: impl Fn() -> Result<Instant, BuildError>,
) -> anyhow::Result<Swap> {
    let generation_before = gateway.generation();
    let renamed = change()?;
    while gateway.generation() == generation_before {
        if renamed.elapsed() > PATIENCE {
            match gateway.reload().await {
                Ok(_) => bail!("{what}: not noticed within {PATIENCE:?}"),
                Err(refused) => bail!("{what}: refused: {refused}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let outcome = Outcome::LiveAfterMs(renamed.elapsed().as_secs_f64() * 1e3);
    let generation_after = gateway.generation();
    tokio::time::sleep(BETWEEN).await;
    Ok(Swap {
        policy,
        what,
        generation_before,
        generation_after,
        outcome,
    })
}

/// A broken plugin must change nothing; the good one is put back.
async fn refused(gateway: &Gateway, site: &Site) -> anyhow::Result<Swap> {
    let generation_before = gateway.generation();
    site.break_greeting()?;
    let answer = gateway.reload().await;
    let generation_after = gateway.generation();
    let outcome = match answer {
        Err(refused) if generation_after == generation_before => Outcome::Refused(refused.message),
        Err(_) | Ok(_) => Outcome::WronglyLive,
    };
    site.greet(Greeting::Second)?;
    tokio::time::sleep(BETWEEN).await;
    Ok(Swap {
        policy: "greeting",
        what: "half of a plugin file",
        generation_before,
        generation_after,
        outcome,
    })
}
