//! The inner loop of a plugin's author: saved, built, swapped in, seen.
//!
//! Watches a crate's folder, builds the crate, and swaps the plugin into a gateway of its
//! own, in front of the stand-in model server or of another upstream, all in this process
//! and a temporary folder. What fails on the way is told, and the version before goes on.
//! It uses the gateway as any operator does: files and sockets. What is told is [`News`];
//! knows nothing of how it is shown.

mod bench;
mod news;
mod sample;
mod settings;
mod site;
mod source;

use std::{net::SocketAddr, path::PathBuf};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use news::{Live, News, Order, Setback, Started};

/// What is developed, and with what.
#[derive(Debug, Clone)]
pub(crate) struct DevOptions {
    /// The crate's folder.
    pub(crate) folder: PathBuf,
    /// A file with the policy's settings, instead of `dev.yaml` and the first case.
    pub(crate) settings: Option<PathBuf>,
    /// A configuration to serve, instead of one that is made up.
    pub(crate) config: Option<PathBuf>,
    /// An upstream, instead of the stand-in model server.
    pub(crate) upstream: Option<String>,
    /// The model that samples ask for.
    pub(crate) model: Option<String>,
    /// Where the gateway listens; `None`: at any free port of this machine.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether the gateway proves the crate's cases before each swap.
    pub(crate) with_cases: bool,
    /// Whether the samples are sent after each swap.
    pub(crate) sample: bool,
}

/// How the loop and whoever shows it reach each other.
pub(crate) struct Lines {
    /// To whoever shows it.
    pub(crate) news: mpsc::Sender<News>,
    /// From there.
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Ends the loop.
    pub(crate) stop: CancellationToken,
}

/// Runs until `stop`; nothing is left behind then.
///
/// # Errors
/// The folder cannot be watched, or what is served beside the plugin does not start.
pub(crate) async fn run(options: DevOptions, lines: Lines) -> anyhow::Result<()> {
    let mut bench = bench::Bench::set_up(options, lines.news, lines.stop.clone()).await?;
    let worked = bench.work(lines.orders).await;
    bench.take_down().await;
    worked
}
