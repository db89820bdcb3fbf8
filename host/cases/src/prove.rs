//! Proves the cases that a plugin ships, before it goes live.

use std::{fmt, sync::Arc};

use tollgate_sandbox::{PolicySpec, Sandbox};

use crate::{
    bench::{Bench, Verdict},
    case::Budget,
    compare::{Difference, Line},
    section::{SectionError, shipped},
};

/// Each needs the plugin compiled anew.
const SETTINGS_MAX: usize = 8;
/// Lines of a difference in a message.
const LINES_MAX: usize = 12;

/// Why a plugin's own cases keep it out; `Display` is a whole message.
#[derive(Debug)]
pub enum Disproof {
    /// The section with the cases is not what it should be.
    Section(SectionError),
    /// The cases have more settings than are tried.
    Settings(usize),
    /// A case does not hold.
    Case {
        /// Its name.
        name: String,
        /// How it differs, or what else is wrong.
        why: String,
    },
}

impl fmt::Display for Disproof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(error) => write!(f, "the cases in it cannot be used: {error}"),
            Self::Settings(count) => write!(
                f,
                "the cases in it have {count} different settings; at most {SETTINGS_MAX} are tried before a swap"
            ),
            Self::Case { name, why } => write!(f, "its case `{name}` does not hold: {why}"),
        }
    }
}

/// Runs every case in the plugin's file, with the policy's limits, on nothing but what the
/// cases give.
///
/// # Errors
/// The first case that does not hold.
pub async fn prove(sandbox: &Arc<Sandbox>, spec: &PolicySpec) -> Result<(), Disproof> {
    // One that is no WebAssembly is refused in better words where it is loaded.
    let cases = match shipped(&spec.wasm) {
        Ok(shipped) => shipped.cases,
        Err(SectionError::Unreadable) => return Ok(()),
        Err(error) => return Err(Disproof::Section(error)),
    };
    let mut settings: Vec<_> = cases.iter().map(|case| &case.settings).collect();
    settings.sort_by_key(|settings| settings.to_string());
    settings.dedup();
    if settings.len() > SETTINGS_MAX {
        return Err(Disproof::Settings(settings.len()));
    }
    let mut bench = Bench::new(
        Arc::clone(sandbox),
        (&spec.config.plugin, spec.wasm.clone()),
        (spec.config.sandbox.clone(), spec.compile.clone()),
    );
    for case in &cases {
        // What it costs depends on the machine, so it does not keep a plugin out.
        let outcome = bench.run(case, Budget::default()).await;
        let why = match outcome.verdict {
            Verdict::Passed | Verdict::OverBudget(_) => continue,
            Verdict::Differs(difference) => told(&difference),
            Verdict::ExpectsNothing => "it does not say what it expects".to_owned(),
        };
        let name = outcome.name;
        return Err(Disproof::Case { name, why });
    }
    Ok(())
}

/// The lines that differ.
fn told(difference: &Difference) -> String {
    let differ = difference.lines().iter().filter_map(|line| match line {
        Line::Expected(text) => Some(format!("expected `{}`", cut(text.trim()))),
        Line::Got(text) => Some(format!("got `{}`", cut(text.trim()))),
        Line::Same(_) | Line::Gap => None,
    });
    let mut lines: Vec<String> = differ.collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} lines more"));
    }
    lines.join(", ")
}

fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let mut out: String = characters.by_ref().take(160).collect();
    if characters.next().is_some() {
        out.push('…');
    }
    out
}
