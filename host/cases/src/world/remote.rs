//! Calls over HTTP, answered by the case.

use std::time::Duration;

use parking_lot::Mutex;
use tollgate_capabilities::{Answer, HttpCaller, HttpError, HttpRequest, HttpResponse};
use tollgate_config::HttpCallGrant;

use super::{Notes, cut, size};
use crate::{
    case::{Call, Given},
    file::Fails,
};

pub(super) struct Remote {
    /// Those that have not answered yet.
    left: Mutex<Vec<Call>>,
    notes: Notes,
}

impl Remote {
    pub(super) fn new(given: &Given, notes: Notes) -> Self {
        Self {
            left: Mutex::new(given.calls.clone()),
            notes,
        }
    }

    /// Those that nobody asked for.
    pub(super) fn unused(&self) -> Vec<String> {
        let left = self.left.lock();
        let names = left
            .iter()
            .map(|call| format!("{} {}", call.method, call.url));
        names.collect()
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut left = self.left.lock();
        let is_it = |call: &Call| call.method == request.method && call.url == request.url;
        let Some(nth) = left.iter().position(is_it) else {
            let what = format!(
                "the case gives no answer to {} {}",
                request.method, request.url
            );
            return Err(HttpError::Failed(what));
        };
        match left.remove(nth).result {
            Ok(document) => Ok(HttpResponse {
                status: document.status,
                headers: document
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                    .collect(),
                body: document.body,
            }),
            Err(Fails::Denied) => Err(HttpError::Denied("by the case".to_owned())),
            Err(Fails::TimedOut) => Err(HttpError::TimedOut),
            Err(Fails::TooLarge) => Err(HttpError::TooLarge),
            Err(Fails::Failed) => Err(HttpError::Failed("by the case".to_owned())),
        }
    }
}

impl HttpCaller for Remote {
    fn send(
        &self,
        request: HttpRequest,
        _grant: &HttpCallGrant,
        _remaining: Duration,
    ) -> Answer<Result<HttpResponse, HttpError>> {
        let answered = self.answer(&request);
        let told = match &answered {
            Ok(response) => format!("{}, {} bytes", response.status, response.body.len()),
            Err(error) => error.to_string(),
        };
        let line = format!("http.send({}) -> {told}", sent(&request));
        self.notes.call(line);
        Answer::Ready(answered)
    }
}

/// Its first line, the names of its headers (a value may be secret), and its body's size.
fn sent(request: &HttpRequest) -> String {
    let mut sent = format!("{} {}", cut(&request.method), cut(&request.url));
    if !request.headers.is_empty() {
        let names = request.headers.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.collect();
        sent.push_str(&format!(", headers {}", cut(&names.join(" "))));
    }
    if !request.body.is_empty() {
        sent.push_str(&format!(", {}", size(&request.body)));
    }
    sent
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::case::{Case, Document};

    fn remote(urls: &[&str]) -> (Remote, Notes) {
        let case = Case::read(std::path::Path::new("a.yaml"), "about: a\n".to_owned());
        let mut given = case.expect("is one").given;
        let call = |url: &&str| Call {
            method: "POST".to_owned(),
            url: (*url).to_owned(),
            result: Ok(Document {
                status: 200,
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"fine"),
            }),
        };
        given.calls = urls.iter().map(call).collect();
        let notes = Notes::default();
        (Remote::new(&given, notes.clone()), notes)
    }

    fn ask(remote: &Remote, url: &str, headers: &[&str], body: &'static str) {
        let headers = headers.iter();
        let headers = headers.map(|name| ((*name).to_owned(), b"secret".to_vec()));
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
            timeout: Duration::from_secs(1),
        };
        let grant = HttpCallGrant {
            hosts: Vec::new(),
            timeout: Duration::from_secs(1),
            max_response_bytes: 1,
            max_calls: 1,
        };
        let _ = remote.send(request, &grant, Duration::from_secs(1)).now();
    }

    #[test]
    fn a_call_is_told_with_its_headers_names_and_what_its_body_is() {
        let (remote, notes) = remote(&["http://a/"; 3]);
        ask(&remote, "http://a/", &[], "");
        ask(&remote, "http://a/", &["x-a", "x-b"], "one");
        ask(&remote, "http://a/", &[], "two");
        let mut step = crate::got::Step::new("on_request");
        notes.take_into(&mut step);
        assert_eq!(
            step.calls,
            [
                "http.send(POST http://a/) -> 200, 4 bytes",
                "http.send(POST http://a/, headers x-a x-b, 3 bytes, sha256 7692c3ad) -> 200, 4 bytes",
                "http.send(POST http://a/, 3 bytes, sha256 3fc4ccfe) -> 200, 4 bytes",
            ]
        );
    }

    #[test]
    fn answers_that_nobody_asked_for_are_named() {
        let (remote, _) = remote(&["http://a/", "http://b/"]);
        ask(&remote, "http://a/", &[], "");
        ask(&remote, "http://c/", &[], "");
        assert_eq!(remote.unused(), ["POST http://b/"]);
    }
}
