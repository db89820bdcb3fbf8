//! `tollgate demo`: the whole gateway on one machine, shown and then handed over.
//!
//! Builds the standard plugins, starts a stand-in model server and the gateway in
//! front of it, shows what each policy changes, swaps policies under load, and stays
//! up for the visitor. It uses the gateway as any operator does: files and sockets.

pub mod load;
pub mod plugins_build;
mod scenes;
mod show;
mod site;
pub mod standin;
mod swaps;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::Context;

use crate::{
    Gateway, Options,
    telemetry::{self, LogFormat},
};

use scenes::KEY;
use show::Summary;
use site::Site;
use standin::{Standin, StandinOptions};

/// Shows the gateway at work: builds the standard plugins, starts a stand-in model
/// server and a gateway, and swaps policies while a load is running.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate demo\n  tollgate demo --once --json | jq .load.failed"
)]
pub struct DemoArgs {
    /// End after the summary; exit code 0 only if nothing failed.
    #[arg(long)]
    pub once: bool,
    /// Print the summary as one JSON object, and nothing else, to standard output.
    #[arg(long, requires = "once")]
    pub json: bool,
    /// The folder for the configuration and the plugins [default: target/demo; with
    /// --once, a temporary one].
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Runs the demo to its end: after the summary, or when ctrl-c is pressed.
///
/// # Errors
/// When the plugins cannot be built, or the gateway cannot be started or reached.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let say = Voice { quiet: args.json };
    say.line("Tollgate demo\n")?;
    say.line("  building the plugins (the first time takes a while) …")?;
    let building = Instant::now();
    let standin = start_standin().await?;
    let (folder, temporary, upstream) = (args.folder.clone(), args.once, standin.addr);
    let site =
        tokio::task::spawn_blocking(move || Site::make(folder, temporary, upstream)).await??;
    say.line(&format!(
        "  plugins   built to WebAssembly in {:.1} s",
        building.elapsed().as_secs_f64()
    ))?;
    say.line(&format!(
        "  upstream  a stand-in model server, {}",
        standin.url()
    ))?;

    let gateway = Gateway::start(Options::new(site.config()))
        .await
        .context("the gateway does not start")?;
    let (addr, admin) = (gateway.addr(), gateway.admin_addr());
    say.line(&format!(
        "  gateway   http://{addr}, admin http://{admin}, generation {}",
        gateway.generation()
    ))?;

    let shown = scenes::play(addr, &standin).await?;
    say.line(&show::policies(&shown))?;
    say.line("  swapping policies under load …")?;
    let (swaps, load) = swaps::under_load(&gateway, &site).await?;
    let summary = Summary::new(shown, swaps, load);
    say.line(&show::swaps(&summary))?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    }
    if !args.once {
        say.line(&invitation(&gateway, &site))?;
        telemetry::init(LogFormat::default(), "tollgate=info")?;
        tokio::signal::ctrl_c().await?;
        say.line("\nstopping …")?;
    }
    gateway.stop().await;
    standin.stop().await;
    Ok(if summary.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn start_standin() -> anyhow::Result<Standin> {
    let options = StandinOptions::behaving("tokens=24,pace=30ms")?;
    Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .context("the stand-in cannot listen")
}

/// Where progress is told.
struct Voice {
    quiet: bool,
}

impl Voice {
    fn line(&self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        writeln!(io::stdout(), "{text}")
    }
}

fn invitation(gateway: &Gateway, site: &Site) -> String {
    let (addr, admin) = (gateway.addr(), gateway.admin_addr());
    let folder = site.folder().display();
    format!(
        r#"Now you. The gateway stays up; ctrl-c ends it.

  edit {folder}/tollgate.yaml
  or replace a file in {folder}/plugins
  and watch the log below for what became of it. Then ask:

  curl http://{addr}/v1/chat/completions -H 'authorization: Bearer {KEY}' \
    -H 'content-type: application/json' \
    -d '{{"model":"assistant","messages":[{{"role":"user","content":"Name three rivers."}}]}}'

  curl -N http://{addr}/v1/chat/completions -H 'authorization: Bearer {KEY}' \
    -H 'content-type: application/json' \
    -d '{{"model":"assistant","stream":true,"messages":[{{"role":"user","content":"Name three rivers."}}]}}'

  curl http://{admin}/generations
  curl http://{admin}/policies
"#
    )
}
