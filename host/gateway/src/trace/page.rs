//! One policy's part of a journal: its hooks into steps.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use serde_json::Value;
use tollgate_sandbox::{
    Failure, Hook, Message, Part, Policy, Recording, Session,
    contract::{self, EventAction, EventsDecision, Hooks, Verdict},
    recorded_text, recorded_value,
};

use super::{
    Call, Decision, Edit, Event, EventChange, Events, Journal, Named, Read, Step, data,
    journal::{Room, micros},
};
use crate::telemetry;

/// Edits of one decision that are shown.
const EDITS_MAX: usize = 64;
/// Changes of events that are shown of one policy.
const CHANGES_MAX: usize = 32;
/// Events that are shown in place of one.
const AFTER_MAX: usize = 16;

/// See the module.
pub(crate) struct Page {
    journal: Arc<Journal>,
    /// The session's time that was told already.
    told: Duration,
}

impl Page {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            told: Duration::ZERO,
        }
    }

    /// What the hook that has just ended asked, and how long it took.
    pub(crate) fn step(&mut self, session: &mut Session, hook: Hooks) -> Step {
        let spent = session.spent().time;
        let took = spent.saturating_sub(self.told);
        self.told = spent;
        let recording = session.take_recording().unwrap_or_default();
        Step {
            us: micros(took),
            ..self.asked(session.policy(), hook_name(hook), recording)
        }
    }

    fn asked(&self, policy: &Policy, hook: &str, recording: Recording) -> Step {
        self.journal.hide(&recording.secrets);
        self.journal.leave_out(recording.left_out.into());
        let Recording { reads, calls, .. } = recording;
        Step {
            policy: policy.name().to_owned(),
            plugin: policy.plugin().to_owned(),
            hook: hook.to_owned(),
            at_us: micros(self.journal.now()),
            reads: reads.into_iter().map(read).collect(),
            calls: calls.into_iter().map(call).collect(),
            ..Step::default()
        }
    }

    /// The same with its decision, which is not applied yet.
    pub(crate) fn decided(
        &mut self,
        session: &mut Session,
        hook: Hooks,
        (decision, message): (Option<&contract::Decision>, &mut Message),
    ) -> Step {
        let mut step = self.step(session, hook);
        if let Some(decision) = decision {
            step.edits = edits(&decision.edits, message);
            let more = decision.edits.len().saturating_sub(EDITS_MAX);
            self.journal.leave_out(more as u64);
            step.decision = Some(verdict(&decision.verdict));
        }
        step
    }

    /// A step that is complete, and the failure that came of it.
    pub(crate) fn tell(&self, mut step: Step, failure: Option<(&Failure, bool)>) {
        step.failure = failure.map(failed);
        self.journal.push(step);
    }

    /// The session could not be opened, and what was asked before that.
    pub(crate) fn not_opened(&self, policy: &Policy, asked: Recording, failure: (&Failure, bool)) {
        self.journal.push(Step {
            failure: Some(failed(failure)),
            ..self.asked(policy, OPEN, asked)
        });
    }

    /// A batch of events, and what is to become of it: all batches are one step.
    pub(crate) fn events(
        &mut self,
        session: &mut Session,
        batch: &[contract::Event],
        decided: Result<&EventsDecision, (&Failure, bool)>,
    ) {
        let mut now = self.step(session, Hooks::EVENTS);
        let policy = session.policy().name();
        self.journal
            .about_events(policy, hook_name(Hooks::EVENTS), |step, room| {
                now.us += step.us;
                room.keep(&mut now.reads);
                room.keep(&mut now.calls);
                now.reads.splice(..0, step.reads.drain(..));
                now.calls.splice(..0, step.calls.drain(..));
                let mut events = step.events.take().unwrap_or_default();
                match decided {
                    Ok(decision) => note(&mut events, (batch, decision), room),
                    Err(failing) => now.failure = Some(failed(failing)),
                }
                now.events = Some(events);
                *step = now;
            });
    }
}

/// When a session opens: no hook is at work yet.
pub(crate) const OPEN: &str = "open";

fn failed((failure, bypassed): (&Failure, bool)) -> data::Failure {
    data::Failure {
        kind: telemetry::failure_word(failure).to_owned(),
        reason: failure.to_string(),
        bypassed,
    }
}

/// As authors call it.
pub(crate) fn hook_name(hook: Hooks) -> &'static str {
    Hook::of(hook).map_or(OPEN, Hook::name)
}

fn read(read: tollgate_sandbox::Read) -> Read {
    let part = match read.part {
        Part::Header => "header",
        Part::Json => "json",
        Part::Body => "body",
        Part::Fact => "fact",
    };
    Read {
        part: part.to_owned(),
        name: read.name,
        value: read.value,
    }
}

fn call(call: tollgate_sandbox::Call) -> Call {
    Call {
        call: call.name.to_owned(),
        arguments: call.arguments,
        result: call.result,
        us: micros(call.took),
    }
}

