//! One exchange, after its request was translated.

use tollgate_sdk::{Event, RawEvent, Request, Response, Target, clock, random};

use crate::{
    at::At,
    broken::Broken,
    completions::{self, Frame},
    embeddings,
    fault::Fault,
    json,
    of_tensors::{self, Embed, Generate, Named},
    path::{self, Endpoint, Operation},
    problem::Problem,
    seldon,
    settings::{Protocol, Settings},
    terms::Terms,
};

/// See the module.
pub(crate) struct Exchange {
    settings: &'static Settings,
    task: Task,
}

/// What was asked, and what an answer to it becomes.
enum Task {
    /// By an OpenAI client, with its name of the model.
    Embeddings(embeddings::Asked, String),
    Completion(completions::Asked, Frame),
    CompletionStream(completions::stream::Stream),
    /// By a client of V2, of an OpenAI upstream.
    Embed(Embed),
    Generate(Generate),
    GenerateStream(Generate, of_tensors::stream::Stream),
    /// By a client of Seldon's.
    Seldon(seldon::Asked),
    /// By a client of V2, of Seldon.
    Predict(seldon::Predict),
}

/// What the request is, besides its body.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// As the client calls it.
    pub(crate) model: Option<&'a str>,
    pub(crate) target: &'a Target,
}

/// The header of Triton's and KServe's extension for tensors in binary.
pub(crate) const BINARY: &str = "inference-header-content-length";

impl Exchange {
    /// Translates the request.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn begin(
        settings: &'static Settings,
        asked: &Asked,
        request: &mut Request,
    ) -> Result<Self, Problem> {
        if request.header(BINARY).is_some() {
            return Err(Problem::binary());
        }
        if is_encoded(request) {
            return Err(Problem::encoded());
        }
        let body = request.body(usize::MAX);
        let body = json::read(&body)
            .ok_or_else(|| Fault::expected(At::Root, "a JSON object"))
            .map_err(|fault| Problem::request(&fault))?;
        let mut terms = Terms::new(settings);
        let ready = Self::translate(settings, asked, body, &mut terms)
            .map_err(|fault| Problem::request(&fault))?;
        terms.tell();
        let (written, task) = ready;
        let path = upstream_path(settings, asked, &task).ok_or_else(Problem::model)?;
        request.set_path(path);
        request.set_header("content-type", "application/json");
        request.replace_body(written);
        Ok(Self { settings, task })
    }

    fn translate(
        settings: &'static Settings,
        asked: &Asked,
        body: &str,
        terms: &mut Terms,
    ) -> Result<(String, Task), Fault> {
        let operation = asked.endpoint.operation;
        match (settings.client, settings.upstream) {
            (Protocol::OpenAi, _) => match (operation, &settings.embeddings, &settings.completions)
            {
                (Operation::Embeddings, Some(mapping), _) => {
                    let (written, task) = embeddings::ask(body, mapping, terms)?;
                    Ok((written, Task::Embeddings(task, asked.name())))
                }
                (_, _, Some(mapping)) => {
                    let (written, task) = completions::ask(body, mapping, terms)?;
                    let frame = asked.frame();
                    let task = match task.is_stream {
                        true => {
                            Task::CompletionStream(completions::stream::Stream::new(task, frame))
                        }
                        false => Task::Completion(task, frame),
                    };
                    Ok((written, task))
                }
                (_, _, None) => Err(not_mapped()),
            },
            (Protocol::Seldon, _) => {
                let (written, task) = seldon::Asked::ask(body, settings.seldon(), terms)?;
                Ok((written, Task::Seldon(task)))
            }
            (Protocol::OpenInference, Protocol::Seldon) => {
                let named = asked.named();
                let (written, task) = seldon::Predict::ask(body, settings.seldon(), named, terms)?;
                Ok((written, Task::Predict(task)))
            }
            (Protocol::OpenInference, _) => of_v2(settings, asked, body, terms),
        }
    }

    /// Translates an answer or an error; a stream has yet to come.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, response: &mut Response) -> Result<(), Problem> {
        let status = response.status();
        if is_stream(response) || (300..400).contains(&status) {
            return Ok(());
        }
        let body = response.body(usize::MAX);
        let is_readable = response.header(BINARY).is_none() && !is_encoded(response);
        let body = is_readable.then(|| json::read(&body)).flatten();
        let (settings, client) = (self.settings, self.settings.client);
        let failure = match settings.upstream {
            Protocol::Seldon => body.and_then(seldon::failure),
            Protocol::OpenInference | Protocol::OpenAi => None,
        };
        let written = match (status, failure) {
            (..300, None) => {
                let body = body
                    .ok_or_else(|| Fault::expected(At::Root, "JSON, without binary tensors"))
                    .map_err(|fault| Problem::answer(&fault))?;
                self.task
                    .answer(body)
                    .map_err(|fault| Problem::answer(&fault))?
            }
            (..300, Some(status)) => {
                response.set_status(status);
                Problem::said(settings.upstream, body, status).written(client)
            }
            _ => Problem::said(settings.upstream, body, status).written(client),
        };
        response.remove_header(BINARY);
        response.remove_header("content-encoding");
        response.set_header("content-type", "application/json");
        response.replace_body(written);
        Ok(())
    }

    pub(crate) fn event(&mut self, event: &mut Event) {
        let mut out = Vec::new();
        let done = match &mut self.task {
            Task::CompletionStream(stream) => stream.event(event.data(), &mut out),
            Task::GenerateStream(_, stream) => stream.event(event.data(), &mut out),
            _ => Err(Broken::new("there is one, and none was asked for")),
        };
        event.discard();
        for sent in out {
            event.send_before(sent);
        }
        if let Err(broken) = done {
            event.send_before(broken.event(self.settings.client));
            event.end_stream();
        }
    }

    pub(crate) fn end(&mut self) -> Vec<RawEvent> {
        let mut out = Vec::new();
        let done = match &mut self.task {
            Task::CompletionStream(stream) => stream.end(&mut out),
            Task::GenerateStream(_, stream) => stream.end(&mut out),
            _ => Err(Broken::new("there is one, and none was asked for")),
        };
        out.extend(done.err().map(|broken| broken.event(self.settings.client)));
        out
    }
}

