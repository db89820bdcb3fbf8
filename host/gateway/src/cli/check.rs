//! `tollgate check`: all that `run` does before it serves.

use std::{path::PathBuf, process::ExitCode};

use crate::{Options, telemetry};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate check --config tollgate.yaml && echo fine

Accepts exactly what `tollgate run` accepts: every plugin is compiled, configured
and tried with the exchanges it ships. Exits with 1 and names file, line and reason
where something is refused.")]
pub(super) struct CheckArguments {
    /// The configuration: a file, or a folder of *.yaml files.
    #[arg(short, long, value_name = "PATH")]
    config: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) async fn check(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let _log = telemetry::init(telemetry::LogFormat::Human, "warn")?;
    let options = Options::new(arguments.config.clone());
    match crate::check(&options).await {
        Ok(checked) if arguments.json => {
            println!("{}", serde_json::json!({ "ok": true, "checked": checked }))
        }
        Ok(checked) => {
            println!("{checked}");
            println!("Next: tollgate run --config {}", arguments.config.display());
        }
        Err(refused) if arguments.json => {
            println!("{}", serde_json::json!({ "ok": false, "refused": refused }));
            return Ok(ExitCode::FAILURE);
        }
        Err(refused) => {
            eprintln!("{refused}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
