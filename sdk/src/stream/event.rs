//! One event, and what becomes of it. What it says is in [`said`].

mod said;

use std::cell::OnceCell;

use crate::{
    RawEvent,
    bindings::tollgate::policy::types::EventAction,
    stream::{chunk::Chunk, raw::Frame},
};

pub use said::Kind;

/// One event of a stream. It is kept as it is unless something is done to it, and
/// parsed only when it is asked what it says.
///
/// ```
/// use tollgate_sdk::{Event, Kind};
///
/// fn on_event(event: &mut Event) {
///     match event.kind() {
///         Kind::Text(text) if text.contains("secret") => {
///             event.set_text("[removed]");
///         }
///         Kind::ToolCall(_) => event.discard(),
///         _ => {}
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Event {
    raw: RawEvent,
    fate: Fate,
    before: Vec<RawEvent>,
    after: Vec<RawEvent>,
    end: bool,
    chunk: OnceCell<Chunk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Edited,
    Gone,
}

impl Event {
    /// The event as it is now.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::done()).raw().data, b"[DONE]");
    /// ```
    #[must_use]
    pub fn raw(&self) -> &RawEvent {
        &self.raw
    }

    /// The name, of `event:`.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::named("ping", "")).name(), Some("ping"));
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.raw.name.as_deref()
    }

    /// The data, of `data:`, its lines joined.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert_eq!(Event::from(RawEvent::data("hi")).data(), b"hi");
    /// ```
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.raw.data
    }

    /// Replaces the piece of text of the first choice that has one; the rest of the event
    /// stays as it is. Tells whether there was one.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let mut event = Event::from(RawEvent::text("hi"));
    /// assert!(event.set_text("ho"));
    /// assert_eq!(event.text(), Some("ho"));
    /// assert!(!Event::from(RawEvent::done()).set_text("ho"));
    /// ```
    pub fn set_text(&mut self, text: &str) -> bool {
        let place = self
            .chunk()
            .choices
            .iter()
            .find_map(|choice| choice.text_at.clone());
        if let Some(place) = place.clone() {
            self.splice([(place, text.to_owned())]);
        }
        place.is_some()
    }

    /// Replaces the piece of text of every choice that has one. If the text comes out the
    /// same, the event is kept.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let mut event = Event::from(RawEvent::text("a cat"));
    /// event.map_text(|text| text.replace("cat", "dog"));
    /// assert_eq!(event.text(), Some("a dog"));
    /// ```
    pub fn map_text(&mut self, mut change: impl FnMut(&str) -> String) {
        let mut changed: Vec<_> = self
            .chunk()
            .choices
            .iter()
            .filter_map(|choice| {
                let text = choice.text.as_deref()?;
                let new = change(text);
                (new != text).then_some((choice.text_at.clone()?, new))
            })
            .collect();
        changed.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(place.start));
        if !changed.is_empty() {
            self.splice(changed);
        }
    }

    /// Replaces the data; the name stays.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let mut event = Event::from(RawEvent::named("ping", "1"));
    /// event.set_data("2");
    /// assert_eq!(event.data(), b"2");
    /// ```
    pub fn set_data(&mut self, data: impl Into<Vec<u8>>) {
        self.raw.data = data.into();
        self.touch();
    }

    /// Does not send the event.
    ///
    /// ```
    /// use tollgate_sdk::Event;
    ///
    /// fn on_event(event: &mut Event) {
    ///     if event.name() == Some("ping") {
    ///         event.discard();
    ///     }
    /// }
    /// ```
    pub fn discard(&mut self) {
        self.fate = Fate::Gone;
    }

    /// Holds the event back: it is not sent now, and can be given to a later one with
    /// [`send_before`](Self::send_before). Bound what you hold back.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// struct OneBehind {
    ///     held: Option<RawEvent>,
    /// }
    ///
    /// impl OneBehind {
    ///     fn on_event(&mut self, event: &mut Event) {
    ///         if let Some(held) = self.held.take() {
    ///             event.send_before(held);
    ///         }
    ///         self.held = Some(event.hold());
    ///     }
    ///
    ///     fn on_end(&mut self) -> Vec<RawEvent> {
    ///         self.held.take().into_iter().collect()
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn hold(&mut self) -> RawEvent {
        self.fate = Fate::Gone;
        self.raw.clone()
    }

    /// Sends another event right before this one, after those that were given before.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// fn on_event(event: &mut Event) {
    ///     if event.finish().is_some() {
    ///         event.send_before(RawEvent::named("note", "checked"));
    ///     }
    /// }
    /// ```
    pub fn send_before(&mut self, event: RawEvent) {
        self.before.push(event);
    }

    /// Sends another event right after this one.
    ///
    /// ```
    /// use tollgate_sdk::Event;
    ///
    /// fn twice(event: &mut Event) {
    ///     event.send_after(event.raw().clone());
    /// }
    /// ```
    pub fn send_after(&mut self, event: RawEvent) {
        self.after.push(event);
    }

    /// Ends the stream cleanly after this event and what was sent along with it.
    ///
    /// ```
    /// use tollgate_sdk::Event;
    ///
    /// fn on_event(event: &mut Event) {
    ///     if event.text().is_some_and(|text| text.contains("STOP")) {
    ///         event.end_stream();
    ///     }
    /// }
    /// ```
    pub fn end_stream(&mut self) {
        self.end = true;
    }

    /// Ends the stream as a model would: after this event a chunk that says why, then
    /// `[DONE]`. To leave this event out, [`discard`](Self::discard) it as well.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let mut event = Event::from(RawEvent::text("and so on"));
    /// event.cut("length");
    /// assert!(event.is_end());
    /// ```
    pub fn cut(&mut self, reason: &str) {
        let finish = self.with_finish(reason);
        self.after.extend([finish, RawEvent::done()]);
        self.end = true;
    }

    /// Another event of the same answer, with this piece of text.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let event = Event::from(RawEvent::data(r#"{"id":"a","model":"m","choices":[]}"#));
    /// let more = String::from_utf8(event.with_text("more").data).unwrap();
    /// assert!(more.starts_with(r#"{"id":"a","#) && more.contains(r#""content":"more""#));
    /// ```
    #[must_use]
    pub fn with_text(&self, text: &str) -> RawEvent {
        Frame::of(&self.raw.data).text(text)
    }

    /// Another event of the same answer, which finishes it.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let event = Event::from(RawEvent::text("hi"));
    /// assert_eq!(Event::from(event.with_finish("stop")).finish(), Some("stop"));
    /// ```
    #[must_use]
    pub fn with_finish(&self, reason: &str) -> RawEvent {
        Frame::of(&self.raw.data).finish(reason)
    }

    /// Whether the stream ends here.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// assert!(!Event::from(RawEvent::done()).is_end());
    /// ```
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.end
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.fate == Fate::Keep && !self.end && self.before.is_empty() && self.after.is_empty()
    }

    /// What the client is sent for this event: nothing, itself, or more.
    ///
    /// ```
    /// use tollgate_sdk::{Event, RawEvent};
    ///
    /// let mut event = Event::from(RawEvent::text("hi"));
    /// event.send_before(RawEvent::named("note", ""));
    /// assert_eq!(event.into_sent().len(), 2);
    /// ```
    #[must_use]
    pub fn into_sent(self) -> Vec<RawEvent> {
        let mut sent = self.before;
        if self.fate != Fate::Gone {
            sent.push(self.raw);
        }
        sent.extend(self.after);
        sent
    }

    pub(crate) fn into_action(self) -> EventAction {
        if self.is_kept() {
            return EventAction::Keep;
        }
        let end = self.end;
        let sent = self.into_sent();
        match (end, sent.is_empty()) {
            (true, _) => EventAction::End(sent),
            (false, true) => EventAction::Drop,
            (false, false) => EventAction::Replace(sent),
        }
    }

    fn chunk(&self) -> &Chunk {
        self.chunk.get_or_init(|| Chunk::parse(&self.raw.data))
    }

    /// The places come from the back to the front.
    fn splice(&mut self, changes: impl IntoIterator<Item = (std::ops::Range<usize>, String)>) {
        for (place, text) in changes {
            let text = serde_json::Value::String(text).to_string();
            self.raw.data.splice(place, text.into_bytes());
        }
        self.touch();
    }

    fn touch(&mut self) {
        self.chunk = OnceCell::new();
        if self.fate == Fate::Keep {
            self.fate = Fate::Edited;
        }
    }
}

