//! A case: its text, and what was read from it.
//!
//! Everything is checked when it is read, so that running a case cannot meet a mistake of
//! its author's. Bounded in number and size.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Map, Value};
use tollgate_capabilities::Place;
use tollgate_config::{Problem, parse_size, problem_at, read_yaml};
use tollgate_sandbox::{
    check_path,
    contract::{Ending, Event, Target, Usage},
};

use crate::{
    file::{self, CaseFile, Fails, Store},
    moment,
};

/// Of one folder.
const CASES_MAX: usize = 1_000;
/// Of one case.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// 2026-01-01T00:00:00Z: the time of a case that names none.
const NOW_MS: u64 = 1_767_225_600_000;

/// Why a case cannot be read; `Display` is a whole message for its author.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The text is wrong.
    #[error("{0}")]
    Wrong(Box<Problem>),
    /// The file system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than a case may have.
    #[error("{}: larger than a case may be: {} KiB", path.display(), BYTES_MAX >> 10)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// More than a folder may have.
    #[error("{}: more than {CASES_MAX} cases", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// What a case may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of the dearest hook.
    pub time: Option<Duration>,
    /// The largest memory of an instance.
    pub memory_bytes: Option<u64>,
    /// Of the hook that makes most.
    pub host_calls: Option<u32>,
}

impl Budget {
    /// Reads `time=1ms,memory=1MiB,host_calls=10`, any of them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not `time=…`, `memory=…` or `host_calls=…`"))?;
            match key.trim() {
                "time" => budget.time = Some(time(value.trim())?),
                "memory" => budget.memory_bytes = Some(memory(value.trim())?),
                "host_calls" => {
                    let count = value.trim().parse();
                    budget.host_calls = Some(count.map_err(|_| format!("`{value}` is no number"))?);
                }
                other => return Err(format!("there is no budget `{other}`")),
            }
        }
        Ok(budget)
    }

    /// What this one says, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            time: self.time.or(other.time),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            host_calls: self.host_calls.or(other.host_calls),
        }
    }
}

/// One case that can be run.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file's name without its ending.
    pub name: String,
    /// Where it stands, for messages.
    pub file: PathBuf,
    /// The file's text.
    pub text: String,
    /// What it shows, as its author says.
    pub about: Option<String>,
    /// What it may cost.
    pub budget: Budget,
    pub(crate) settings: Value,
    pub(crate) given: Given,
    pub(crate) request: Request,
    pub(crate) target: Target,
    /// Whether the policy is attached to it, and not to the route.
    pub(crate) is_at_target: bool,
    pub(crate) answer: Answer,
    /// `None`: the case says nothing of what must come of it.
    pub(crate) expect: Option<Value>,
}

/// What capabilities answer.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) kv: Vec<(String, Vec<u8>)>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) secrets: BTreeMap<String, Option<String>>,
    pub(crate) places: BTreeMap<IpAddr, Place>,
    pub(crate) calls: Vec<Call>,
    pub(crate) unavailable: Vec<Store>,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) result: Result<Document, Fails>,
}

#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) route: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) document: Document,
    /// `None`: it is no stream.
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) together: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) ending: Ending,
}

