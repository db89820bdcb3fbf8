//! Checks what a decision comes to: answers, refusals, destinations and events.

use super::{
    BadEdit, EVENT_BYTES_MAX, EVENTS_MAX, HEADER_VALUE_MAX, HEADERS_MAX, MESSAGE_MAX, NAME_MAX,
    Side, check_body, check_header_name, check_side, check_status, shown, shown_name,
};
use crate::contract::{Answer, Event, EventAction, EventsDecision, Header, Refusal, Verdict};

/// Checks a verdict.
pub(crate) fn check_verdict(verdict: &Verdict, side: Side) -> Result<(), BadEdit> {
    match verdict {
        Verdict::Next => Ok(()),
        Verdict::GoTo(to) => {
            check_side("go-to", side, Side::Request)?;
            [&to.model, &to.upstream]
                .into_iter()
                .flatten()
                .try_for_each(|name| check_destination(name))
        }
        Verdict::Reply(answer) => check_answer(answer),
        Verdict::Refuse(refusal) => check_refusal(refusal),
    }
}

/// Checks an answer: final status, headers of its own, a body where one may be.
pub(super) fn check_answer(answer: &Answer) -> Result<(), BadEdit> {
    const EDIT: &str = "reply";
    check_status(EDIT, answer.status, 200)?;
    check_body(EDIT, answer.body.len())?;
    if answer.headers.len() > HEADERS_MAX {
        return Err(BadEdit::TooManyHeaders { edit: EDIT });
    }
    if matches!(answer.status, 204 | 205 | 304) && !answer.body.is_empty() {
        return Err(BadEdit::BodyNotAllowed {
            status: answer.status,
        });
    }
    answer
        .headers
        .iter()
        .try_for_each(|header| check_header(EDIT, header))
}

/// Checks a refusal: an error status, a code for machines, a message for people.
pub(super) fn check_refusal(refusal: &Refusal) -> Result<(), BadEdit> {
    check_status("refuse", refusal.status, 400)?;
    let code = &refusal.code;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if code.is_empty() || code.len() > NAME_MAX || !code.bytes().all(is_plain) {
        return Err(BadEdit::RefusalCode { code: shown(code) });
    }
    let control = |char: char| char.is_control() && char != '\n' && char != '\t';
    if refusal.message.len() > MESSAGE_MAX || refusal.message.contains(control) {
        return Err(BadEdit::RefusalMessage);
    }
    Ok(())
}

/// Checks events that a policy puts into a stream.
pub(super) fn check_events(events: &[Event]) -> Result<(), BadEdit> {
    if events.len() > EVENTS_MAX {
        return Err(BadEdit::TooManyEvents {
            events: events.len(),
        });
    }
    events.iter().try_for_each(check_event)
}

/// Checks what is to become of a batch of so many events.
pub(crate) fn check_events_decision(
    decision: &EventsDecision,
    batch: usize,
) -> Result<(), BadEdit> {
    if decision.actions.len() > batch {
        return Err(BadEdit::TooManyActions {
            actions: decision.actions.len(),
            events: batch,
        });
    }
    let mut events = decision.append.len();
    check_events(&decision.append)?;
    for action in &decision.actions {
        if let EventAction::Replace(new) | EventAction::End(new) = action {
            check_events(new)?;
            events += new.len();
        }
    }
    if events > EVENTS_MAX {
        Err(BadEdit::TooManyEvents { events })
    } else {
        Ok(())
    }
}

fn check_event(event: &Event) -> Result<(), BadEdit> {
    if let Some(name) = &event.name
        && (name.len() > NAME_MAX || name.contains(['\n', '\r', '\0']))
    {
        return Err(BadEdit::EventName { name: shown(name) });
    }
    if event.data.len() > EVENT_BYTES_MAX {
        return Err(BadEdit::EventTooLarge {
            bytes: event.data.len(),
        });
    }
    match std::str::from_utf8(&event.data) {
        Ok(data) if !data.contains(['\r', '\0']) => Ok(()),
        _ => Err(BadEdit::EventData),
    }
}

/// Checks the name of a model or an upstream.
pub(crate) fn check_destination(name: &str) -> Result<(), BadEdit> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains(char::is_control) {
        return Err(BadEdit::Destination { name: shown(name) });
    }
    Ok(())
}

fn check_header(edit: &'static str, header: &Header) -> Result<(), BadEdit> {
    let name = check_header_name(edit, &header.name)?;
    let plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if header.value.len() > HEADER_VALUE_MAX || !header.value.iter().all(plain) {
        return Err(BadEdit::HeaderValue {
            edit,
            name: shown_name(&name),
        });
    }
    Ok(())
}
