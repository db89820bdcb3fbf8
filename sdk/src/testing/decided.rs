//! What a policy under test decided, and what comes of it.

use super::source::Source;
use crate::{
    Answer, Destination, RawEvent, Refusal, Verdict, bindings::tollgate::policy::types::Edit,
};

/// What a hook decided, and the message after it.
///
/// ```
/// use tollgate_sdk::testing::Decided;
///
/// fn assert_forwarded(decided: &Decided) {
///     assert!(decided.is_next());
///     assert_eq!(decided.header("authorization"), None);
/// }
/// ```
#[derive(Debug)]
pub struct Decided {
    /// What happens next.
    pub verdict: Verdict,
    pub(super) decision_edits: Vec<Edit>,
    pub(super) message: Source,
}

impl Decided {
    pub(super) fn untouched(message: &Source) -> Self {
        Self {
            verdict: Verdict::Next,
            decision_edits: Vec::new(),
            message: message.clone(),
        }
    }

    /// Whether the next policy has its turn.
    ///
    /// ```
    /// fn is_forwarded(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.is_next()
    /// }
    /// ```
    #[must_use]
    pub fn is_next(&self) -> bool {
        self.verdict == Verdict::Next
    }

    /// Whether nothing at all was edited.
    ///
    /// ```
    /// fn passes_through(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.is_next() && decided.is_untouched()
    /// }
    /// ```
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.decision_edits.is_empty()
    }

    /// The refusal, if it is one.
    ///
    /// ```
    /// fn code(decided: &tollgate_sdk::testing::Decided) -> Option<&str> {
    ///     decided.refusal().map(|refusal| refusal.code.as_str())
    /// }
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            Verdict::Refuse(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The answer that the policy gives itself, if it does.
    ///
    /// ```
    /// fn is_answered(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.answer().is_some()
    /// }
    /// ```
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.verdict {
            Verdict::Reply(answer) => Some(answer),
            _ => None,
        }
    }

    /// Where the request is sent instead, if it is.
    ///
    /// ```
    /// fn model(decided: &tollgate_sdk::testing::Decided) -> Option<&str> {
    ///     decided.destination()?.model.as_deref()
    /// }
    /// ```
    #[must_use]
    pub fn destination(&self) -> Option<&Destination> {
        match &self.verdict {
            Verdict::GoTo(destination) => Some(destination),
            _ => None,
        }
    }

    /// A header of the message, as text.
    ///
    /// ```
    /// fn tier(decided: &tollgate_sdk::testing::Decided) -> Option<String> {
    ///     decided.header("x-tier")
    /// }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.message
            .header(name)
            .map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// A field of the message's JSON.
    ///
    /// ```
    /// fn is_capped(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.json("/max_tokens").is_some()
    /// }
    /// ```
    #[must_use]
    pub fn json(&self, pointer: &str) -> Option<serde_json::Value> {
        self.message.document()?.pointer(pointer).cloned()
    }

    /// The message's body.
    ///
    /// ```
    /// fn is_empty(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.body().is_empty()
    /// }
    /// ```
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.message.body
    }

    /// A fact, set by this policy or before.
    ///
    /// ```
    /// fn caller(decided: &tollgate_sdk::testing::Decided) -> Option<String> {
    ///     decided.fact("caller")
    /// }
    /// ```
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<String> {
        self.message.fact(name)
    }

    /// The request's method.
    ///
    /// ```
    /// fn is_post(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.method() == "POST"
    /// }
    /// ```
    #[must_use]
    pub fn method(&self) -> &str {
        &self.message.method
    }

    /// The request's path and query.
    ///
    /// ```
    /// fn is_chat(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.path() == "/v1/chat/completions"
    /// }
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.message.path
    }

    /// The response's status.
    ///
    /// ```
    /// fn is_fine(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.status() == 200
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.message.status
    }
}

/// What the client is sent of a stream.
///
/// ```
/// fn is_cut(sent: &tollgate_sdk::testing::Sent) -> bool {
///     sent.ended && sent.text().is_empty()
/// }
/// ```
#[derive(Debug, PartialEq)]
pub struct Sent {
    /// The events, in order.
    pub events: Vec<RawEvent>,
    /// Whether the stream is over.
    pub ended: bool,
}

impl Sent {
    /// All text in the events.
    ///
    /// ```
    /// fn is_clean(sent: &tollgate_sdk::testing::Sent) -> bool {
    ///     !sent.text().contains("secret")
    /// }
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        self.events
            .iter()
            .map(|event| {
                crate::Event::from(event.clone())
                    .text()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}
