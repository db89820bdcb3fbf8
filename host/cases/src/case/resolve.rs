//! From what a case's file says to what is run: each part checked, with the place of the first
//! mistake.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Map, Value};
use tollgate_capabilities::Place;
use tollgate_sandbox::{
    check_path,
    contract::{Ending, Endpoint, Event, Target, Usage},
};

use super::{Answer, Call, Case, Document, Given, Request};
use crate::{
    budget::{self, Budget},
    file::{self, CaseFile},
    moment,
};

/// 2026-01-01T00:00:00Z: the time of a case that names none.
const NOW_MS: u64 = 1_767_225_600_000;

/// The case, without its text.
///
/// # Errors
/// The first mistake.
pub(super) fn resolve(file: &Path, written: CaseFile) -> Result<Case, At> {
    let is_stream = written.answer.events.is_some();
    let request = request(written.request)?;
    let expected = written.expect.as_ref().map(expect).transpose()?;
    Ok(Case {
        name: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        file: file.to_owned(),
        text: String::new(),
        about: written.about,
        budget: bounds(&written.budget)?,
        settings: Value::Object(written.settings),
        given: given(written.given)?,
        request,
        is_at_target: written.target.is_some(),
        endpoints: endpoints(written.target.as_ref())?,
        target: target(written.target.unwrap_or_default()),
        answer: answer(written.answer, is_stream)?,
        expect: expected,
    })
}

/// A mistake, and the pointer to where it stands.
pub(super) struct At(pub(super) String, pub(super) String);

impl At {
    fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self(pointer.to_owned(), message.into())
    }
}

/// What must come of it; every part says something.
fn expect(written: &file::Expect) -> Result<Value, At> {
    let value = serde_json::to_value(written);
    let value = value.map_err(|error| At::new("/expect", error.to_string()))?;
    let parts = value.as_object().into_iter().flatten();
    let mut empty = parts.filter(|(_, part)| part.as_object().is_some_and(Map::is_empty));
    if value.as_object().is_some_and(Map::is_empty) {
        return Err(At::new(
            "/expect",
            "nothing is expected, so the case cannot fail",
        ));
    }
    match empty.next() {
        None => Ok(value.clone()),
        Some((hook, _)) => Err(At(
            format!("/expect/{hook}"),
            format!("nothing is expected of `{hook}`: say what, or `null` if it is not called"),
        )),
    }
}

fn endpoints(target: Option<&file::Target>) -> Result<Vec<Endpoint>, At> {
    let written = target.map(|target| target.endpoints.as_slice());
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (nth, endpoint) in written.unwrap_or_default().iter().enumerate() {
        let address = &endpoint.address;
        if endpoints.iter().any(|known| known.address == *address) {
            let at = format!("/target/endpoints/{nth}/address");
            return Err(At(at, format!("`{address}` stands there twice")));
        }
        endpoints.push(Endpoint {
            address: address.clone(),
            weight: endpoint.weight.unwrap_or(1),
            in_flight: endpoint.in_flight,
            latency_ms: endpoint.latency_ms,
            running: endpoint.running,
            waiting: endpoint.waiting,
            cache_use: endpoint.cache_use,
            tried: endpoint.tried,
        });
    }
    Ok(endpoints)
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

fn bounds(written: &file::BudgetFile) -> Result<Budget, At> {
    let here = |key: &str| {
        let pointer = format!("/budget/{key}");
        move |message| At(pointer, message)
    };
    Ok(Budget {
        time: (written.time.as_deref().map(budget::time).transpose()).map_err(here("time"))?,
        memory_bytes: (written.memory.as_deref().map(budget::memory).transpose())
            .map_err(here("memory"))?,
        host_calls: written.host_calls,
    })
}
