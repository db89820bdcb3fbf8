//! Tells a person, or a program, what the demo did.

use std::fmt::{self, Display, Write};

use serde::Serialize;

use super::{
    load::Report,
    scenes::{Change, Shown, Side},
    swaps::{Outcome, Swap},
};

/// All that the demo did.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Everything happened as it has to.
    pub(super) ok: bool,
    pub(super) policies: Vec<Shown>,
    pub(super) swaps: Vec<Swap>,
    pub(super) load: Report,
}

impl Summary {
    pub(super) fn new(policies: Vec<Shown>, swaps: Vec<Swap>, load: Report) -> Self {
        let ok = policies.iter().all(|shown| shown.missing.is_none())
            && !swaps
                .iter()
                .any(|swap| matches!(swap.outcome, Outcome::WronglyLive))
            && load.is_clean()
            && proves_something(&load, &swaps);
        Self {
            ok,
            policies,
            swaps,
            load,
        }
    }
}

/// Whether every generation answered, and every exchange told which one it met.
fn proves_something(load: &Report, swaps: &[Swap]) -> bool {
    let told = load.generations.values().sum::<u64>();
    let all_answered = swaps
        .iter()
        .all(|swap| load.generations.contains_key(&swap.generation_before));
    load.ok > 0 && told == load.sent && load.marked == load.sent && all_answered
}

/// The scenes, as text.
pub(super) fn policies(scenes: &[Shown]) -> String {
    let mut text = String::from("\nWhat each policy changes\n");
    let mut last = "";
    for shown in scenes {
        if shown.policy != last {
            last = shown.policy;
            let _ = writeln!(text, "\n  {last}");
        }
        let _ = write!(text, "    {} → {}", shown.what, shown.status);
        if let Some(code) = &shown.code {
            let _ = write!(text, " {code}");
        }
        text.push_str(if shown.reached_upstream {
            "\n"
        } else {
            ", the upstream saw nothing\n"
        });
        for change in &shown.changes {
            let _ = writeln!(text, "      {change}");
        }
        if let Some(missing) = shown.missing {
            let _ = writeln!(text, "      FAILED: {missing}");
        }
    }
    text
}

impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Request => "request",
            Side::Answer => "answer ",
        };
        let place = self.at.as_str();
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{side}  {place:<18} {before}  →  {after}"),
            (None, Some(after)) => write!(f, "{side}  {place:<18} added {after}"),
            (before, None) => write!(
                f,
                "{side}  {place:<18} removed {}",
                before.as_deref().unwrap_or_default()
            ),
        }
    }
}

/// The swaps and the load, as text.
pub(super) fn swaps(summary: &Summary) -> String {
    let mut text = String::from("\nPolicies swapped under load\n\n");
    for swap in &summary.swaps {
        let Swap {
            policy,
            what,
            generation_before: before,
            generation_after: after,
            ..
        } = swap;
        let _ = match &swap.outcome {
            Outcome::LiveAfterMs(ms) => {
                writeln!(
                    text,
                    "  {policy:<9} generation {before} → {after}, live {ms:.0} ms after the rename: {what}"
                )
            }
            Outcome::Refused(message) => {
                let reason = message.lines().next().unwrap_or_default();
                writeln!(
                    text,
                    "  {policy:<9} generation {after} stays: {what} was refused\n            {reason}"
                )
            }
            Outcome::WronglyLive => writeln!(text, "  {policy:<9} FAILED: {what} was not refused"),
        };
    }
    let load = &summary.load;
    let Report {
        sent,
        plain,
        streamed,
        events,
        failed,
        marked,
        two_generations,
        plain_latency,
        generations,
        ..
    } = load;
    let seconds = load.elapsed.as_secs_f64();
    let _ = writeln!(
        text,
        "\n  requests  {sent} in {seconds:.1} s: {plain} plain, {streamed} streamed ({events} events)"
    );
    let _ = writeln!(
        text,
        "  latency   plain p50 {}, p99 {}",
        Millis(plain_latency.p50_us),
        Millis(plain_latency.p99_us)
    );
    let shares = generations
        .iter()
        .map(|(generation, count)| format!("{generation}: {count}"));
    let _ = writeln!(
        text,
        "  answered  by generation {}",
        shares.collect::<Vec<_>>().join(", ")
    );
    let _ = writeln!(text, "  failed    {failed}");
    let _ = writeln!(text, "  answered by two generations  {two_generations}");
    if !proves_something(load, &summary.swaps) {
        let _ = writeln!(
            text,
            "    FAILED: this proves little, only {marked} of {sent} showed what they met"
        );
    }
    for (reason, count) in &load.failures {
        let _ = writeln!(text, "    {count} × {reason}");
    }
    text.push_str(match summary.ok {
        true => "\nNothing was dropped.\n",
        false => "\nNOT EVERYTHING WENT WELL; see above.\n",
    });
    text
}

/// Microseconds, shown as milliseconds.
struct Millis(u32);

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", f64::from(self.0) / 1e3)
    }
}
