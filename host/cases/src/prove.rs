//! Proves the cases that a plugin ships, before it goes live.

use std::sync::Arc;

use bytes::Bytes;
use tollgate_config::printable;
use tollgate_sandbox::{PolicySpec, Sandbox};

use crate::{
    bench::{Bench, Verdict},
    budget::Budget,
    case::Case,
    compare::{Difference, Line},
    section::{SectionError, shipped},
};

const EXPECTS_NOTHING: &str = "it does not say what it expects";

/// Each needs the plugin compiled anew.
const SETTINGS_MAX: usize = 8;
/// Lines of a difference in a message.
const LINES_MAX: usize = 12;

/// Why a plugin's own cases keep it out; `Display` is a whole message.
#[derive(Debug, thiserror::Error)]
pub enum Disproof {
    /// The section with the cases is not what it should be.
    #[error("the cases in it cannot be used: {0}")]
    Section(#[from] SectionError),
    /// The cases have more settings than are tried.
    #[error(
        "the cases in it have {0} different settings; at most {SETTINGS_MAX} are tried before a swap"
    )]
    Settings(usize),
    /// Reading them came to no end.
    #[error("the cases in it could not be read: {0}")]
    Unread(#[from] tokio::task::JoinError),
    /// A case does not hold.
    #[error("its case `{name}` does not hold: {why}")]
    Case {
        /// Its name.
        name: String,
        /// How it differs, or what else is wrong.
        why: String,
    },
}

/// The cases in a plugin's file, if they are such as every gateway would try. Reading a
/// megabyte of them takes its time.
///
/// # Errors
/// What keeps the file out, whatever the plugin does.
pub fn provable(wasm: &[u8]) -> Result<Vec<Case>, Disproof> {
    let cases = shipped(wasm)?.cases;
    let mut settings: Vec<_> = cases.iter().map(|case| case.settings.to_string()).collect();
    settings.sort_unstable();
    settings.dedup();
    if settings.len() > SETTINGS_MAX {
        return Err(Disproof::Settings(settings.len()));
    }
    match cases.iter().find(|case| case.expect.is_none()) {
        None => Ok(cases),
        Some(case) => Err(Disproof::Case {
            name: case.name.clone(),
            why: EXPECTS_NOTHING.to_owned(),
        }),
    }
}

/// Runs every case in the plugin's file, with the policy's limits, on nothing but what the
/// cases give.
///
/// # Errors
/// The first case that does not hold.
pub async fn prove(sandbox: &Arc<Sandbox>, spec: &PolicySpec) -> Result<(), Disproof> {
    let cases = match read(spec.wasm.clone()).await {
        Ok(cases) => cases,
        // One that is no WebAssembly is refused in better words where it is loaded.
        Err(Disproof::Section(SectionError::Unreadable)) => return Ok(()),
        Err(disproof) => return Err(disproof),
    };
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
            Verdict::Differs(difference) => match outcome.got.failure() {
                Some(failure) => format!("{}; {failure}", told(&difference)),
                None => told(&difference),
            },
            Verdict::Unused(unused) => {
                format!("nobody asked for {}", printable(&unused.join(", ")))
            }
            Verdict::ExpectsNothing => EXPECTS_NOTHING.to_owned(),
        };
        let name = outcome.name;
        return Err(Disproof::Case { name, why });
    }
    Ok(())
}

/// As [`provable`], beside the threads that serve.
async fn read(wasm: Bytes) -> Result<Vec<Case>, Disproof> {
    tokio::task::spawn_blocking(move || provable(&wasm)).await?
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

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        task::{Context, Waker},
    };

    use super::*;
    use crate::section::with_cases;

    const EMPTY: [u8; 8] = *b"\0asm\x01\0\0\0";

    /// Why a file with these cases is kept out.
    fn refused(cases: &[(&str, String)]) -> Option<String> {
        let read = |(name, text): &(&str, String)| {
            Case::read(Path::new(&format!("cases/{name}.yaml")), text.clone()).expect("is one")
        };
        let cases: Vec<Case> = cases.iter().map(read).collect();
        let wasm = with_cases(&EMPTY, &cases).expect("takes them");
        provable(&wasm).err().map(|disproof| disproof.to_string())
    }

    /// Reading takes its time, and a test of one thread sees whether that thread takes it.
    #[tokio::test]
    async fn cases_are_read_beside_the_threads_that_serve() {
        let case = Case::read(
            Path::new("cases/a.yaml"),
            "expect: { on_request: { verdict: next } }\n".to_owned(),
        );
        let wasm = with_cases(&EMPTY, &[case.expect("is one")]).expect("takes it");
        let mut reading = std::pin::pin!(read(wasm.into()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(reading.as_mut().poll(&mut context).is_pending());
        assert_eq!(reading.await.expect("are read").len(), 1);
    }

    #[test]
    fn what_every_gateway_refuses_is_found_without_one() {
        let expects = || "expect: { on_request: { verdict: next } }\n".to_owned();
        let set = |nth: usize| format!("settings: {{ a: {} }}\n{}", nth % 8, expects());
        let eight: Vec<_> = (0..16).map(|nth| ("a", set(nth))).collect();
        assert_eq!(refused(&eight), None);
        let nine = [eight, vec![("b", expects())]].concat();
        assert_eq!(
            refused(&nine).as_deref(),
            Some("the cases in it have 9 different settings; at most 8 are tried before a swap")
        );
        assert_eq!(
            refused(&[("good", expects()), ("new", "about: x\n".to_owned())]).as_deref(),
            Some("its case `new` does not hold: it does not say what it expects")
        );
        let error = refused(&[("a,b", expects())]).expect("no plain name");
        assert!(
            error.starts_with("the cases in it cannot be used: a case's name has")
                && error.ends_with("`a,b` is none"),
            "{error}"
        );
    }
}
