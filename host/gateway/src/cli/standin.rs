//! `tollgate standin`: a model server to try a configuration with.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;

use super::say;
use crate::demo::standin::{Standin, StandinOptions};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate standin --listen 127.0.0.1:9000 --behave pace=50ms

It speaks as OpenAI's API does (chat, completions, embeddings, models; plain and
streamed), says again what it heard, and counts words as tokens. What a single request
names in the header `x-standin` goes before --behave: `fail=503`, `cut-after=3`,
`usage=10/20` and others. What reached it: GET /standin/seen.")]
pub(super) struct StandinArguments {
    /// Listen here.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// How it answers where a request does not say: a comma list.
    #[arg(long, value_name = "LIST", default_value = "pace=20ms")]
    behave: String,
}

pub(super) async fn standin(arguments: StandinArguments) -> anyhow::Result<ExitCode> {
    let options = StandinOptions::behaving(&arguments.behave)?;
    let standin = Standin::start(arguments.listen, options)
        .await
        .with_context(|| format!("the stand-in cannot listen on {}", arguments.listen))?;
    say::err(format_args!(
        "a stand-in model server, {}; ctrl-c ends it\n",
        standin.url()
    ));
    tokio::signal::ctrl_c().await?;
    standin.stop().await;
    Ok(ExitCode::SUCCESS)
}
