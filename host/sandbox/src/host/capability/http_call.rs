//! Calls over HTTP, as the contract words them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tollgate_capabilities as capability;

use super::super::State;
use crate::{
    contract::tollgate::policy::{http_call, types},
    recording::{Note, headers, outcome, text},
};

impl From<capability::HttpError> for http_call::Error {
    fn from(error: capability::HttpError) -> Self {
        match error {
            capability::HttpError::Denied(what) => Self::Denied(what),
            capability::HttpError::TimedOut => Self::TimedOut,
            capability::HttpError::TooLarge => Self::TooLarge,
            capability::HttpError::TooMany => Self::TooMany,
            capability::HttpError::Failed(what) => Self::Failed(what),
        }
    }
}

impl http_call::Host for State {
    async fn send(
        &mut self,
        request: http_call::Request,
    ) -> wasmtime::Result<Result<http_call::Response, http_call::Error>> {
        self.enter()?;
        let what = self.recorded.is_some().then(|| {
            json!({
                "method": text(request.method.as_bytes()), "url": text(request.url.as_bytes()),
                "headers": headers(&request.headers), "body": text(&request.body),
                "timeout-ms": request.timeout_ms,
            })
        });
        let sent = self.send(request).await;
        self.recorded.note(|to| {
            let shown = |response: &http_call::Response| {
                let (headers, body) = (headers(&response.headers), text(&response.body));
                json!({ "status": response.status, "headers": headers, "body": body })
            };
            to.call(
                "http-call.send",
                what.unwrap_or_default(),
                outcome(&sent, shown),
            );
        });
        Ok(sent)
    }
}

impl State {
    async fn send(
        &mut self,
        request: http_call::Request,
    ) -> Result<http_call::Response, http_call::Error> {
        let Some(grant) = &self.shared.grants.http_call else {
            return Err(http_call::Error::Denied(
                "http-call is not granted".to_owned(),
            ));
        };
        self.http_calls += 1;
        if self.http_calls > grant.max_calls {
            return Err(http_call::Error::TooMany);
        }
        let remaining = self
            .exchange
            .deadline
            .saturating_duration_since(Instant::now());
        let request = capability::HttpRequest {
            method: request.method,
            url: request.url,
            headers: request
                .headers
                .into_iter()
                .map(|h| (h.name, h.value))
                .collect(),
            body: Bytes::from(request.body),
            timeout: Duration::from_millis(request.timeout_ms.into()),
        };
        let answer = self
            .shared
            .capabilities
            .http
            .send(request, grant, remaining);
        match self.wait(answer).await {
            Ok(response) => Ok(http_call::Response {
                status: response.status,
                headers: response
                    .headers
                    .into_iter()
                    .map(|(name, value)| types::Header { name, value })
                    .collect(),
                body: response.body.into(),
            }),
            Err(error) => Err(error.into()),
        }
    }
}
