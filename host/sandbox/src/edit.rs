//! What a decision may ask for: every edit and every verdict is checked here.
//!
//! Checking turns an edit into a step that cannot fail any more, so a decision is
//! applied whole or not at all. Edits of the body are the exception: whether they
//! hold depends on the body, so the message tries them on a copy.

mod path;
mod verdict;

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

pub use path::{PathFault, check_path};
pub(crate) use verdict::{check_destination, check_events_decision, check_verdict};

use crate::{
    contract::{Edit, Header, Value},
    json::{JsonEditError, JsonError, Pointer, ReadyMember},
    message::is_given,
};

/// The most bytes of a body that a policy writes.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;
/// The most bytes of one header's value.
pub(crate) const HEADER_VALUE_MAX: usize = 16 << 10;
/// The most headers of a message that a policy adds one to, and of an answer.
pub(crate) const HEADERS_MAX: usize = 256;
/// The most facts of an exchange.
pub(crate) const FACTS_MAX: usize = 64;
/// The most bytes of a fact's name.
pub(crate) const FACT_NAME_MAX: usize = 64;
/// The most bytes of a fact's value.
pub(crate) const FACT_VALUE_MAX: usize = 1 << 10;
/// The most bytes of a path with its query.
pub(crate) const PATH_MAX: usize = 8 << 10;
/// The most bytes of data of one event that a policy writes.
pub(crate) const EVENT_BYTES_MAX: usize = 1 << 20;
/// The most events of one decision.
pub(crate) const EVENTS_MAX: usize = 1 << 14;
/// The most bytes of an event's name, a refusal's code, a model or an upstream.
pub(crate) const NAME_MAX: usize = 256;
/// The most bytes of a refusal's message.
pub(crate) const MESSAGE_MAX: usize = 4 << 10;

