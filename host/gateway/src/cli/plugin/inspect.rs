//! `tollgate plugin inspect`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use bytes::Bytes;
use tollgate_config::CompileLimits;
use tollgate_sandbox::Inspector;

use super::show;
use crate::cli::say;

/// As much as any gateway may be set to take.
const BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate plugin inspect plugins/short-prompts.wasm
  tollgate plugin inspect plugins/short-prompts.wasm --schema > settings.schema.json

The file is read, and asked to describe itself, in a process of its own; nothing else
of it is run.")]
pub(super) struct InspectArguments {
    /// The plugin's file: a module with the contract in it, or a component.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of the settings, and nothing else.
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

pub(super) async fn inspect(arguments: InspectArguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.file;
    let shown = file.display();
    let metadata = fs::metadata(file).with_context(|| format!("{shown}: cannot be read"))?;
    if !metadata.is_file() {
        bail!("{shown}: is no file; name a plugin's file, such as plugins/short-prompts.wasm");
    }
    let limits = CompileLimits {
        input_bytes: metadata.len().min(BYTES_MAX),
        memory_bytes: 8 << 30,
        ..CompileLimits::default()
    };
    if metadata.len() > BYTES_MAX {
        bail!(
            "{shown}: {} bytes; no plugin has more than {BYTES_MAX}",
            metadata.len()
        );
    }
    let wasm = Bytes::from(fs::read(file).with_context(|| format!("{shown}: cannot be read"))?);
    let program = std::env::current_exe()?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let inspector = Inspector {
        program: Some(&program),
        limits: &limits,
        cache: None,
    };
    let inspected = tollgate_sandbox::inspect(inspector, (&name, wasm.clone()))
        .await
        .map_err(|error| anyhow::anyhow!("{shown}: {}", error.reason))?;
    let cases = tollgate_cases::shipped(&wasm)
        .map_err(|error| anyhow::anyhow!("{shown}: {error}"))?
        .cases;
    if arguments.schema {
        say::out(format_args!("{:#}\n", inspected.settings_schema))?;
    } else if arguments.json {
        let mut json = serde_json::to_value(&inspected)?;
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        json["cases"] = names.into();
        say::out(format_args!("{json:#}\n"))?;
    } else {
        say::out(show::facts(&inspected, cases.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}
