//! How plugins and outcomes of cases are shown to a person.

use std::{fmt::Write, io::IsTerminal};

use tollgate_cases::{Case, Difference, Line, Outcome, Verdict};
use tollgate_sandbox::Inspected;

use crate::authoring::setting_lines;

/// What a plugin is and wants.
pub(super) fn facts(plugin: &Inspected, cases: usize) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let words = |names: &[&str]| {
        list(
            &names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let free = plugin
        .capabilities
        .iter()
        .filter(|name| !plugin.grants.contains(name));
    let free: Vec<String> = free.cloned().collect();
    let kib = plugin.bytes.div_ceil(1 << 10);
    let mut out = format!(
        "{} {}: {kib} KiB, a {}\n",
        plugin.name, plugin.version, plugin.form
    );
    let mut row = |name: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {name:<13} {value}");
    };
    row("contract", &plugin.contract);
    row("hooks", &words(&plugin.hooks));
    row("needs", &words(&plugin.needs));
    row("capabilities", &list(&free));
    row("to be granted", &list(&plugin.grants));
    if cases > 0 {
        row("cases", &cases.to_string());
    }
    row("sha256", &plugin.sha256);
    let settings = setting_lines(&plugin.settings_schema);
    for (nth, line) in settings.iter().enumerate() {
        row(if nth == 0 { "settings" } else { "" }, line);
    }
    if settings.is_empty() {
        row("settings", "none");
    }
    out
}

/// Colours of a terminal, where there is one that wants them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colours(bool);

impl Colours {
    /// Of standard output, unless `NO_COLOR` or `CLICOLOR_FORCE` say otherwise.
    pub(super) fn of_stdout() -> Self {
        let is_set =
            |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        Self(is_set("CLICOLOR_FORCE") || (std::io::stdout().is_terminal() && !is_set("NO_COLOR")))
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// A case with what it cost, hook by hook, and how it differs.
pub(super) fn outcome(case: &Case, outcome: &Outcome, colours: Colours) -> String {
    let is_good = outcome.verdict == Verdict::Passed;
    let word = if is_good {
        colours.good("ok    ")
    } else {
        colours.bad("FAILED")
    };
    let mut out = format!("{word} {}\n", outcome.name);
    for step in &outcome.got.steps {
        let cost = step.cost;
        let micros = cost.time.as_nanos() as f64 / 1_000.0;
        let calls = if cost.host_calls == 1 {
            "1 host call".to_owned()
        } else {
            format!("{} host calls", cost.host_calls)
        };
        let kib = cost.memory_bytes.div_ceil(1 << 10);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "       {:<12} {micros:>9.1} µs {kib:>7} KiB   {calls}",
            step.hook
        );
    }
    if !is_good {
        let _ = writeln!(out, "  {}", case.file.display());
        if let Some(about) = &case.about {
            let _ = writeln!(out, "  {}", printable(about));
        }
    }
    if let Some(failure) = outcome.got.failure().filter(|_| !is_good) {
        let _ = writeln!(out, "  {}", colours.bad(&printable(&failure)));
    }
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Differs(difference) => differs(difference, colours, &mut out),
        Verdict::ExpectsNothing => {
            out.push_str("  it does not say what it expects: `--update` writes what comes of it\n");
        }
        Verdict::Unused(unused) => {
            for given in unused {
                let line = format!("nobody asked for {given}");
                let _ = writeln!(out, "  {}", colours.bad(&line));
            }
        }
        Verdict::OverBudget(over) => {
            for line in over {
                let _ = writeln!(out, "  {}", colours.bad(line));
            }
        }
    }
    out
}

fn differs(difference: &Difference, colours: Colours, out: &mut String) {
    let (minus, plus) = (colours.bad("- expected"), colours.good("+ got"));
    let _ = writeln!(out, "  {minus}, {plus}:");
    for line in difference.lines() {
        let shown = match line {
            Line::Same(text) => format!("  {text}"),
            Line::Expected(text) => colours.bad(&format!("- {text}")),
            Line::Got(text) => colours.good(&format!("+ {text}")),
            Line::Gap => "  …".to_owned(),
        };
        let _ = writeln!(out, "    {shown}");
    }
}

fn printable(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(colours: Colours) -> String {
        let difference = Difference::from(vec![
            Line::Same("on_request:".to_owned()),
            Line::Expected("  verdict: next".to_owned()),
            Line::Got("  verdict: { reply: { status: 418 } }".to_owned()),
            Line::Gap,
        ]);
        let mut out = String::new();
        differs(&difference, colours, &mut out);
        out
    }

    #[test]
    fn a_difference_is_red_where_it_was_expected_and_green_where_it_was_got() {
        let plain = "  - expected, + got:\n      on_request:\n    -   verdict: next\n    \
                     +   verdict: { reply: { status: 418 } }\n      …\n";
        assert_eq!(shown(Colours(false)), plain);
        let coloured = "  \u{1b}[31m- expected\u{1b}[0m, \u{1b}[32m+ got\u{1b}[0m:\n      on_request:\n    \
                        \u{1b}[31m-   verdict: next\u{1b}[0m\n    \
                        \u{1b}[32m+   verdict: { reply: { status: 418 } }\u{1b}[0m\n      …\n";
        assert_eq!(shown(Colours(true)), coloured);
    }
}
