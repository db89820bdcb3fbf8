//! `tollgate run`: the gateway until a signal ends it.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tollgate_config::parse_address;

use super::say;
use crate::{
    Gateway, Options, Refused, descriptors,
    telemetry::{self, Lines, LogFormat},
};

/// How long the last log lines are waited for.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate run --config tollgate.yaml

Then change tollgate.yaml or a plugin: the change is proven beside the running
pipeline and swapped in, or refused with the reason in the log. Signals:
SIGHUP looks at the files now, SIGTERM and SIGINT finish what is in flight and stop
(a second one stops at once). Ask the admin port for /generations and /metrics.")]
pub(super) struct RunArguments {
    /// The configuration: a file, or a folder of *.yaml files.
    #[arg(short, long, value_name = "PATH")]
    config: PathBuf,
    /// Listen here, whatever the configuration says.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Put the admin port here, whatever the configuration says.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    admin: Option<SocketAddr>,
    /// The most plugin instances alive at once.
    #[arg(long, value_name = "COUNT", default_value_t = Options::INSTANCES)]
    instances: u32,
    /// How the log on standard error looks.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    /// What of the log is shown, such as `info` or `tollgate=debug,warn`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log_level: String,
    /// Do not write a line of JSON per exchange to standard output.
    #[arg(long)]
    no_access_log: bool,
}

pub(super) async fn run(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    descriptors::raise();
    let log = telemetry::init(arguments.log, &arguments.log_level)?;
    let access = if arguments.no_access_log {
        None
    } else {
        Some(Lines::to(io::stdout())?)
    };
    let options = Options {
        listen: arguments.listen,
        admin: arguments.admin,
        instances: arguments.instances,
        access: access.clone(),
        ..Options::new(arguments.config)
    };
    let ended = serve(options).await;
    for lines in access.iter().chain([&log]) {
        lines.flush(FLUSH);
    }
    ended
}

async fn serve(options: Options) -> anyhow::Result<ExitCode> {
    let mut ends = Ends::new().context("cannot wait for signals")?;
    // Until it serves there is nothing to look at again, and SIGHUP must not end it.
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    let config = options.config.clone();
    let started = tokio::select! {
        started = Gateway::start(options) => started,
        () = ends.any() => return Ok(ExitCode::SUCCESS),
    };
    let gateway = match started {
        Ok(gateway) => gateway,
        Err(error) => {
            say::err(format_args!("error: {error:#}\n"));
            // An address that is taken is not the configuration's mistake.
            if error.is::<Refused>() {
                say::err(format_args!(
                    "Not started. Mend that, and try it with: tollgate check --config {}\n",
                    config.display()
                ));
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    loop {
        tokio::select! {
            () = ends.any() => break,
            _ = hangups.recv() => gateway.reload_soon(),
        }
    }
    tokio::select! {
        _ = gateway.stop() => {}
        () = ends.any() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The signals that end the process.
pub(super) struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