fn verdict(verdict: &Verdict) -> Decision {
    let named = |word: &str| Decision {
        verdict: word.to_owned(),
        ..Decision::default()
    };
    match verdict {
        Verdict::Next => named("next"),
        Verdict::GoTo(to) => Decision {
            model: to.model.clone(),
            upstream: to.upstream.clone(),
            ..named("go_to")
        },
        Verdict::Reply(answer) => Decision {
            status: Some(answer.status),
            headers: answer
                .headers
                .iter()
                .map(|header| Named {
                    name: header.name.clone(),
                    value: String::from_utf8_lossy(&header.value).into_owned(),
                })
                .collect(),
            body: Some(recorded_text(&answer.body)),
            ..named("reply")
        },
        Verdict::Refuse(refusal) => Decision {
            status: Some(refusal.status),
            code: Some(refusal.code.clone()),
            message: Some(refusal.message.clone()),
            ..named("refuse")
        },
    }
}

fn edits(edits: &[contract::Edit], message: &mut Message) -> Vec<Edit> {
    let mut shown: Vec<Edit> = Vec::new();
    for edit in edits.iter().take(EDITS_MAX) {
        let mut new = edit_of(edit, message);
        // What an earlier edit of the same decision left there.
        let earlier = shown.iter().rev().find(|earlier| earlier.is_of(&new));
        if let Some(earlier) = earlier {
            new.before.clone_from(&earlier.after);
        }
        shown.push(new);
    }
    shown
}

impl Edit {
    fn is_of(&self, other: &Self) -> bool {
        let what = |edit: &Self| edit.edit.rsplit('-').next().unwrap_or_default().to_owned();
        self.name == other.name && what(self) == what(other)
    }
}

/// An edit, and what is there before it.
fn edit_of(edit: &contract::Edit, message: &mut Message) -> Edit {
    use contract::Edit as Of;
    let header = |name: &str, message: &Message| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        message
            .headers
            .get(name)
            .map(|value| recorded_text(value.as_bytes()))
    };
    let body = |message: &mut Message| message.body().map(|body| recorded_text(body));
    let json = |pointer: &str, message: &mut Message| {
        message.json(pointer).map(|value| recorded_value(&value))
    };
    let (edit, name, before, after): (_, Option<&str>, Option<Value>, Option<Value>) = match edit {
        Of::SetHeader(new) => (
            "set-header",
            Some(&new.name),
            header(&new.name, message),
            Some(recorded_text(&new.value)),
        ),
        Of::AppendHeader(new) => (
            "append-header",
            Some(&new.name),
            None,
            Some(recorded_text(&new.value)),
        ),
        Of::RemoveHeader(name) => ("remove-header", Some(name), header(name, message), None),
        Of::SetJson((pointer, value)) => (
            "set-json",
            Some(pointer),
            json(pointer, message),
            Some(recorded_value(value)),
        ),
        Of::RemoveJson(pointer) => ("remove-json", Some(pointer), json(pointer, message), None),
        Of::ReplaceBody(new) => (
            "replace-body",
            None,
            body(message),
            Some(recorded_text(new)),
        ),
        Of::SetFact((name, value)) => (
            "set-fact",
            Some(name),
            message
                .fact(name)
                .map(|value| recorded_text(value.as_bytes())),
            Some(recorded_text(value.as_bytes())),
        ),
        Of::SetMethod(new) => (
            "set-method",
            None,
            Some(message.method.as_str().into()),
            Some(recorded_text(new.as_bytes())),
        ),
        Of::SetPath(new) => (
            "set-path",
            None,
            Some(recorded_text(message.path.as_bytes())),
            Some(recorded_text(new.as_bytes())),
        ),
        Of::SetStatus(new) => (
            "set-status",
            None,
            Some(message.status.into()),
            Some((*new).into()),
        ),
    };
    Edit {
        edit: edit.to_owned(),
        name: name.map(str::to_owned),
        before,
        after,
    }
}

/// Adds a batch to what became of the stream's events.
fn note(
    events: &mut Events,
    (batch, decision): (&[contract::Event], &EventsDecision),
    room: &mut Room,
) {
    let first = events.shown;
    events.batches += 1;
    events.shown += batch.len() as u64;
    let mut change = |at: u64, action: &str, before: Option<&contract::Event>, after: &[_]| {
        events.changed += if before.is_none() {
            after.len() as u64
        } else {
            1
        };
        if events.changes.len() < CHANGES_MAX {
            let mut new = vec![EventChange {
                event: at,
                action: action.to_owned(),
                before: before.map(event),
                after: after.iter().take(AFTER_MAX).map(event).collect(),
            }];
            room.keep(&mut new);
            events.changes.append(&mut new);
        }
    };
    let mut ended = false;
    for ((at, before), action) in (first..).zip(batch).zip(&decision.actions) {
        match action {
            EventAction::Keep => {}
            EventAction::Replace(after) => change(at, "replace", Some(before), after),
            EventAction::Drop => change(at, "drop", Some(before), &[]),
            EventAction::End(after) => {
                change(at, "end", Some(before), after);
                ended = true;
                break;
            }
        }
    }
    if !decision.append.is_empty() && !ended {
        change(first + batch.len() as u64, "append", None, &decision.append);
    }
    events.ended |= ended;
}

fn event(event: &contract::Event) -> Event {
    Event {
        name: event.name.clone(),
        data: recorded_text(&event.data),
    }
}
