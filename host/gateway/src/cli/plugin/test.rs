//! `tollgate plugin test`.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use tollgate_cases::{Budget, Symbols, Verdict};
use tollgate_config::{SandboxLimits, parse_period, parse_size};

use super::show::{self, Colours};
use crate::authoring::{
    build::{BuildOptions, Words, from_here},
    test::{self, TestOptions, junit},
};
use crate::cli::say;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate plugin test short-prompts --budget time=1ms,host_calls=20 --junit report.xml

Builds the crate and runs the cases in its folder `cases`, each a YAML file: the
request, the settings, and what must come of it. Given a plugin's file, the cases that it
carries. Capabilities answer from the case alone. Exits with 1 if a case fails.

A case with a request and no `expect` gets all that came of it from --update.")]
pub(super) struct TestArguments {
    /// The crate's folder, or a plugin's file.
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    subject: PathBuf,
    /// Take the cases from this folder.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Write what was got into cases that fail, for review.
    #[arg(long)]
    update: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What a hook may cost, where the case does not say: `time=1ms,memory=1MiB,host_calls=20`,
    /// any of them.
    #[arg(long, value_name = "BUDGET", value_parser = Budget::read)]
    budget: Option<Budget>,
    /// The memory that an instance may have, as `limits.memory` of a policy.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,
    /// The time that a hook may take, as `limits.hook_time` of a policy.
    #[arg(long, value_name = "TIME", value_parser = time)]
    hook_time: Option<Duration>,
}

fn time(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(60);
    let time = parse_period(text).filter(|time| bounds.contains(time));
    time.ok_or_else(|| format!("`{text}` is no time from 1ms to 60s, such as `10ms`"))
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).filter(|bytes| (64 << 10..=4 << 30).contains(bytes));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("`{text}` is no size from `64KiB` to `4GiB`, such as `16MiB`"))
}

pub(super) async fn test(arguments: TestArguments) -> anyhow::Result<ExitCode> {
    if arguments.update && arguments.subject.is_file() && arguments.cases.is_none() {
        bail!(
            "cases within a plugin's file are not written: name their folder with --cases, or the crate's"
        );
    }
    let program = std::env::current_exe()?;
    let options = BuildOptions {
        words: Words::Shown,
        checker: Some(program.clone()),
        symbols: Symbols::Lines,
        compile: test::compile_limits(),
        keep_compiled: true,
        ..BuildOptions::new(&arguments.subject)
    };
    let subject = test::subject(&arguments.subject, arguments.cases.as_deref(), options).await?;
    let mut limits = SandboxLimits::default();
    if let Some(bytes) = arguments.memory {
        limits.memory_bytes = bytes;
    }
    if let Some(time) = arguments.hook_time {
        limits.hook_time = time;
        limits.exchange_time = limits.exchange_time.max(limits.hook_time * 10);
    }
    let options = TestOptions {
        compiler: Some(program),
        limits,
        budget: arguments.budget.unwrap_or_default(),
    };
    let outcomes = test::run(&subject, &options).await?;
    let colours = Colours::of_stdout();
    for (case, outcome) in subject.cases.iter().zip(&outcomes) {
        say::out(show::outcome(case, outcome, colours))?;
    }
    if let Some(file) = &arguments.junit {
        let xml = junit(&subject.name, &outcomes);
        fs::write(file, xml).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.verdict != Verdict::Passed);
    let failed = failed.count();
    let passed = outcomes.len() - failed;
    let name = &subject.name;
    say::out(format_args!("{name}: {passed} passed, {failed} failed\n"))?;
    if arguments.update {
        let updated = test::update(&subject, &outcomes)?;
        for file in &updated.written {
            say::out(format_args!("wrote {}\n", from_here(file).display()))?;
        }
        for why in &updated.left {
            say::err(format_args!("error: {why}\n"));
        }
        if !updated.written.is_empty() {
            say::out("Next: look at what changed, and run it again without --update\n")?;
        }
        return Ok(exit_code(updated.written.len() == failed));
    }
    Ok(exit_code(failed == 0))
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
