//! A trace for a person: a head, then a block for each hook, edits as a diff.

use std::fmt::Write;

use serde_json::Value;

use crate::{
    telemetry::is_hidden,
    trace::{Attempt, Call, Decision, Edit, Event, Events, Read, Step, Trace},
};

/// The longest value in one line, in characters.
const VALUE_MAX: usize = 160;
/// Lines of one side of a diff.
const LINES_MAX: usize = 12;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) colored: bool,
}

#[derive(Debug, Clone, Copy)]
enum Ink {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl View {
    /// All of one exchange, with an empty line after it.
    pub(crate) fn trace(self, trace: &Trace) -> String {
        let mut out = self.head(trace);
        let mut attempts = trace.attempts.iter().peekable();
        for step in &trace.steps {
            while let Some(attempt) = attempts.next_if(|attempt| attempt.at_us <= step.at_us) {
                self.attempt(&mut out, attempt);
            }
            self.step(&mut out, step);
        }
        attempts.for_each(|attempt| self.attempt(&mut out, attempt));
        self.tail(&mut out, trace);
        out.push('\n');
        out
    }

    /// What is not shown.
    pub(crate) fn lost(self, slow: u64, skipped: u64) -> String {
        let mut out = String::new();
        for (count, why) in [(slow, "read too slowly"), (skipped, "too many at once")] {
            if count > 0 {
                let line = format!("{count} exchanges are not shown: {why}");
                let _ = writeln!(out, "{}", self.ink(Ink::Yellow, &line));
            }
        }
        out
    }

    fn head(self, trace: &Trace) -> String {
        let status = match trace.status {
            0 => "nothing sent".to_owned(),
            status => status.to_string(),
        };
        let ink = match trace.status {
            200..=399 if trace.ending == "complete" => Ink::Green,
            _ => Ink::Red,
        };
        let mut out = format!(
            "{} {} {}  {}",
            self.ink(Ink::Dim, &clock(trace.time_ms)),
            self.ink(
                Ink::Bold,
                &plain(&format!("{} {}", trace.method, trace.path))
            ),
            self.ink(ink, &plain(&format!("{status} {}", trace.ending))),
            duration(trace.total_us),
        );
        out.push('\n');
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: Option<&str>| {
            facts.extend(value.map(|value| format!("{name} {}", short(value))));
        };
        fact("route", trace.route.as_deref());
        fact("model", trace.model.as_deref());
        fact("as", trace.target_model.as_deref());
        fact("at", trace.upstream.as_deref());
        fact("caller", trace.caller.as_deref());
        fact("error", trace.error.as_deref());
        fact("cache", trace.cache.as_deref());
        fact("stream", trace.stream.then_some("yes"));
        fact("generation", Some(&trace.generation.to_string()));
        fact("id", Some(&trace.id));
        let _ = writeln!(out, "  {}", self.ink(Ink::Dim, &facts.join(", ")));
        out
    }

    fn tail(self, out: &mut String, trace: &Trace) {
        let mut ends = Vec::new();
        if let Some(first) = trace.first_byte_us {
            ends.push(format!("first byte after {}", duration(first)));
        }
        if let Some(tokens) = trace.usage {
            ends.push(format!(
                "tokens: {} in, {} out",
                tokens.input, tokens.output
            ));
        }
        for fact in &trace.facts {
            ends.push(format!("{} = {}", plain(&fact.name), short(&fact.value)));
        }
        if trace.left_out > 0 {
            ends.push(format!(
                "{} parts left out for want of room",
                trace.left_out
            ));
        }
        if !ends.is_empty() {
            let _ = writeln!(out, "  {}", self.ink(Ink::Dim, &ends.join(", ")));
        }
    }

    fn attempt(self, out: &mut String, attempt: &Attempt) {
        let came = match (&attempt.error, attempt.status) {
            (Some(error), _) => self.ink(Ink::Red, &plain(error)),
            (None, Some(status)) => status.to_string(),
            (None, None) => "nothing".to_owned(),
        };
        let model = attempt.model.as_deref().map(short).unwrap_or_default();
        let upstream = self.ink(Ink::Cyan, &format!("→ {}", short(&attempt.upstream)));
        let _ = writeln!(
            out,
            "  {upstream} {model} {came} in {}",
            duration(attempt.us)
        );
    }

