//! `tollgate plugin`: what authors of plugins need.

mod build;
mod inspect;
mod new;
mod show;
mod test;

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Example:
  tollgate plugin new short-prompts && cd short-prompts
  tollgate plugin test
  tollgate plugin build

docs/writing-policies.md says what a policy can do, docs/testing.md what a case file holds."
)]
pub(super) struct PluginArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start a crate that builds, with settings, a hook, tests and cases.
    New(new::NewArguments),
    /// Build a crate to a plugin's file, and check it as the gateway would.
    Build(build::BuildArguments),
    /// Say what a plugin's file is and wants.
    Inspect(inspect::InspectArguments),
    /// Run a plugin's cases in the gateway's sandbox.
    Test(test::TestArguments),
}

pub(super) async fn plugin(arguments: PluginArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::New(arguments) => new::new(&arguments),
        Command::Build(arguments) => build::build(arguments).await,
        Command::Inspect(arguments) => inspect::inspect(arguments).await,
        Command::Test(arguments) => test::test(arguments).await,
    }
}
