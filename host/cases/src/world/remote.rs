//! Calls over HTTP, answered by the case.

use std::time::Duration;

use parking_lot::Mutex;
use tollgate_capabilities::{Answer, HttpCaller, HttpError, HttpRequest, HttpResponse};
use tollgate_config::HttpCallGrant;

use super::{Notes, cut};
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
        let (method, url) = (cut(&request.method), cut(&request.url));
        let bytes = request.body.len();
        let sent = if bytes == 0 {
            String::new()
        } else {
            format!(", {bytes} bytes")
        };
        let line = format!("http.send({method} {url}{sent}) -> {told}");
        self.notes.call(line);
        Answer::Ready(answered)
    }
}