/// What a client of V2 asks an OpenAI upstream.
fn of_v2(
    settings: &'static Settings,
    asked: &Asked,
    body: &str,
    terms: &mut Terms,
) -> Result<(String, Task), Fault> {
    let (named, model) = (asked.named(), asked.target_model());
    let operation = asked.endpoint.operation;
    if operation == Operation::Infer
        && let Some(mapping) = &settings.embeddings
    {
        let (written, task) = Embed::ask(body, mapping, (named, model), terms)?;
        return Ok((written, Task::Embed(task)));
    }
    let mapping = settings.completions.as_ref().ok_or_else(not_mapped)?;
    let is_stream = operation == Operation::GenerateStream;
    let (written, task) = Generate::ask(body, mapping, (named, model, is_stream), terms)?;
    let task = match is_stream {
        true => Task::GenerateStream(task.clone(), of_tensors::stream::Stream::new(task)),
        false => Task::Generate(task),
    };
    Ok((written, task))
}

fn not_mapped() -> Fault {
    Fault::expected(At::Root, "what the settings have a mapping for")
}

impl Task {
    fn answer(&self, body: &str) -> Result<String, Fault> {
        match self {
            Self::Embeddings(asked, model) => asked.answer(body, model),
            Self::Completion(asked, frame) => asked.answer(body, frame),
            Self::CompletionStream(stream) => stream.whole(body),
            Self::Embed(asked) => asked.answer(body),
            Self::Generate(asked) | Self::GenerateStream(asked, _) => asked.answer(body),
            Self::Seldon(asked) => asked.answer(body),
            Self::Predict(asked) => asked.answer(body),
        }
    }
}

impl Asked<'_> {
    fn name(&self) -> String {
        let name = self.model.or(self.target.model.as_deref());
        name.or(self.endpoint.model.as_deref())
            .unwrap_or_default()
            .to_owned()
    }

    /// As the upstream calls it.
    fn target_model(&self) -> &str {
        let name = self.target.model.as_deref().or(self.model);
        name.or(self.endpoint.model.as_deref()).unwrap_or_default()
    }

    fn named(&self) -> Named {
        let model = self.endpoint.model.clone();
        Named {
            model: model.unwrap_or_else(|| self.name()),
            version: self.endpoint.version.clone(),
            id: None,
        }
    }

    fn frame(&self) -> Frame {
        Frame {
            id: format!(
                "cmpl-{:016x}{:016x}",
                random::next_u64(),
                random::next_u64()
            ),
            created: clock::now_ms() / 1000,
            model: self.name(),
        }
    }
}

/// `None`: no path can name the model.
fn upstream_path(settings: &Settings, asked: &Asked, task: &Task) -> Option<String> {
    let of_model = |operation| {
        let version = settings.version.as_deref();
        path::of_model(asked.target_model(), version, operation)
    };
    match task {
        Task::Embeddings(..) => of_model(Operation::Infer),
        Task::Completion(asked, _) => of_model(asked.operation()),
        Task::CompletionStream(_) => of_model(Operation::GenerateStream),
        Task::Seldon(_) => {
            let model = (asked.target.model.as_deref())
                .or(asked.endpoint.model.as_deref())
                .or(settings.seldon().model.as_deref());
            path::of_model(model?, settings.version.as_deref(), Operation::Infer)
        }
        Task::Embed(_) => Some("/v1/embeddings".to_owned()),
        Task::Generate(_) | Task::GenerateStream(..) => Some("/v1/completions".to_owned()),
        Task::Predict(_) => Some(settings.seldon().path().to_owned()),
    }
}

fn is_encoded(message: &tollgate_sdk::Message) -> bool {
    let coding = message.header("content-encoding");
    coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

fn is_stream(response: &Response) -> bool {
    let kind = response.header_str("content-type");
    kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/event-stream")
    })
}