impl From<RawEvent> for Event {
    fn from(raw: RawEvent) -> Self {
        Self {
            raw,
            fate: Fate::Keep,
            before: Vec::new(),
            after: Vec::new(),
            end: false,
            chunk: OnceCell::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> Event {
        Event::from(RawEvent::data(data))
    }

    #[test]
    fn an_edit_leaves_every_other_byte_as_it_was() {
        let mut event = event(
            r#"{ "id":"a",  "x":1.50, "choices":[ {"delta":{"content":"h\u00e9"},"index":0} ] }"#,
        );
        event.map_text(|text| format!("{text}\n"));
        assert_eq!(
            event.data(),
            r#"{ "id":"a",  "x":1.50, "choices":[ {"delta":{"content":"hé\n"},"index":0} ] }"#
                .as_bytes()
        );
    }

    #[test]
    fn several_choices_are_edited_in_one_event() {
        let mut event = event(
            r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#,
        );
        event.map_text(|text| text.repeat(3));
        assert_eq!(
            event.data(),
            br#"{"choices":[{"index":0,"delta":{"content":"aaa"}},{"index":1,"delta":{"content":"bbb"}}]}"#
        );
    }

    #[test]
    fn an_event_that_was_only_read_is_kept() {
        let mut event = event(r#"{"choices":[{"delta":{"content":"a"}}]}"#);
        assert_eq!(event.kind(), Kind::Text("a"));
        event.map_text(str::to_owned);
        assert!(event.is_kept());
    }

    #[test]
    fn a_discarded_event_that_brings_others_is_replaced_by_them() {
        let mut event = event("x");
        event.discard();
        event.send_before(RawEvent::data("y"));
        assert_eq!(
            event.into_action(),
            EventAction::Replace(vec![RawEvent::data("y")])
        );
    }

    #[test]
    fn a_cut_stream_ends_as_a_model_would_end_it() {
        let mut event = event(
            r#"{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}"#,
        );
        event.discard();
        event.cut("length");
        let finish = r#"{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        assert_eq!(
            event.into_action(),
            EventAction::End(vec![RawEvent::data(finish), RawEvent::done()])
        );
    }
}
