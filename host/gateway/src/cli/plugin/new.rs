//! `tollgate plugin new`.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    authoring::new::{self, Sdk},
    cli::say,
    demo::plugins_build::workspace_root,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate plugin new short-prompts
  tollgate plugin new short-prompts --sdk https://git.example.com/tollgate.git

Makes the folder short-prompts with a crate that builds: typed settings, one hook, a
native test, cases for `tollgate plugin test` and a test that has `cargo test` run them,
a README. Nothing that is there already is touched.")]
pub(super) struct NewArguments {
    /// The plugin's name: small letters, digits and `-`.
    name: String,
    /// Make it in this folder.
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    parent: PathBuf,
    /// Where the SDK comes from: the folder `sdk` of a clone of Tollgate, a git repository that
    /// has it (https://…, ssh://… or git@…), or a version on crates.io. By default that of the
    /// clone this program was built from.
    #[arg(long, value_name = "PATH|URL|VERSION")]
    sdk: Option<String>,
}

pub(super) fn new(arguments: &NewArguments) -> anyhow::Result<ExitCode> {
    let sdk = match &arguments.sdk {
        Some(text) => Sdk::read(text)?,
        None => Sdk::found(workspace_root().ok().as_deref()),
    };
    let folder = new::new(&arguments.name, &arguments.parent, &sdk)?;
    let origin = match sdk {
        Sdk::Path(path) => format!(
            "The SDK is taken from {}: it is on no registry yet, so a clone is needed to build this.",
            path.display()
        ),
        Sdk::Git(address) => format!(
            "The SDK is taken from {address}: it is on no registry yet, so cargo fetches the repository."
        ),
        Sdk::Version(version) => format!(
            "The SDK is version {version} of crates.io. If cargo does not find it, it is not published yet: \
             name the folder `sdk` of a clone, or a git repository, with --sdk."
        ),
    };
    let shown = folder.display();
    say::out(format_args!(
        "made {shown}\n{origin}\nNext: tollgate plugin test {shown}, then change {shown}/src/lib.rs\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}