/// Which message is edited: some edits fit only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On its way to the upstream.
    Request,
    /// On its way to the client.
    Response,
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// A part of a decision that does not hold. The message names the edit, and
/// shows what the plugin wrote escaped and cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEdit {
    /// Empty, or with a character that a token cannot have.
    #[error("{edit}: {name} is no header name")]
    HeaderName { edit: &'static str, name: String },
    /// A header that frames the message or belongs to one connection.
    #[error("{edit}: `{name}` is written by the gateway alone")]
    OwnHeader { edit: &'static str, name: String },
    /// A control character in a value, or too long a one.
    #[error(
        "{edit}: the value of `{name}` has a control character or more than {HEADER_VALUE_MAX} bytes"
    )]
    HeaderValue { edit: &'static str, name: String },
    /// More than 256 headers.
    #[error("{edit}: more than {HEADERS_MAX} headers")]
    TooManyHeaders { edit: &'static str },
    /// An edit or verdict that fits only the other side.
    #[error("{edit}: fits no {side}")]
    WrongSide { edit: &'static str, side: Side },
    /// The request's target is chosen already.
    #[error("go-to: fits no attempt")]
    NotInAttempt,
    /// No method, or one that changes what a connection is.
    #[error("set-method: {method} is no method that can be set")]
    Method { method: String },
    /// A path that could be read in two ways.
    #[error("set-path: {path}: {fault}")]
    Path { path: String, fault: PathFault },
    /// A status that such a response cannot have.
    #[error("{edit}: {status} is no status from {from} to 599")]
    Status {
        edit: &'static str,
        status: u16,
        from: u16,
    },
    /// Not 1 to 64 token characters.
    #[error("set-fact: {name} is no name of a fact")]
    FactName { name: String },
    /// A fact that is established by the gateway, so that nobody can forge it.
    #[error("set-fact: `{name}` is written by the gateway alone")]
    GivenFact { name: String },
    /// A control character, or more than 1 KiB.
    #[error(
        "set-fact: the value of `{name}` has a control character or more than {FACT_VALUE_MAX} bytes"
    )]
    FactValue { name: String },
    /// More than 64 facts.
    #[error("set-fact: more than {FACTS_MAX} facts")]
    TooManyFacts,
    /// More than 16 MiB.
    #[error("{edit}: a body of {bytes} bytes; at most {BODY_BYTES_MAX} are allowed")]
    BodyTooLarge { edit: &'static str, bytes: usize },
    /// A response with this status has no body.
    #[error("reply: a response with status {status} has no body")]
    BodyNotAllowed { status: u16 },
    /// The plugin did not say that it needs the body.
    #[error("{edit} {pointer}: the body is not at hand")]
    BodyNotAtHand { edit: &'static str, pointer: String },
    /// The body is not JSON.
    #[error("{edit} {pointer}: the body is {error}")]
    NotJson {
        edit: &'static str,
        pointer: String,
        error: JsonError,
    },
    /// The pointer or the value does not fit the body.
    #[error("{edit} {pointer}: {error}")]
    Json {
        edit: &'static str,
        pointer: String,
        error: JsonEditError,
    },
    /// A model or upstream that could not be written into a message or a log.
    #[error("go-to: {name} is no name of a model or upstream")]
    Destination { name: String },
    /// Not 1 to 256 letters, digits, `_`, `-` and `.`.
    #[error("refuse: {code} is no code")]
    RefusalCode { code: String },
    /// A control character, or more than 4 KiB.
    #[error("refuse: the message has a control character or more than {MESSAGE_MAX} bytes")]
    RefusalMessage,
    /// A line end or NUL, or more than 256 bytes.
    #[error("event: {name} is no name of an event")]
    EventName { name: String },
    /// Not UTF-8, a carriage return or a NUL.
    #[error("event: the data is not UTF-8, or has a carriage return or NUL")]
    EventData,
    /// More than 1 MiB of data.
    #[error("event: {bytes} bytes of data; at most {EVENT_BYTES_MAX} are allowed")]
    EventTooLarge { bytes: usize },
    /// More than 16,384 events.
    #[error("events: {events} of them; at most {EVENTS_MAX} are allowed")]
    TooManyEvents { events: usize },
    /// More actions than there were events.
    #[error("events: {actions} actions for {events} events")]
    TooManyActions { actions: usize, events: usize },
}

/// Edits that hold, as far as that can be told without the message.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) head: Vec<HeadStep>,
    pub(crate) body: Vec<BodyStep>,
}

impl Steps {
    /// Does ahead what is the same for each message.
    pub(crate) fn prepare(&mut self) {
        for step in &mut self.body {
            if let BodyStep::SetJson(pointer, value, member) = step {
                *member = ReadyMember::of(pointer, value);
            }
        }
    }
}

/// An edit that cannot fail.
#[derive(Debug, Clone)]
pub(crate) enum HeadStep {
    SetHeader(HeaderName, HeaderValue),
    AppendHeader(HeaderName, HeaderValue),
    RemoveHeader(HeaderName),
    SetFact(String, String),
    SetMethod(Method),
    SetPath(String),
    SetStatus(u16),
}

impl HeadStep {
    pub(crate) fn adds_header(&self) -> bool {
        matches!(self, Self::SetHeader(..) | Self::AppendHeader(..))
    }
}

/// An edit that may not fit the body.
#[derive(Debug)]
pub(crate) enum BodyStep {
    /// With what it adds to most documents, if that was written before.
    SetJson(Pointer, Value, Option<ReadyMember>),
    RemoveJson(Pointer),
    Replace(Bytes),
}

/// Checks edits one by one; the first that does not hold is the error.
pub(crate) fn check_edits(edits: Vec<Edit>, side: Side) -> Result<Steps, BadEdit> {
    let mut steps = Steps::default();
    for edit in edits {
        let step = match edit {
            Edit::SetJson((pointer, value)) => {
                check_value("set-json", &value)?;
                let pointer = Pointer::of(pointer);
                steps.body.push(BodyStep::SetJson(pointer, value, None));
                continue;
            }
            Edit::RemoveJson(pointer) => {
                steps.body.push(BodyStep::RemoveJson(Pointer::of(pointer)));
                continue;
            }
            Edit::ReplaceBody(body) => {
                check_body("replace-body", body.len())?;
                steps.body.push(BodyStep::Replace(Bytes::from(body)));
                continue;
            }
            Edit::SetHeader(header) => {
                let (name, value) = check_header("set-header", header)?;
                HeadStep::SetHeader(name, value)
            }
            Edit::AppendHeader(header) => {
                let (name, value) = check_header("append-header", header)?;
                HeadStep::AppendHeader(name, value)
            }
            Edit::RemoveHeader(name) => {
                HeadStep::RemoveHeader(check_header_name("remove-header", &name)?)
            }
            Edit::SetFact((name, value)) => {
                check_fact(&name, &value)?;
                HeadStep::SetFact(name, value)
            }
            Edit::SetMethod(method) => {
                check_side("set-method", side, Side::Request)?;
                HeadStep::SetMethod(check_method(&method)?)
            }
            Edit::SetPath(path) => {
                check_side("set-path", side, Side::Request)?;
                path::check_written(&path).map_err(|fault| BadEdit::Path {
                    path: shown(&path),
                    fault,
                })?;
                HeadStep::SetPath(path)
            }
            Edit::SetStatus(status) => {
                check_side("set-status", side, Side::Response)?;
                check_status("set-status", status, 200)?;
                HeadStep::SetStatus(status)
            }
        };
        steps.head.push(step);
    }
    Ok(steps)
}

/// Text of a plugin as it may stand in a log line.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn check_side(edit: &'static str, side: Side, wanted: Side) -> Result<(), BadEdit> {
    if side == wanted {
        Ok(())
    } else {
        Err(BadEdit::WrongSide { edit, side })
    }
}

