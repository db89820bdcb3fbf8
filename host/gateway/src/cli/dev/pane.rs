//! An exchange in a line and in full, and the words of a compiler.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
};

use crate::{
    cli::{
        paint,
        trace::view::{View, clock, duration, plain},
    },
    telemetry::is_hidden,
    trace::{Step, Trace},
};

/// All of an exchange, as `tollgate trace` prints it.
pub(super) fn trace(trace: &Trace) -> Text<'static> {
    paint::text(View { colored: true }.trace(trace).trim_end())
}

/// An exchange in one line: what was asked, what came of it, what each policy did.
pub(super) fn row(trace: &Trace) -> Line<'static> {
    let is_good = (200..400).contains(&trace.status) && trace.ending == "complete";
    let color = if is_good { Color::Green } else { Color::Red };
    let path = trace.path.split('?').next().unwrap_or_default();
    let stream = if trace.stream { " stream" } else { "" };
    let mut spans = vec![
        Span::styled(
            format!("{} ", &clock(trace.time_ms)[..8]),
            Style::new().add_modifier(Modifier::DIM),
        ),
        Span::raw(format!("{} {} ", plain(&trace.method), plain(path))),
        Span::styled(
            format!("{} {}{stream} ", trace.status, plain(&trace.ending)),
            Style::new().fg(color),
        ),
        Span::raw(format!("{} ", duration(trace.total_us))),
    ];
    for (policy, did) in policies(trace) {
        spans.push(Span::styled(
            format!(" {}", plain(policy)),
            Style::new().fg(Color::Cyan),
        ));
        spans.push(Span::raw(format!(" {}", plain(&did))));
    }
    Line::from(spans)
}

/// Each policy with what all its hooks came to.
fn policies(trace: &Trace) -> Vec<(&str, String)> {
    let mut names: Vec<&str> = Vec::new();
    for step in &trace.steps {
        if !names.contains(&step.policy.as_str()) {
            names.push(&step.policy);
        }
    }
    let of = |name: &str| {
        let steps: Vec<&Step> = trace
            .steps
            .iter()
            .filter(|step| step.policy == name)
            .collect();
        did(&steps)
    };
    names.iter().map(|name| (*name, of(name))).collect()
}

fn did(steps: &[&Step]) -> String {
    let mut parts = Vec::new();
    let verdicts = steps.iter().filter_map(|step| step.decision.as_ref());
    for verdict in verdicts.filter(|decision| decision.verdict != "next") {
        parts.push(match &verdict.code {
            Some(code) => format!("{} {code}", verdict.verdict),
            None => verdict.verdict.clone(),
        });
    }
    let failures = steps.iter().filter_map(|step| step.failure.as_ref());
    parts.extend(failures.map(|failure| format!("failed ({})", failure.kind)));
    match steps.iter().map(|step| step.edits.len()).sum::<usize>() {
        0 => {}
        1 => parts.push("1 edit".to_owned()),
        more => parts.push(format!("{more} edits")),
    }
    let events = steps.iter().filter_map(|step| step.events.as_ref());
    let (shown, changed) = events.fold((0, 0), |(shown, changed), events| {
        (shown + events.shown, changed + events.changed)
    });
    if shown > 0 {
        parts.push(format!("{changed} of {shown} events"));
    }
    parts.push(duration(steps.iter().map(|step| step.us).sum()));
    parts.join(", ")
}

/// What a compiler or the gateway says, with its marks in colours.
pub(super) fn words(why: &str) -> Text<'static> {
    let line = |line: &str| {
        let mut shown = line.replace('\t', "    ");
        shown.retain(|character| !is_hidden(character));
        let start = shown.trim_start();
        let style = if start.starts_with("error") {
            Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
        } else if start.starts_with("warning") {
            Style::new().fg(Color::Yellow)
        } else if start.starts_with("-->") || start.starts_with("= ") {
            Style::new().fg(Color::Cyan)
        } else {
            Style::new()
        };
        Line::styled(shown, style)
    };
    why.trim_end().lines().map(line).collect()
}
