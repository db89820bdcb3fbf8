//! The events of `generate_stream` as the chunks of a completion, event by event.
//!
//! Nothing is held back. `[DONE]` is sent when the upstream said that it is done, or ended
//! its stream cleanly; one that says whether it is done has to have said so.

use tollgate_sdk::RawEvent;

use super::{Asked, Frame, choice};
use crate::{
    at::At,
    broken::{Broken, read},
    datatype::Kind,
    fault::Fault,
    json::{Fields, list, quoted},
    said::Usage,
    settings::{Body, Protocol},
    tensor::Tensor,
};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    asked: Asked,
    frame: Frame,
    state: State,
    usage: Usage,
    reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    /// Nothing yet said whether it is done.
    Open,
    /// The last event said that it is not.
    Undone,
    Over,
}

impl Stream {
    pub(crate) fn new(asked: Asked, frame: Frame) -> Self {
        Self {
            asked,
            frame,
            state: State::Before,
            usage: Usage::default(),
            reason: None,
        }
    }

    /// What the client is sent for one event.
    ///
    /// # Errors
    /// The stream goes no further.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.state == State::Over {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            self.finish(out);
            return Ok(());
        }
        let said = read(data, Protocol::OpenInference)?;
        let mut event = Fields::of(said, At::Root)?;
        let done = event.flag("done")?;
        for (index, text) in self.texts(&mut event, done)? {
            if text != "\"\"" {
                self.send(index, &text, None, out);
            }
        }
        self.usage.see(Usage::read(&self.asked.mapping.usage, said));
        self.reason = self.asked.finish_reason(said).or(self.reason);
        self.state = match done {
            None if self.state == State::Before => State::Open,
            None => self.state,
            Some(_) => State::Undone,
        };
        if done == Some(true) {
            self.finish(out);
        }
        Ok(())
    }

    /// An answer that is no stream, though one was asked for.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn whole(&self, body: &str) -> Result<String, Fault> {
        self.asked.answer(body, &self.frame)
    }

    /// The upstream ended its stream.
    ///
    /// # Errors
    /// It should not have.
    pub(crate) fn end(&mut self, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        match self.state {
            State::Over => Ok(()),
            State::Before => Err(Broken::new("it ended without an answer")),
            State::Undone => Err(Broken::new("it ended before it was done")),
            State::Open => {
                self.finish(out);
                Ok(())
            }
        }
    }

    /// The texts of one event, as JSON; there may be none in its last.
    fn texts(
        &self,
        event: &mut Fields,
        done: Option<bool>,
    ) -> Result<Vec<(usize, String)>, Broken> {
        if self.asked.mapping.body == Body::Text {
            return match (event.text("text_output")?, done) {
                (Some(text), _) => Ok(vec![(0, quoted(&text))]),
                (None, Some(true)) => Ok(Vec::new()),
                (None, _) => Err(event.expected("text_output", "a string").into()),
            };
        }
        let outputs = event.need_list("outputs")?;
        if outputs.is_empty() {
            return Ok(Vec::new());
        }
        let at = At::Root.field("outputs");
        let tensor = Tensor::find(&outputs, &self.asked.mapping.output, at)?;
        if tensor.datatype.kind() != Kind::Text || tensor.elements.len() > self.asked.count {
            return Err(Broken::new(
                "an output is no text, or more than were asked for",
            ));
        }
        let texts = tensor.elements.into_iter().map(str::to_owned);
        Ok(texts.enumerate().collect())
    }

    fn send(&self, index: usize, text: &str, reason: Option<&str>, out: &mut Vec<RawEvent>) {
        let choices = list([choice(index, text, reason)]);
        out.push(RawEvent::data(self.frame.written(&choices, None)));
    }

    fn finish(&mut self, out: &mut Vec<RawEvent>) {
        self.state = State::Over;
        for index in 0..self.asked.count {
            self.send(index, "\"\"", Some(self.reason.unwrap_or("stop")), out);
        }
        if self.asked.wants_usage
            && let Some(usage) = self.usage.of_completion()
        {
            out.push(RawEvent::data(self.frame.written("[]", Some(&usage))));
        }
        out.push(RawEvent::done());
    }
}
