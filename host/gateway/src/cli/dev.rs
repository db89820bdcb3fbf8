//! `tollgate dev`: the inner loop of a plugin's author.

mod board;
mod pane;
mod plain;
mod screen;

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tollgate_config::parse_address;

use super::run::Ends;
use crate::{
    descriptors,
    dev::{self, DevOptions, Lines},
};

/// News that wait to be shown.
const NEWS_MAX: usize = 64;
/// Orders that wait for the loop.
const ORDERS_MAX: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate dev short-prompts

Builds the crate, serves it in front of a stand-in model server, and follows its source:
what is saved is built and swapped in, and what does not build is shown while the version
before goes on. Every exchange is shown with what the policy decided and changed. Press
`s` to send a sample, `q` to quit.

Settings and grants are those of dev.yaml in the crate's folder, which says what a
policy's entry in a configuration says; without it, those of the first file in `cases`.
See docs/first-policy.md.")]
pub(super) struct DevArguments {
    /// The crate's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Listen here. By default at any free port of this machine.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Serve in front of this model server instead of the stand-in.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    upstream: Option<String>,
    /// Serve this configuration, with what is built in place of its plugin of that name.
    #[arg(long, value_name = "PATH", conflicts_with = "settings")]
    config: Option<PathBuf>,
    /// Take settings and grants from this file, and not from dev.yaml or the cases.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The model that samples ask for.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Have the cases proven before each swap.
    #[arg(long)]
    with_cases: bool,
    /// Send the samples after each swap.
    #[arg(long)]
    sample: bool,
    /// Print lines, and draw no screen; so it is where standard output is no terminal.
    #[arg(long)]
    plain: bool,
}

pub(super) async fn dev(arguments: DevArguments) -> anyhow::Result<ExitCode> {
    descriptors::raise();
    let mut ends = Ends::new().context("cannot wait for signals")?;
    // Of a terminal that is closed; cargo, in a group of its own, would not hear of it.
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    let is_plain = arguments.plain || !io::stdout().is_terminal() || !io::stdin().is_terminal();
    let (news, mut heard) = mpsc::channel(NEWS_MAX);
    let (orders, ordered) = mpsc::channel(ORDERS_MAX);
    let stop = CancellationToken::new();
    let lines = Lines {
        news,
        orders: ordered,
        stop: stop.clone(),
    };
    let name = name_of(&arguments.folder);
    let looped = tokio::spawn(dev::run(arguments.into(), lines));
    let shown = async {
        if is_plain {
            plain::show(&mut heard).await
        } else {
            screen::show(&name, (&mut heard, orders.clone())).await
        }
    };
    let shown = tokio::select! {
        shown = shown => shown,
        () = ends.any() => Ok(()),
        _ = hangups.recv() => Ok(()),
    };
    stop.cancel();
    // Whoever waits to tell something waits no longer.
    drop(heard);
    looped.await.context("the loop broke off")??;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// The folder's own name, for the screen.
fn name_of(folder: &std::path::Path) -> String {
    let path = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl From<DevArguments> for DevOptions {
    fn from(arguments: DevArguments) -> Self {
        Self {
            folder: arguments.folder,
            settings: arguments.settings,
            config: arguments.config,
            upstream: arguments.upstream,
            model: arguments.model,
            listen: arguments.listen,
            with_cases: arguments.with_cases,
            sample: arguments.sample,
        }
    }
}
