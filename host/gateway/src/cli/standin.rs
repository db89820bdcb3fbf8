//! `tollgate standin`: a model server to try a configuration with.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use tollgate_config::parse_address;

use super::say;
use crate::demo::standin::{Standin, StandinOptions};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate standin --listen 127.0.0.1:9000 --behave pace=50ms

It speaks as OpenAI's API does (chat, completions, embeddings, models; plain and
streamed), says again what it heard, and counts words as tokens. What a single request
names in the header `x-standin` goes before --behave. What reached it: GET /standin/seen.
GET /health and GET /metrics answer as vLLM's do.

How it answers, in words between commas:
  how much, how fast   tokens=20 big=N pace=5ms split=N trickle=50ms usage=none|10/20
  no answer            stall-before stall-before=2s cut-headers reset-headers
  another answer       fail=503 status=202 early=413 retry-after=7 header=name:value
  breaks off           cut-after=N reset-after=N stall-after=N
  malformed            malformed malformed-json error-event=N no-done done-twice after-done
  spelling of events   crlf cr comments multi-line no-space bom")]
pub(super) struct StandinArguments {
    /// Listen here.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:9000")]
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
