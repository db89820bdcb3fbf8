//! `tollgate schema`: the JSON schema of the configuration, plugins' settings included.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::Value;
use tollgate_config::{CompileLimits, json_schema_with};
use tollgate_sandbox::{Inspector, inspect};

use super::say;

/// Plugins of a folder that are looked at.
const PLUGINS_MAX: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate schema --config tollgate.yaml --output tollgate.schema.json

With --config or --plugins, the schema says what may stand in the `settings` of every
plugin of that folder. Editors that know the YAML language server complete and check a
configuration whose first line is
  # yaml-language-server: $schema=tollgate.schema.json
What the schema cannot say, such as that a name exists, is for `tollgate check`.")]
pub(super) struct SchemaArguments {
    /// A configuration that holds: its plugins are taken.
    #[arg(short, long, value_name = "PATH", conflicts_with = "plugins")]
    config: Option<PathBuf>,
    /// A folder of plugins.
    #[arg(long, value_name = "FOLDER")]
    plugins: Option<PathBuf>,
    /// Write it there instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn schema(arguments: SchemaArguments) -> anyhow::Result<ExitCode> {
    let (folder, limits) = match (arguments.config, arguments.plugins) {
        (Some(config), _) => {
            let config = tollgate_config::load(&config).context(
                "the configuration does not hold; name the folder of its plugins with --plugins",
            )?;
            (Some(config.plugins), config.compile)
        }
        (None, plugins) => (plugins, CompileLimits::default()),
    };
    let settings = match folder {
        Some(folder) => settings(&folder, &limits).await?,
        None => BTreeMap::new(),
    };
    let text = serde_json::to_string_pretty(&json_schema_with(&settings))?;
    match arguments.output {
        None => say::out(text + "\n")?,
        Some(file) => {
            let written = fs::write(&file, text + "\n");
            written.with_context(|| format!("cannot write {}", file.display()))?;
            let (file, count) = (file.display(), settings.len());
            say::err(format_args!(
                "{file}: the configuration and the settings of {count} plugins\n"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The schema of each plugin's settings, by its file's name. What is no plugin is told of
/// and left out.
async fn settings(
    folder: &Path,
    limits: &CompileLimits,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let entries = fs::read_dir(folder);
    let entries =
        entries.with_context(|| format!("cannot read the plugins in {}", folder.display()))?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let inspector = Inspector {
        program: Some(&program),
        limits,
        cache: None,
    };
    let mut settings = BTreeMap::new();
    for entry in entries.take(PLUGINS_MAX) {
        let file = entry?.path();
        let is_wasm = file
            .extension()
            .is_some_and(|extension| extension == "wasm");
        let Some(name) = file
            .file_stem()
            .and_then(|name| name.to_str())
            .filter(|_| is_wasm)
        else {
            continue;
        };
        let wasm = match fs::read(&file) {
            Ok(wasm) => wasm,
            Err(error) => {
                say::err(format_args!("left out: {}: {error}\n", file.display()));
                continue;
            }
        };
        match inspect(inspector, (name, wasm.into())).await {
            Ok(plugin) => drop(settings.insert(name.to_owned(), plugin.settings_schema)),
            Err(refused) => {
                let (file, reason) = (file.display(), refused.reason);
                say::err(format_args!("left out: {file}: {reason}\n"));
            }
        }
    }
    Ok(settings)
}
