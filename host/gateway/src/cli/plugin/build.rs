//! `tollgate plugin build`.

use std::{path::PathBuf, process::ExitCode};

use tollgate_cases::Symbols;

use super::show;
use crate::authoring::build::{self, BuildOptions, Words, from_here};
use crate::cli::say;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate plugin build short-prompts --out /etc/tollgate/plugins

Builds the crate for WebAssembly (and adds that target to the toolchain if it is
missing), checks the result as the gateway would, and writes NAME.wasm. The file is
renamed into place, so a gateway that watches the folder takes it at once.")]
pub(super) struct BuildArguments {
    /// The crate's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Write it here: a folder, or a file's name. By default into the crate's folder.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Put the cases into the file; the gateway runs them before a swap.
    #[arg(long)]
    with_cases: bool,
    /// Write a component, for other hosts' tools. The gateway runs the module faster.
    #[arg(long)]
    component: bool,
    /// Build in a moment, larger and slower: for trying things out.
    #[arg(long)]
    quick: bool,
    /// What messages about its traps can tell of its source: the names of functions, or files
    /// and lines too, which makes it many times as large.
    #[arg(long, value_name = "WHICH", default_value = "names")]
    symbols: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kept {
    None,
    Names,
    Lines,
}

impl From<Kept> for Symbols {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::None => Self::None,
            Kept::Names => Self::Names,
            Kept::Lines => Self::Lines,
        }
    }
}

pub(super) async fn build(arguments: BuildArguments) -> anyhow::Result<ExitCode> {
    let built = build::build(BuildOptions {
        quick: arguments.quick,
        words: Words::Shown,
        checker: Some(std::env::current_exe()?),
        with_cases: arguments.with_cases,
        component: arguments.component,
        symbols: arguments.symbols.into(),
        ..BuildOptions::new(arguments.folder)
    })
    .await?;
    let path = built.write(arguments.out.as_deref())?;
    let shown = from_here(&path);
    say::out(format_args!(
        "wrote {}\n{}Next: name it in a policy of the gateway's configuration, as `plugin: {}`\n",
        shown.display(),
        show::facts(&built.inspected, built.cases),
        built.name
    ))?;
    Ok(ExitCode::SUCCESS)
}