/// Reads every `*.yaml` and `*.yml` of a folder, by name; a folder that is not there has
/// none.
///
/// # Errors
/// The first case that cannot be read.
pub fn read_folder(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Unreadable { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable(folder))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_case = path
            .extension()
            .is_some_and(|is| is == "yaml" || is == "yml");
        if is_case && !hidden {
            files.push(path);
        }
        if files.len() > CASES_MAX {
            let path = folder.to_owned();
            return Err(CaseError::TooMany { path });
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
        if size > BYTES_MAX as u64 {
            return Err(CaseError::TooLarge { path });
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        Case::read(&path, text)
    };
    files.into_iter().map(read).collect()
}

impl Case {
    /// Reads a case; `file` is where its text stands, and what names it.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn read(file: &Path, text: String) -> Result<Self, CaseError> {
        if text.len() > BYTES_MAX {
            let path = file.to_owned();
            return Err(CaseError::TooLarge { path });
        }
        let wrong = |problem| CaseError::Wrong(Box::new(problem));
        let written: CaseFile = read_yaml(&text, file).map_err(wrong)?;
        let resolved = Self::resolve(file, written);
        resolved
            .map(|case| Self {
                text: text.clone(),
                ..case
            })
            .map_err(|At(pointer, message)| wrong(problem_at(&text, file, &pointer, &message)))
    }

    /// What the plugin is set to.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// Whether it shows that something never goes live.
    #[must_use]
    pub fn is_refused_at_load(&self) -> bool {
        let expect = self.expect.as_ref();
        expect.is_some_and(|expect| {
            expect
                .get("load_error")
                .is_some_and(|error| !error.is_null())
        })
    }

    fn resolve(file: &Path, written: CaseFile) -> Result<Self, At> {
        let is_stream = written.answer.events.is_some();
        let request = request(written.request)?;
        let expect = match &written.expect {
            Some(expect) => {
                let value = serde_json::to_value(expect);
                Some(value.map_err(|error| At::new("/expect", error.to_string()))?)
            }
            None => None,
        };
        if expect
            .as_ref()
            .is_some_and(|expect| expect.as_object().is_some_and(Map::is_empty))
        {
            return Err(At::new(
                "/expect",
                "nothing is expected, so the case cannot fail",
            ));
        }
        Ok(Self {
            name: file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            file: file.to_owned(),
            text: String::new(),
            about: written.about,
            budget: budget(&written.budget)?,
            settings: Value::Object(written.settings),
            given: given(written.given)?,
            request,
            is_at_target: written.target.is_some(),
            target: target(written.target.unwrap_or_default()),
            answer: answer(written.answer, is_stream)?,
            expect,
        })
    }
}

/// A mistake, and the pointer to where it stands.
struct At(String, String);

impl At {
    fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self(pointer.to_owned(), message.into())
    }
}

fn target(written: file::Target) -> Target {
    Target {
        upstream: written.upstream.unwrap_or_else(|| "upstream".to_owned()),
        dialect: written.dialect.unwrap_or_else(|| "openai".to_owned()),
        model: written.model,
        attempt: written.attempt.unwrap_or(1),
    }
}

fn request(written: file::Request) -> Result<Request, At> {
    let method = written.method.as_deref().unwrap_or("POST");
    let path = written
        .path
        .unwrap_or_else(|| "/v1/chat/completions".to_owned());
    check_path(&path).map_err(|fault| At::new("/request/path", format!("no path: {fault}")))?;
    let mut headers = headers(&written.headers, "/request/headers")?;
    let body = body(written.json, written.body, ("/request", &mut headers))?;
    Ok(Request {
        method: method
            .parse()
            .map_err(|_| At::new("/request/method", format!("`{method}` is no method")))?,
        path,
        headers,
        body,
        facts: written.facts,
        route: written.route.unwrap_or_else(|| "case".to_owned()),
    })
}

fn answer(written: file::Answer, is_stream: bool) -> Result<Answer, At> {
    let document = file::Document {
        status: written.status,
        headers: written.headers,
        json: written.json,
        body: written.body,
    };
    if is_stream && (document.json.is_some() || document.body.is_some()) {
        return Err(At::new(
            "/answer/events",
            "an answer is a stream or a document, not both",
        ));
    }
    let mut document = self::document(document, "/answer")?;
    if is_stream {
        let stream = HeaderValue::from_static("text/event-stream");
        document.headers.entry(CONTENT_TYPE).or_insert(stream);
    }
    let event = |event: file::EventFile| Event {
        name: event.name,
        data: match event.data {
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        },
    };
    Ok(Answer {
        document,
        events: written
            .events
            .map(|events| events.into_iter().map(event).collect()),
        together: written.together,
        usage: written.usage.map(|usage| Usage {
            input_tokens: usage.input,
            output_tokens: usage.output,
            cached_tokens: usage.cached,
        }),
        ending: match written.ending {
            None | Some(file::Ending::Complete) => Ending::Complete,
            Some(file::Ending::ClientGone) => Ending::ClientGone,
            Some(file::Ending::UpstreamFailed) => Ending::UpstreamFailed,
            Some(file::Ending::Cut) => Ending::Cut,
            Some(file::Ending::TimedOut) => Ending::TimedOut,
        },
    })
}

