//! `tollgate check`: all that `run` does before it serves, and what else stands out.

use std::{io, path::PathBuf, process::ExitCode};

use serde_json::{Value, json};

use super::say;
use crate::{Checked, Options, Refused, telemetry};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate check --config tollgate.yaml && echo fine

Accepts exactly what `tollgate run` accepts: every plugin is compiled, configured
and tried with the exchanges it ships. All that is wrong is named at once, with file,
line and reason. Policies that stand together as nobody can have meant it are warned
of. Exits with 0 where a gateway would start, with --strict only without a warning,
and with 1 otherwise. See docs/configuration.md.")]
pub(super) struct CheckArguments {
    /// The configuration: a file, or a folder of *.yaml files.
    #[arg(short, long, value_name = "PATH")]
    config: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
    /// Fail on warnings, too.
    #[arg(long)]
    strict: bool,
}

pub(super) async fn check(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let _log = telemetry::init(telemetry::LogFormat::Human, "error")?;
    let options = Options::new(arguments.config.clone());
    let outcome = crate::check(&options).await;
    let is_fine = match &outcome {
        Ok(checked) => !arguments.strict || checked.warnings.is_empty(),
        Err(_) => false,
    };
    if arguments.json {
        say::out(format_args!("{}\n", as_json(outcome, is_fine)))?;
    } else {
        tell(outcome, &arguments)?;
    }
    Ok(match is_fine {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn as_json(outcome: Result<Checked, Refused>, is_fine: bool) -> Value {
    match outcome {
        Ok(checked) => json!({ "ok": is_fine, "checked": checked }),
        Err(refused) => {
            let problems = refused.clone().into_parts();
            json!({ "ok": false, "refused": refused, "problems": problems })
        }
    }
}

/// What the warnings come to, and what is next.
fn closing(warnings: usize, arguments: &CheckArguments) -> String {
    let next = format!(
        "Next: tollgate run --config {}\n",
        arguments.config.display()
    );
    let (count, them) = match warnings {
        0 => return next,
        1 => ("There is a warning".to_owned(), "it"),
        many => (format!("There are {many} warnings"), "them"),
    };
    match arguments.strict {
        false => format!("{count}.\n{next}"),
        true => format!(
            "{count}, and with --strict this check fails for {them}: mend what stands above, or check without --strict.\n"
        ),
    }
}

fn tell(outcome: Result<Checked, Refused>, arguments: &CheckArguments) -> io::Result<()> {
    match outcome {
        Ok(checked) => {
            for warning in &checked.warnings {
                say::err(format_args!("warning: {warning}\n\n"));
            }
            say::out(format_args!("{checked}\n"))?;
            say::out(closing(checked.warnings.len(), arguments))?;
        }
        Err(refused) => {
            let count = refused.clone().into_parts().len();
            say::err(format_args!("{refused}\n"));
            if count > 1 {
                say::err(format_args!("\n{count} problems\n"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_say_what_the_warnings_come_to() {
        let said = |warnings, strict| {
            let arguments = CheckArguments {
                config: "t.yaml".into(),
                json: false,
                strict,
            };
            closing(warnings, &arguments)
        };
        let next = "Next: tollgate run --config t.yaml\n";
        assert_eq!(said(0, false), next);
        assert_eq!(said(0, true), next);
        assert_eq!(said(1, false), format!("There is a warning.\n{next}"));
        assert_eq!(said(2, false), format!("There are 2 warnings.\n{next}"));
        assert_eq!(
            said(2, true),
            "There are 2 warnings, and with --strict this check fails for them: mend what stands above, or check without --strict.\n"
        );
    }
}
