//! One exchange, after its request was translated.

use serde_json::Value;
use tollgate_sdk::{Event, RawEvent, Request, Response, Value as Said, clock};

use crate::{
    at::At,
    chunk::Broken,
    fault::Fault,
    headers, json,
    problem::Problem,
    settings::{Settings, Side},
    terms::Terms,
    to_anthropic, to_openai,
};

/// See the module.
pub(crate) struct Exchange {
    settings: &'static Settings,
    /// Seconds since 1970.
    created: u64,
    stream: Stream,
}

/// By what the client speaks.
enum Stream {
    OpenAi(to_openai::stream::Stream),
    Anthropic(to_anthropic::stream::Stream),
}

impl Exchange {
    /// Translates the request.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn begin(settings: &'static Settings, request: &mut Request) -> Result<Self, Fault> {
        let body = request.json_value("").and_then(document);
        let (body, length) =
            body.ok_or_else(|| Fault::expected(At::Root, "a JSON object, not too deep"))?;
        let created = clock::now_ms() / 1000;
        let mut terms = Terms::new(settings);
        let (body, stream) = match settings.client {
            Side::OpenAi => {
                let (body, wants_usage) = to_anthropic::request::request(body, &mut terms)?;
                let stream = to_openai::stream::Stream::new(created, wants_usage, &terms);
                (body, Stream::OpenAi(stream))
            }
            Side::Anthropic => {
                let body = to_openai::request::request(body, &mut terms)?;
                let stream = to_anthropic::stream::Stream::new(&terms);
                (body, Stream::Anthropic(stream))
            }
        };
        terms.tell();
        headers::translate(request, settings);
        request.set_path(settings.upstream_path());
        request.replace_body(written(&body, length));
        Ok(Self {
            settings,
            created,
            stream,
        })
    }

    /// Translates an answer or an error; a stream has yet to come.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, response: &mut Response) -> Result<(), Fault> {
        let status = response.status();
        if is_stream(response) || (300..400).contains(&status) {
            return Ok(());
        }
        let said = response.json_value("").and_then(document);
        let length = said.as_ref().map_or(0, |(_, length)| *length);
        let body = said.map(|(body, _)| body);
        let body = if status < 300 {
            let body = body.ok_or_else(|| Fault::expected(At::Root, "JSON, not too deep"))?;
            self.translate(body)?
        } else {
            self.problem(body.as_ref(), response)
        };
        response.set_header("content-type", "application/json");
        response.replace_body(written(&body, length));
        Ok(())
    }

    fn translate(&self, body: Value) -> Result<Value, Fault> {
        let mut terms = Terms::new(self.settings);
        let answer = match self.settings.client {
            Side::OpenAi => to_openai::answer::answer(body, self.created, &mut terms),
            Side::Anthropic => to_anthropic::answer::answer(body, &mut terms),
        };
        terms.tell();
        answer
    }

    fn problem(&self, body: Option<&Value>, response: &mut Response) -> Value {
        let status = response.status();
        let unreadable = || Problem::of_status(status);
        match self.settings.client {
            Side::OpenAi => {
                // Only Anthropic has this one; it means what others say with 503.
                if status == 529 {
                    response.set_status(503);
                }
                let problem = body.and_then(|body| Problem::of_anthropic(body, status));
                problem.unwrap_or_else(unreadable).to_openai()
            }
            Side::Anthropic => {
                let problem = body.and_then(|body| Problem::of_openai(body, status));
                problem.unwrap_or_else(unreadable).to_anthropic()
            }
        }
    }

    pub(crate) fn event(&mut self, event: &mut Event) {
        let mut out = Vec::new();
        let done = match &mut self.stream {
            Stream::OpenAi(stream) => stream.event(event.data(), &mut out),
            Stream::Anthropic(stream) => stream.event(event.data(), &mut out),
        };
        event.discard();
        for sent in out {
            event.send_before(sent);
        }
        if let Err(broken) = done {
            event.send_before(self.told(broken));
            event.end_stream();
        }
    }

    pub(crate) fn end(&mut self) -> Vec<RawEvent> {
        let mut out = Vec::new();
        let done = match &mut self.stream {
            Stream::OpenAi(stream) => stream.end(),
            Stream::Anthropic(stream) => stream.end(&mut out),
        };
        out.extend(done.err().map(|broken| self.told(broken)));
        out
    }

    fn told(&self, broken: Broken) -> RawEvent {
        broken.event(self.settings.client)
    }
}

/// What a body says, and how long it is; the text is not kept beside it.
fn document(said: Said) -> Option<(Value, usize)> {
    match said {
        Said::Json(text) => Some((json::read(text.as_bytes())?, text.len())),
        said => Some((said.to_json(), 0)),
    }
}

/// Memory is short, so the buffer of a long body is not left to grow.
fn written(body: &Value, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + length / 64 + 256);
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut out, body);
    out
}

fn is_stream(response: &Response) -> bool {
    let kind = response.header_str("content-type");
    kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/event-stream")
    })
}
