//! The command line: each command a file, each with an example in its `--help`.
//!
//! Knows how to start things and what to tell a person; what they do is elsewhere.

mod check;
mod dev;
#[cfg(test)]
mod example;
#[cfg(test)]
mod pages;
mod paint;
#[cfg(test)]
mod picture;
mod plugin;
mod run;
mod say;
mod schema;
mod standin;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the compiling child process is started as.
const COMPILE_WORKER: &str = "compile-worker";

/// The gateway for model traffic whose policies are code.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    about,
    arg_required_else_help = true,
    after_help = "New here? Run `tollgate demo`: it builds the standard policies, starts everything on this \
                  machine, and shows a policy being swapped under load."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, and follow the configuration and the plugins as they change.
    Run(run::RunArguments),
    /// Load, compile and prove everything as `run` would, without serving.
    Check(check::CheckArguments),
    /// Print the JSON schema of the configuration, the settings of plugins included.
    Schema(schema::SchemaArguments),
    /// Show the next exchanges of a running gateway, policy by policy.
    Trace(trace::TraceArguments),
    /// Show it all on this machine: policies, streams, and a swap under load.
    Demo(crate::demo::DemoArgs),
    /// Start, build, look at and test a plugin of one's own.
    Plugin(plugin::PluginArguments),
    /// Build a plugin's crate whenever it is saved, swap it in, and show what it does.
    Dev(dev::DevArguments),
    /// Answer as a model server would, to try a configuration without one.
    Standin(standin::StandinArguments),
    /// Compiles one plugin, for the gateway itself.
    #[command(name = COMPILE_WORKER, hide = true)]
    CompileWorker,
}

/// Runs what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    // The child limits itself, so it starts nothing that it does not need.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == COMPILE_WORKER)
    {
        return tollgate_sandbox::compile_worker();
    }
    match Arguments::parse().command {
        Command::Run(arguments) => within_runtime(run::run(arguments)),
        Command::Check(arguments) => within_runtime(check::check(arguments)),
        Command::Schema(arguments) => within_runtime(schema::schema(arguments)),
        Command::Trace(arguments) => within_runtime(trace::trace(arguments)),
        Command::Demo(arguments) => within_runtime(crate::demo::run(arguments)),
        Command::Plugin(arguments) => within_runtime(plugin::plugin(arguments)),
        Command::Dev(arguments) => within_runtime(dev::dev(arguments)),
        Command::Standin(arguments) => within_runtime(standin::standin(arguments)),
        Command::CompileWorker => tollgate_sandbox::compile_worker(),
    }
}

fn within_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(crate::serve::cohort::end)
        .build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(command);
        // What blocks in the background must not keep a finished command.
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        outcome
    });
    outcome.unwrap_or_else(|error| {
        say::err(format_args!("error: {error:#}\n"));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    fn show_examples(of: &str, command: &mut clap::Command) {
        for command in command
            .get_subcommands_mut()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        {
            let name = format!("{of} {}", command.get_name());
            let help = command.render_long_help().to_string();
            assert!(help.contains(&name) && help.contains("Example"), "{help}");
            show_examples(&name, command);
        }
    }

    #[test]
    fn every_command_shows_an_example_and_the_child_shows_none() {
        let mut command = Arguments::command();
        command.build();
        show_examples("tollgate", &mut command);
        assert!(
            !Arguments::command()
                .render_long_help()
                .to_string()
                .contains(COMPILE_WORKER)
        );
    }
}