fn document(written: file::Document, at: &str) -> Result<Document, At> {
    let status = written.status.unwrap_or(200);
    if !(200..=599).contains(&status) {
        let pointer = format!("{at}/status");
        return Err(At(
            pointer,
            format!("{status} is no status of an answer: 200 to 599"),
        ));
    }
    let mut headers = headers(&written.headers, &format!("{at}/headers"))?;
    let body = body(written.json, written.body, (at, &mut headers))?;
    Ok(Document {
        status,
        headers,
        body,
    })
}

fn body(
    json: Option<Value>,
    text: Option<String>,
    (at, headers): (&str, &mut HeaderMap),
) -> Result<Bytes, At> {
    match (json, text) {
        (Some(_), Some(_)) => Err(At(
            format!("{at}/body"),
            "`json` and `body` are one and the same: write one of them".to_owned(),
        )),
        (Some(json), None) => {
            let kind = HeaderValue::from_static("application/json");
            headers.entry(CONTENT_TYPE).or_insert(kind);
            Ok(json.to_string().into())
        }
        (None, text) => Ok(text.unwrap_or_default().into()),
    }
}

fn headers(written: &Map<String, Value>, at: &str) -> Result<HeaderMap, At> {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let here = |message: &str| At(format!("{at}/{name}"), message.to_owned());
        let known = HeaderName::from_bytes(name.as_bytes());
        let known = known.map_err(|_| here("this is no header's name"))?;
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(is) => is.to_string(),
                _ => return Err(here("a header's value is a text, or a list of them")),
            };
            let value = HeaderValue::from_str(&text);
            headers.append(
                &known,
                value.map_err(|_| here("this is no header's value"))?,
            );
        }
    }
    Ok(headers)
}

fn given(written: file::Given) -> Result<Given, At> {
    let now_ms = match &written.now {
        None => NOW_MS,
        Some(text) => moment::read(text).ok_or_else(|| {
            At::new(
                "/given/now",
                "no time in UTC, such as `2026-01-31T12:00:00Z`",
            )
        })?,
    };
    let kv = written.kv.into_iter().map(|(key, value)| {
        let bytes = match value {
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        };
        (key, bytes)
    });
    let limits = written
        .limits
        .into_iter()
        .map(|(bucket, used)| (bucket, used.used));
    let mut places = BTreeMap::new();
    for (address, place) in written.places {
        let here = || {
            At(
                format!("/given/places/{address}"),
                "this is no address".to_owned(),
            )
        };
        let known = address.parse().map_err(|_| here())?;
        let place = Place {
            country: place.country,
            region: place.region,
            continent: place.continent,
            city: place.city,
        };
        places.insert(known, place);
    }
    let calls = written.calls.into_iter().enumerate().map(|(nth, call)| {
        let at = format!("/given/calls/{nth}");
        let result = match (call.answer, call.fails) {
            (Some(_), Some(_)) => {
                return Err(At(at, "a call has an answer or fails, not both".to_owned()));
            }
            (Some(answer), None) => Ok(document(answer, &format!("{at}/answer"))?),
            (None, Some(fails)) => Err(fails),
            (None, None) => Ok(document(file::Document::default(), &at)?),
        };
        Ok(Call {
            method: call.method.unwrap_or_else(|| "GET".to_owned()),
            url: call.url,
            result,
        })
    });
    Ok(Given {
        now_ms,
        seed: written.random,
        kv: kv.collect(),
        limits: limits.collect(),
        secrets: written.secrets,
        places,
        calls: calls.collect::<Result<_, _>>()?,
        unavailable: written.unavailable,
    })
}

fn budget(written: &file::BudgetFile) -> Result<Budget, At> {
    let here = |key: &str| {
        let pointer = format!("/budget/{key}");
        move |message| At(pointer, message)
    };
    Ok(Budget {
        time: (written.time.as_deref().map(time).transpose()).map_err(here("time"))?,
        memory_bytes: (written.memory.as_deref().map(memory).transpose())
            .map_err(here("memory"))?,
        host_calls: written.host_calls,
    })
}

fn time(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let micros = match unit {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => 0,
    };
    let number = number.parse::<u64>().ok().filter(|_| micros > 0);
    let total = number.and_then(|number| number.checked_mul(micros));
    total
        .map(Duration::from_micros)
        .ok_or_else(|| format!("`{text}` is no time such as `200us` or `1ms`"))
}

fn memory(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("`{text}` is no size such as `512KiB` or `1MiB`"))
}
