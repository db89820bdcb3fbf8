//! Outcomes as the XML that CI systems read.

use std::fmt::Write;

use tollgate_cases::{Outcome, Verdict};

/// A JUnit report of one plugin's cases.
#[must_use]
pub fn junit(plugin: &str, outcomes: &[Outcome]) -> String {
    let is_failure = |outcome: &&Outcome| outcome.verdict != Verdict::Passed;
    let failures = outcomes.iter().filter(is_failure).count();
    let seconds = outcomes.iter().map(seconds).fold(0.0, std::ops::Add::add);
    let (plugin, count) = (escaped(plugin), outcomes.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String does not fail.
    let _ = writeln!(
        xml,
        "<testsuites tests=\"{count}\" failures=\"{failures}\" time=\"{seconds:.6}\">\n  \
         <testsuite name=\"{plugin}\" tests=\"{count}\" failures=\"{failures}\" time=\"{seconds:.6}\">"
    );
    for outcome in outcomes {
        let (name, seconds) = (escaped(&outcome.name), self::seconds(outcome));
        let head =
            format!("<testcase classname=\"{plugin}\" name=\"{name}\" time=\"{seconds:.6}\"");
        let _ = match told(outcome) {
            None => writeln!(xml, "    {head}/>"),
            Some((message, detail)) => writeln!(
                xml,
                "    {head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(message),
                escaped(&detail)
            ),
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn told(outcome: &Outcome) -> Option<(&'static str, String)> {
    match &outcome.verdict {
        Verdict::Passed => None,
        Verdict::Differs(difference) => {
            let failure = outcome.got.failure().map(|failure| failure + "\n");
            let detail = format!("{}{difference}", failure.unwrap_or_default());
            Some(("it came otherwise than expected", detail))
        }
        Verdict::ExpectsNothing => Some(("it does not say what it expects", String::new())),
        Verdict::Unused(unused) => Some(("it gives what nobody asked for", unused.join("\n"))),
        Verdict::OverBudget(over) => Some(("it cost more than it may", over.join("\n"))),
    }
}

fn seconds(outcome: &Outcome) -> f64 {
    // A sum of nothing is a negative zero.
    let steps = outcome.got.steps.iter();
    steps.fold(0.0, |sum, step| sum + step.cost.time.as_secs_f64())
}

/// What XML cannot hold becomes `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            character if character.is_control() => out.push('?'),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tollgate_cases::Got;

    use super::*;

    #[test]
    fn a_report_names_each_case_and_escapes_what_it_shows() {
        let outcome = |name: &str, verdict| Outcome {
            name: name.to_owned(),
            verdict,
            got: Got::default(),
        };
        let outcomes = [
            outcome("fine", Verdict::Passed),
            outcome(
                "a<b\u{1b}",
                Verdict::OverBudget(vec!["on_request made 2 & more".to_owned()]),
            ),
        ];
        assert_eq!(
            junit("p", &outcomes),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" time="0.000000">
  <testsuite name="p" tests="2" failures="1" time="0.000000">
    <testcase classname="p" name="fine" time="0.000000"/>
    <testcase classname="p" name="a&lt;b?" time="0.000000">
      <failure message="it cost more than it may">on_request made 2 &amp; more</failure>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
