//! The events that are ready, and what becomes of them.

use crate::{
    Event, RawEvent,
    bindings::tollgate::policy::types::{EventAction, EventsDecision},
};

/// The events that were ready when the host asked, in order.
///
/// ```
/// use tollgate_sdk::{Events, RawEvent};
///
/// fn on_events(events: &mut Events) {
///     for event in events.iter_mut() {
///         if event.name() == Some("ping") {
///             event.discard();
///         }
///     }
///     if events.is_last() {
///         events.append(RawEvent::named("bye", "{}"));
///     }
/// }
/// ```
pub struct Events {
    batch: Vec<Event>,
    last: bool,
    append: Vec<RawEvent>,
}

impl Events {
    pub(crate) fn new(batch: Vec<RawEvent>, last: bool) -> Self {
        Self {
            batch: batch.into_iter().map(Event::from).collect(),
            last,
            append: Vec::new(),
        }
    }

    /// Trailing events that are kept are not mentioned.
    pub(crate) fn decide(self) -> EventsDecision {
        let actions = match self.batch.iter().rposition(|event| !event.is_kept()) {
            Some(at) => self
                .batch
                .into_iter()
                .take(at + 1)
                .map(Event::into_action)
                .collect(),
            None => Vec::<EventAction>::new(),
        };
        EventsDecision {
            actions,
            append: self.append,
        }
    }

    /// The events, to be read.
    ///
    /// ```
    /// use tollgate_sdk::Events;
    ///
    /// fn length(events: &Events) -> usize {
    ///     events.iter().filter_map(|event| event.text()).map(str::len).sum()
    /// }
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.batch.iter()
    }

    /// The events, to be changed.
    ///
    /// ```
    /// use tollgate_sdk::Events;
    ///
    /// fn shout(events: &mut Events) {
    ///     for event in events.iter_mut() {
    ///         event.map_text(str::to_uppercase);
    ///     }
    /// }
    /// ```
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Event> {
        self.batch.iter_mut()
    }

    /// Whether the upstream ended the stream cleanly with this batch, which may be empty.
    ///
    /// ```
    /// use tollgate_sdk::Events;
    ///
    /// fn is_over(events: &Events) -> bool {
    ///     events.is_last()
    /// }
    /// ```
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Sends an event after the batch.
    ///
    /// ```
    /// use tollgate_sdk::{Events, RawEvent};
    ///
    /// fn note(events: &mut Events) {
    ///     events.append(RawEvent::named("note", "checked"));
    /// }
    /// ```
    pub fn append(&mut self, event: RawEvent) {
        self.append.push(event);
    }
}

impl<'a> IntoIterator for &'a mut Events {
    type Item = &'a mut Event;
    type IntoIter = std::slice::IterMut<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
