//! `tollgate trace`: the next exchanges of a running gateway, policy by policy.

pub(crate) mod attached;
pub(crate) mod token;
pub(crate) mod view;

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use attached::{Attached, NotAttached, Query};
use token::Token;
use tokio::time::{Instant, sleep};
use tollgate_config::parse_address;
use view::View;

use super::say;
use crate::{
    telemetry::plain_json,
    trace::{Filter, Line},
};

/// How long a gateway that went away is waited for.
const WAIT: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate trace --route chat --model 'llama-*' --count 3

Shows exchanges that begin from now on, as they end: what each policy read, asked of
capabilities, decided and changed, and how long it took. What is secret is masked.
Where the configuration names an `admin_token`, it is taken from --token-file or from
the environment variable TOLLGATE_ADMIN_TOKEN. Ctrl-C ends it. A gateway that goes
away is waited for, 30 seconds long. See docs/operating.md.")]
pub(super) struct TraceArguments {
    /// The gateway's admin port.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// A file with the token of the admin port.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Only of this route; `*` stands for any text.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only of this model, as the client or the upstream calls it; `*` stands for any text.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only of this caller, as a policy established it; `*` stands for any text.
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Only of this `x-request-id`.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Whether to print in colours.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    fn is_on(self) -> bool {
        let is_unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto => io::stdout().is_terminal() && !is_unwanted(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

pub(super) async fn trace(arguments: TraceArguments) -> anyhow::Result<ExitCode> {
    let query = Query {
        admin: arguments.admin,
        token: Token::read(arguments.token_file.as_deref())?,
        filter: Filter {
            route: arguments.route,
            model: arguments.model,
            caller: arguments.caller,
            id: arguments.id,
        },
        count: arguments.count,
    };
    let out = Out {
        is_json: arguments.json,
        view: View {
            colored: arguments.color.is_on(),
        },
    };
    tokio::select! {
        ended = follow(query, out) => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Until so many were shown, or the gateway is gone for good.
async fn follow(mut query: Query, out: Out) -> anyhow::Result<ExitCode> {
    let admin = query.admin;
    let mut attached = Attached::to(&query).await?;
    say::err(format_args!(
        "watching the gateway at {admin}; ctrl-c ends it\n"
    ));
    loop {
        match show(attached, &mut query, &out).await? {
            Ended::AsAsked => return Ok(ExitCode::SUCCESS),
            Ended::ByTime => attached = Attached::to(&query).await?,
            Ended::Away => {
                say::err(format_args!(
                    "the gateway at {admin} went away; waiting for it\n"
                ));
                attached = wait_for(&query).await?;
                say::err("it is back\n");
            }
        }
    }
}

async fn wait_for(query: &Query) -> anyhow::Result<Attached> {
    let given_up = Instant::now() + WAIT;
    loop {
        match Attached::to(query).await {
            Err(NotAttached::Unreachable { .. }) if Instant::now() < given_up => {
                sleep(BETWEEN_TRIES).await;
            }
            Err(error @ NotAttached::Unreachable { .. }) => {
                let message = format!("it did not come back within {} seconds", WAIT.as_secs());
                return Err(anyhow::Error::from(error).context(message));
            }
            other => return Ok(other?),
        }
    }
}

/// Why there are no more lines.
enum Ended {
    AsAsked,
    ByTime,
    Away,
}

async fn show(mut attached: Attached, query: &mut Query, out: &Out) -> anyhow::Result<Ended> {
    while let Some((text, line)) = attached.line().await {
        match &line {
            Line::Trace(_) => query.count = query.count.map(|left| left.saturating_sub(1)),
            Line::Ended { reason } if reason == "count" => return Ok(Ended::AsAsked),
            Line::Ended { .. } => return Ok(Ended::ByTime),
            Line::Watching { .. } | Line::Lost { .. } | Line::Still => {}
        }
        match out.print(&text, &line) {
            // Whoever reads has read enough: `tollgate trace | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::AsAsked),
            printed => printed?,
        }
        if query.count == Some(0) {
            return Ok(Ended::AsAsked);
        }
    }
    Ok(Ended::Away)
}

struct Out {
    is_json: bool,
    view: View,
}

impl Out {
    fn print(&self, text: &str, line: &Line) -> io::Result<()> {
        let shown = match line {
            Line::Trace(_) | Line::Lost { .. } if self.is_json => {
                format!("{}\n", plain_json(text))
            }
            Line::Trace(trace) => self.view.trace(trace),
            Line::Lost { slow, skipped } => self.view.lost(*slow, *skipped),
            Line::Watching { .. } | Line::Still | Line::Ended { .. } => return Ok(()),
        };
        let mut out = io::stdout().lock();
        out.write_all(shown.as_bytes())?;
        out.flush()
    }
}