fn check_status(edit: &'static str, status: u16, from: u16) -> Result<(), BadEdit> {
    if (from..=599).contains(&status) {
        Ok(())
    } else {
        Err(BadEdit::Status { edit, status, from })
    }
}

fn check_body(edit: &'static str, bytes: usize) -> Result<(), BadEdit> {
    if bytes <= BODY_BYTES_MAX {
        Ok(())
    } else {
        Err(BadEdit::BodyTooLarge { edit, bytes })
    }
}

fn check_value(edit: &'static str, value: &Value) -> Result<(), BadEdit> {
    match value {
        Value::Text(text) | Value::Json(text) => check_body(edit, text.len()),
        _ => Ok(()),
    }
}

fn check_header(edit: &'static str, header: Header) -> Result<(HeaderName, HeaderValue), BadEdit> {
    let name = check_header_name(edit, &header.name)?;
    let bad = || BadEdit::HeaderValue {
        edit,
        name: shown_name(&name),
    };
    if header.value.len() > HEADER_VALUE_MAX {
        return Err(bad());
    }
    let value = HeaderValue::from_maybe_shared(Bytes::from(header.value)).map_err(|_| bad())?;
    Ok((name, value))
}

fn check_header_name(edit: &'static str, name: &str) -> Result<HeaderName, BadEdit> {
    if name.len() > NAME_MAX {
        return Err(BadEdit::HeaderName {
            edit,
            name: shown(name),
        });
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadEdit::HeaderName {
        edit,
        name: shown(name),
    })?;
    if is_own(name.as_str()) {
        return Err(BadEdit::OwnHeader {
            edit,
            name: shown_name(&name),
        });
    }
    Ok(name)
}

fn shown_name(name: &HeaderName) -> String {
    name.as_str().chars().take(64).collect()
}

/// Headers that frame a message or belong to one connection.
fn is_own(name: &str) -> bool {
    const OWN: [&str; 10] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    name.starts_with("proxy-") || OWN.contains(&name)
}

fn check_method(method: &str) -> Result<Method, BadEdit> {
    const NOT: [&str; 3] = ["CONNECT", "TRACE", "PRI"];
    const LENGTH_MAX: usize = 32;
    let taken = method.len() > LENGTH_MAX || NOT.iter().any(|not| method.eq_ignore_ascii_case(not));
    let parsed = Method::from_bytes(method.as_bytes()).ok();
    parsed.filter(|_| !taken).ok_or_else(|| BadEdit::Method {
        method: shown(method),
    })
}

fn check_fact(name: &str, value: &str) -> Result<(), BadEdit> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > FACT_NAME_MAX || !name.bytes().all(is_token) {
        return Err(BadEdit::FactName { name: shown(name) });
    }
    if is_given(name) {
        return Err(BadEdit::GivenFact {
            name: name.to_owned(),
        });
    }
    if value.len() > FACT_VALUE_MAX || value.contains(char::is_control) {
        return Err(BadEdit::FactValue {
            name: name.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