    fn step(self, out: &mut String, step: &Step) {
        let name = if step.plugin == step.policy {
            plain(&step.policy)
        } else {
            plain(&format!("{} ({})", step.policy, step.plugin))
        };
        let _ = write!(
            out,
            "  {} {}",
            self.ink(Ink::Bold, &name),
            plain(&step.hook)
        );
        if let Some(decision) = &step.decision {
            let _ = write!(out, "  {}", self.decision(decision));
        }
        let _ = writeln!(out, "  {}", self.ink(Ink::Dim, &duration(step.us)));
        for read in &step.reads {
            self.read(out, read);
        }
        for call in &step.calls {
            self.call(out, call);
        }
        for edit in &step.edits {
            self.edit(out, edit);
        }
        if let Some(events) = &step.events {
            self.events(out, events);
        }
        if let Some(answer) = step
            .decision
            .as_ref()
            .filter(|decision| decision.body.is_some())
        {
            self.side(out, '+', answer.body.as_ref());
        }
        if let Some(failure) = &step.failure {
            let then = if failure.bypassed {
                "; the exchange went on without it"
            } else {
                ""
            };
            let text = plain(&format!(
                "failed ({}): it {}{then}",
                failure.kind, failure.reason
            ));
            let _ = writeln!(out, "    {}", self.ink(Ink::Red, &text));
        }
    }

    fn decision(self, decision: &Decision) -> String {
        let mut text = decision.verdict.clone();
        for to in [&decision.model, &decision.upstream].into_iter().flatten() {
            let _ = write!(text, " {to}");
        }
        if let Some(status) = decision.status {
            let _ = write!(text, " {status}");
        }
        if let (Some(code), Some(message)) = (&decision.code, &decision.message) {
            let _ = write!(text, " {code}: {message}");
        }
        let ink = match decision.verdict.as_str() {
            "refuse" => Ink::Red,
            "next" => Ink::Green,
            _ => Ink::Yellow,
        };
        self.ink(ink, &short(&text))
    }

    fn read(self, out: &mut String, read: &Read) {
        let value = read.value.as_ref().map_or_else(|| "none".to_owned(), value);
        let text = format!("read {} {}: {value}", read.part, plain(&read.name));
        let _ = writeln!(out, "    {}", self.ink(Ink::Dim, &text));
    }

    fn call(self, out: &mut String, call: &Call) {
        let result = match &call.result {
            Value::Null => String::new(),
            result => format!(" = {}", value(result)),
        };
        let waited = match call.us {
            0 => String::new(),
            us => format!("  {}", duration(us)),
        };
        let called = self.ink(Ink::Cyan, &plain(&call.call));
        let _ = writeln!(
            out,
            "    {called} {}{result}{waited}",
            value(&call.arguments)
        );
    }

    fn edit(self, out: &mut String, edit: &Edit) {
        let name = edit.name.as_deref().unwrap_or_default();
        let _ = writeln!(out, "    {} {}", plain(&edit.edit), plain(name));
        if edit.before == edit.after {
            let _ = writeln!(out, "      {}", self.ink(Ink::Dim, "as it was"));
            return;
        }
        let (before, after) = differing(edit.before.as_ref(), edit.after.as_ref());
        self.lines(out, '-', &before);
        self.lines(out, '+', &after);
    }

    fn events(self, out: &mut String, events: &Events) {
        let ended = if events.ended {
            ", ended the stream"
        } else {
            ""
        };
        let text = format!(
            "{} events in {} calls, {} changed{ended}",
            events.shown, events.batches, events.changed
        );
        let _ = writeln!(out, "    {text}");
        for change in &events.changes {
            let _ = writeln!(out, "    event {} {}", change.event, plain(&change.action));
            if let Some(event) = &change.before {
                self.event(out, '-', event);
            }
            for event in &change.after {
                self.event(out, '+', event);
            }
        }
    }

    fn event(self, out: &mut String, sign: char, event: &Event) {
        let name = event
            .name
            .as_ref()
            .map(|name| format!("{name}: "))
            .unwrap_or_default();
        self.lines(out, sign, &[format!("{name}{}", text(&event.data))]);
    }

    fn side(self, out: &mut String, sign: char, value: Option<&Value>) {
        let text = value.map(text).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        self.lines(out, sign, &lines);
    }

    fn lines(self, out: &mut String, sign: char, lines: &[String]) {
        let ink = if sign == '-' { Ink::Red } else { Ink::Green };
        for line in lines.iter().take(LINES_MAX) {
            let _ = writeln!(
                out,
                "      {}",
                self.ink(ink, &format!("{sign} {}", short(line)))
            );
        }
        if lines.len() > LINES_MAX {
            let more = format!("{sign} … {} lines more", lines.len() - LINES_MAX);
            let _ = writeln!(out, "      {}", self.ink(ink, &more));
        }
    }

    fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Red => 31,
            Ink::Green => 32,
            Ink::Yellow => 33,
            Ink::Cyan => 36,
        };
        if self.colored && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Both sides line by line, without the lines that they begin and end with alike.
fn differing(before: Option<&Value>, after: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let lines = |value: Option<&Value>| -> Vec<String> {
        let text = value.map(text);
        text.iter()
            .flat_map(|text| text.split('\n'))
            .map(str::to_owned)
            .collect()
    };
    let (mut before, mut after) = (lines(before), lines(after));
    let alike = before
        .iter()
        .zip(&after)
        .take_while(|(a, b)| a == b)
        .count();
    before.drain(..alike);
    after.drain(..alike);
    while let (Some(a), Some(b)) = (before.last(), after.last())
        && a == b
    {
        before.pop();
        after.pop();
    }
    (before, after)
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// In one line.
fn value(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(VALUE_MAX).collect();
    if text.chars().nth(VALUE_MAX).is_some() {
        shown.push('…');
    }
    plain(&shown)
}

/// Without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// The time of day, in UTC.
pub(crate) fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        seconds % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::trace::EventChange;

    #[expect(clippy::too_many_lines, reason = "one of everything")]
    fn example() -> Trace {
        let edit = |edit: &str, name: &str, before: Value, after: Value| Edit {
            edit: edit.to_owned(),
            name: Some(name.to_owned()),
            before: Some(before).filter(|value| !value.is_null()),
            after: Some(after).filter(|value| !value.is_null()),
        };
        Trace {
            id: "req-1".to_owned(),
            time_ms: 45_296_789,
            generation: 3,
            route: Some("chat".to_owned()),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            model: Some("small".to_owned()),
            upstream: Some("vllm".to_owned()),
            status: 200,
            ending: "complete".to_owned(),
            total_us: 12_345,
            steps: vec![
                Step {
                    policy: "rules".to_owned(),
                    plugin: "model-rules".to_owned(),
                    hook: "on_request".to_owned(),
                    at_us: 100,
                    us: 42,
                    reads: vec![Read {
                        part: "header".to_owned(),
                        name: "x-tier".to_owned(),
                        value: None,
                    }],
                    calls: vec![Call {
                        call: "kv.get".to_owned(),
                        arguments: json!({ "key": "a" }),
                        result: json!({ "ok": null }),
                        us: 1500,
                    }],
                    decision: Some(Decision {
                        verdict: "next".to_owned(),
                        ..Decision::default()
                    }),
                    edits: vec![
                        edit(
                            "set-json",
                            "/prompt",
                            json!("one\ntwo\nthree"),
                            json!("one\n2\nthree"),
                        ),
                        edit("remove-header", "x-evil", json!("\u{1b}[2J"), Value::Null),
                    ],
                    ..Step::default()
                },
                Step {
                    policy: "redact".to_owned(),
                    plugin: "redact".to_owned(),
                    hook: "on_events".to_owned(),
                    at_us: 900,
                    us: 7,
                    events: Some(Events {
                        batches: 2,
                        shown: 5,
                        changed: 1,
                        changes: vec![EventChange {
                            event: 4,
                            action: "drop".to_owned(),
                            before: Some(Event {
                                name: None,
                                data: json!("{\"a\":1}"),
                            }),
                            after: Vec::new(),
                        }],
                        ended: false,
                    }),
                    ..Step::default()
                },
            ],
            attempts: vec![Attempt {
                upstream: "vllm".to_owned(),
                model: Some("llama".to_owned()),
                at_us: 200,
                us: 3000,
                status: Some(200),
                error: None,
            }],
            ..Trace::default()
        }
    }

    #[test]
    fn a_trace_reads_top_to_bottom_with_its_edits_as_a_diff() {
        let shown = View { colored: false }.trace(&example());
        let expected = "\
12:34:56.789 POST /v1/chat/completions 200 complete  12.3 ms
  route chat, model small, at vllm, generation 3, id req-1
  rules (model-rules) on_request  next  42 µs
    read header x-tier: none
    kv.get {\"key\":\"a\"} = {\"ok\":null}  1.5 ms
    set-json /prompt
      - two
      + 2
    remove-header x-evil
      - \\u{1b}[2J
  → vllm llama 200 in 3.0 ms
  redact on_events  7 µs
    5 events in 2 calls, 1 changed
    event 4 drop
      - {\"a\":1}

";
        assert_eq!(shown, expected);
    }

    #[test]
    fn colours_are_the_only_thing_that_a_terminal_obeys() {
        let shown = View { colored: true }.trace(&example());
        assert!(shown.contains("\u{1b}[32m+ 2\u{1b}[0m") && shown.contains("\u{1b}[31m- two"));
        let known = [
            "\u{1b}[0m",
            "\u{1b}[1m",
            "\u{1b}[2m",
            "\u{1b}[31m",
            "\u{1b}[32m",
            "\u{1b}[33m",
            "\u{1b}[36m",
        ];
        let rest = known
            .iter()
            .fold(shown, |rest, code| rest.replace(code, ""));
        assert!(!rest.contains('\u{1b}'), "{rest}");
    }

    #[test]
    fn what_is_lost_is_told() {
        let view = View { colored: false };
        assert_eq!(view.lost(0, 0), "");
        assert_eq!(
            view.lost(2, 3),
            "2 exchanges are not shown: read too slowly\n3 exchanges are not shown: too many at once\n"
        );
    }
}
