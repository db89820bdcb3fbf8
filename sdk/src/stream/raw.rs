//! Events that a policy makes itself.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::RawEvent;

impl RawEvent {
    /// An event without a name.
    ///
    /// ```
    /// use tollgate_sdk::RawEvent;
    ///
    /// assert_eq!(RawEvent::data("hi").name, None);
    /// ```
    pub fn data(data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: None,
            data: data.into(),
        }
    }

    /// An event with a name.
    ///
    /// ```
    /// use tollgate_sdk::RawEvent;
    ///
    /// assert_eq!(RawEvent::named("ping", "{}").name.as_deref(), Some("ping"));
    /// ```
    pub fn named(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: Some(name.into()),
            data: data.into(),
        }
    }

    /// An event whose data is JSON.
    ///
    /// ```
    /// use tollgate_sdk::RawEvent;
    ///
    /// let event = RawEvent::json(&serde_json::json!({ "choices": [] }));
    /// assert_eq!(event.data, br#"{"choices":[]}"#);
    /// ```
    pub fn json(data: &impl Serialize) -> Self {
        Self::data(serde_json::to_vec(data).unwrap_or_default())
    }

    /// A chat chunk with a piece of text, and no more in it than clients need. Where
    /// there is an event to follow, [`Event::with_text`](crate::Event::with_text) is better.
    ///
    /// ```
    /// use tollgate_sdk::{Event, Kind, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::text("hi")).kind(), Kind::Text("hi"));
    /// ```
    #[must_use]
    pub fn text(text: &str) -> Self {
        Frame::default().text(text)
    }

    /// A chat chunk that finishes the answer.
    ///
    /// ```
    /// use tollgate_sdk::{Event, Kind, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::finish("stop")).kind(), Kind::Finish("stop"));
    /// ```
    #[must_use]
    pub fn finish(reason: &str) -> Self {
        Frame::default().finish(reason)
    }

    /// The event that ends a chat stream.
    ///
    /// ```
    /// use tollgate_sdk::{Event, Kind, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::done()).kind(), Kind::Done);
    /// ```
    #[must_use]
    pub fn done() -> Self {
        Self::data("[DONE]")
    }
}

/// What all chunks of one stream say alike.
#[derive(Default, Deserialize)]
pub(crate) struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    object: Option<String>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub(crate) fn of(data: &'a [u8]) -> Self {
        serde_json::from_slice(data).unwrap_or_default()
    }

    pub(crate) fn text(&self, text: &str) -> RawEvent {
        self.chunk(text, None)
    }

    pub(crate) fn finish(&self, reason: &str) -> RawEvent {
        self.chunk("", Some(reason))
    }

    fn chunk(&self, text: &str, finish: Option<&str>) -> RawEvent {
        let is_older = self.object.as_deref() == Some("text_completion");
        let delta = (!is_older).then(|| Delta {
            content: finish.is_none().then_some(text),
        });
        let choice = Choice {
            index: 0,
            delta,
            text: is_older.then_some(text),
            finish_reason: finish,
        };
        RawEvent::json(&Chunk {
            id: self.id,
            object: if is_older {
                "text_completion"
            } else {
                "chat.completion.chunk"
            },
            created: self.created,
            model: self.model,
            choices: [choice],
        })
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a RawValue>,
    choices: [Choice<'a>; 1],
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}
