//! What an event says. Nothing is parsed before it is asked for.

use super::Event;
use crate::{
    Usage,
    stream::chunk::{Choice, ToolCallDelta},
};

/// The most telling thing that an event says. An event may say more than one, such as a
/// last piece of text with the reason to finish: ask for [`Event::text`],
/// [`Event::finish`], [`Event::usage`] or [`Event::choices`] where that matters.
///
/// ```
/// use tollgate_sdk::{Event, Kind, RawEvent};
///
/// let event = Event::from(RawEvent::data(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#));
/// assert_eq!(event.kind(), Kind::Role("assistant"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind<'a> {
    /// The role of who answers, once at the start.
    Role(&'a str),
    /// A piece of text.
    Text(&'a str),
    /// A piece of a tool call.
    ToolCall(&'a ToolCallDelta),
    /// Why the answer is finished.
    Finish(&'a str),
    /// What the answer cost, near the end if the client or the gateway asked for it.
    Usage(Usage),
    /// `[DONE]`, after which clients stop reading.
    Done,
    /// Anything else.
    Other,
}

impl Event {
    /// What the event says.
    ///
    /// ```
    /// use tollgate_sdk::{Event, Kind, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::text("hi")).kind(), Kind::Text("hi"));
    /// assert_eq!(Event::from(RawEvent::data("{}")).kind(), Kind::Other);
    /// ```
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        if self.is_done() {
            return Kind::Done;
        }
        let chunk = self.chunk();
        let said = chunk.choices.first().and_then(|choice| match choice {
            Choice {
                text: Some(text), ..
            } if !text.is_empty() => Some(Kind::Text(text)),
            Choice { tool_calls, .. } if !tool_calls.is_empty() => {
                Some(Kind::ToolCall(&tool_calls[0]))
            }
            Choice {
                finish: Some(reason),
                ..
            } => Some(Kind::Finish(reason)),
            Choice {
                role: Some(role), ..
            } => Some(Kind::Role(role)),
            Choice {
                text: Some(text), ..
            } => Some(Kind::Text(text)),
            _ => None,
        });
        said.or(chunk.usage.map(Kind::Usage)).unwrap_or(Kind::Other)
    }

    /// Whether this is `[DONE]`; costs no parsing. Where `[DONE]` ends the streams of an
    /// upstream, the gateway keeps it and sends it after all hooks: a hook sees it only
    /// where the transport alone ends them.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert!(Event::from(RawEvent::done()).is_done());
    /// ```
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.raw.data.trim_ascii() == b"[DONE]"
    }

    /// The piece of text, of the first choice that has one.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::text("hi")).text(), Some("hi"));
    /// ```
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.chunk()
            .choices
            .iter()
            .find_map(|choice| choice.text.as_deref())
    }

    /// Why the answer is finished, of the first choice that is.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::finish("length")).finish(), Some("length"));
    /// ```
    #[must_use]
    pub fn finish(&self) -> Option<&str> {
        self.chunk()
            .choices
            .iter()
            .find_map(|choice| choice.finish.as_deref())
    }

    /// What the upstream says that the answer cost so far.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let event = Event::from(RawEvent::data(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#));
    /// assert_eq!(event.usage().unwrap().total(), 7);
    /// ```
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.chunk().usage
    }

    /// Everything that the event says of each choice.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert!(Event::from(RawEvent::done()).choices().is_empty());
    /// ```
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.chunk().choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawEvent;

    fn event(data: &str) -> Event {
        Event::from(RawEvent::data(data))
    }

    #[test]
    fn each_kind_is_recognised() {
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c","function":{"name":"f","arguments":"{\""}}]}}]}"#;
        let expected = ToolCallDelta {
            index: 1,
            id: Some("c".into()),
            name: Some("f".into()),
            arguments: "{\"".into(),
        };
        assert_eq!(event(call).kind(), Kind::ToolCall(&expected));
        assert_eq!(
            event(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).kind(),
            Kind::Finish("stop")
        );
        assert_eq!(
            event(r#"{"choices":[{"text":"old"}]}"#).kind(),
            Kind::Text("old")
        );
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#;
        assert_eq!(
            event(usage).kind(),
            Kind::Usage(Usage {
                input_tokens: 1,
                output_tokens: 2,
                cached_tokens: 1
            })
        );
        assert_eq!(event("[DONE]").kind(), Kind::Done);
    }

    #[test]
    fn what_is_no_chunk_is_other_and_never_a_panic() {
        for data in [
            "",
            "x",
            "{",
            "[]",
            "{\"choices\":1}",
            r#"{"choices":[{"delta":{"content":["a"]}}]}"#,
            "null",
        ] {
            assert_eq!(event(data).kind(), Kind::Other, "{data}");
        }
        assert_eq!(
            Event::from(RawEvent::data(vec![0xff, 0xfe])).kind(),
            Kind::Other
        );
    }
}
