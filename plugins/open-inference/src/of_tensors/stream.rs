//! The chunks of a completion as the events of `generate_stream`.
//!
//! The event that says that it is done comes last, once the upstream's own mark came or,
//! where the gateway keeps that, its stream ended.

use tollgate_sdk::RawEvent;

use super::Generate;
use crate::{
    at::At,
    broken::{Broken, read},
    json::{Fields, count, quoted},
    said::Usage,
    settings::{Body, Protocol},
};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    asked: Generate,
    usage: Usage,
    reason: Option<String>,
    is_over: bool,
}

impl Stream {
    pub(crate) fn new(asked: Generate) -> Self {
        Self {
            asked,
            usage: Usage::default(),
            reason: None,
            is_over: false,
        }
    }

    /// What the client is sent for one event.
    ///
    /// # Errors
    /// The stream goes no further.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.is_over {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.end(out);
        }
        let said = read(data, Protocol::OpenAi)?;
        let mut chunk = Fields::of(said, At::Root)?;
        let choices = chunk.need_list("choices")?;
        let at = At::Root.field("choices");
        for (place, choice) in choices.into_iter().enumerate() {
            let at = at.item(place);
            let mut choice = Fields::of(choice, at)?;
            let index = choice
                .take("index")
                .map_or(Some(0), |index| count(index.get()));
            let index = index.and_then(|index| usize::try_from(index).ok());
            let Some(index) = index.filter(|index| *index < self.asked.count()) else {
                return Err(choice.expected("index", "the place of a prompt").into());
            };
            let text = choice.text("text")?.unwrap_or_default();
            if !text.is_empty() {
                let mut texts = vec!["\"\"".to_owned(); index];
                texts.push(quoted(&text));
                self.send(&texts, out);
            }
            self.reason = choice.text("finish_reason")?.or(self.reason.take());
        }
        self.usage.see(Usage::of_openai(chunk.take("usage")));
        Ok(())
    }

    /// The upstream ended its stream.
    ///
    /// # Errors
    /// It should not have.
    pub(crate) fn end(&mut self, out: &mut Vec<RawEvent>) -> Result<(), Broken> {
        if self.is_over {
            return Ok(());
        }
        if self.reason.is_none() {
            return Err(Broken::new("it ended without `finish_reason`"));
        }
        self.is_over = true;
        let texts = vec!["\"\"".to_owned(); self.asked.count()];
        let mut event = self.asked.said(&texts);
        if self.asked.mapping.body == Body::Text {
            event.put("done", &true);
        }
        self.asked
            .put_end(&mut event, self.reason.as_deref(), self.usage);
        out.push(RawEvent::data(event.into_text()));
        Ok(())
    }

    fn send(&self, texts: &[String], out: &mut Vec<RawEvent>) {
        let mut event = self.asked.said(texts);
        if self.asked.mapping.body == Body::Text {
            event.put("done", &false);
        }
        out.push(RawEvent::data(event.into_text()));
    }
}
