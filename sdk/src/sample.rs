//! Samples: exchanges that a plugin ships with itself.

use serde::Serialize;

use crate::{Expectation, Header, RawEvent, Sample};

const QUESTION: &str = r#"{"model":"sample","messages":[{"role":"user","content":"hello"}]}"#;
const ANSWER: &str = r#"{"id":"sample","object":"chat.completion","model":"sample","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;

impl Sample {
    /// A small chat request and its answer; expected to run, whatever comes of it.
    ///
    /// ```
    /// use tollgate_sdk::Sample;
    ///
    /// assert_eq!(Sample::chat("plain").path, "/v1/chat/completions");
    /// ```
    pub fn chat(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![Header {
                name: "content-type".to_owned(),
                value: b"application/json".to_vec(),
            }],
            body: QUESTION.to_owned(),
            facts: Vec::new(),
            response_status: 200,
            response_body: ANSWER.to_owned(),
            events: Vec::new(),
            expect: Expectation::Runs,
        }
    }

    /// Adds a request header.
    ///
    /// ```
    /// use tollgate_sdk::Sample;
    ///
    /// let sample = Sample::chat("with a key").header("authorization", "Bearer x");
    /// assert_eq!(sample.headers.len(), 2);
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets a fact that an earlier policy would have set.
    ///
    /// ```
    /// use tollgate_sdk::Sample;
    ///
    /// let sample = Sample::chat("known").fact("caller", "ann");
    /// assert_eq!(sample.facts.len(), 1);
    /// ```
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// Sets the request body.
    ///
    /// ```
    /// use tollgate_sdk::Sample;
    ///
    /// let sample = Sample::chat("other model").body(&serde_json::json!({ "model": "x", "messages": [] }));
    /// assert!(sample.body.contains("\"x\""));
    /// ```
    #[must_use]
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_string(body).unwrap_or_default();
        self
    }

    /// Sets what the upstream answers.
    ///
    /// ```
    /// use tollgate_sdk::Sample;
    ///
    /// let sample = Sample::chat("failing upstream").response(500, &serde_json::json!({ "error": {} }));
    /// assert_eq!(sample.response_status, 500);
    /// ```
    #[must_use]
    pub fn response(mut self, status: u16, body: &impl Serialize) -> Self {
        self.response_status = status;
        self.response_body = serde_json::to_string(body).unwrap_or_default();
        self
    }

    /// Makes the upstream answer with a stream.
    ///
    /// ```
    /// use tollgate_sdk::{RawEvent, Sample};
    ///
    /// let sample = Sample::chat("streamed").events([RawEvent::text("hi"), RawEvent::done()]);
    /// assert_eq!(sample.events.len(), 2);
    /// ```
    #[must_use]
    pub fn events(mut self, events: impl IntoIterator<Item = RawEvent>) -> Self {
        self.events = events.into_iter().collect();
        self
    }

    /// Expects the request to reach the upstream.
    ///
    /// ```
    /// use tollgate_sdk::{Expectation, Sample};
    ///
    /// assert_eq!(Sample::chat("plain").expect_forwarded().expect, Expectation::Forwarded);
    /// ```
    #[must_use]
    pub fn expect_forwarded(mut self) -> Self {
        self.expect = Expectation::Forwarded;
        self
    }

    /// Expects an answer without the upstream, of this status.
    ///
    /// ```
    /// use tollgate_sdk::{Expectation, Sample};
    ///
    /// assert_eq!(Sample::chat("no key").expect_answer(401).expect, Expectation::Answered(401));
    /// ```
    #[must_use]
    pub fn expect_answer(mut self, status: u16) -> Self {
        self.expect = Expectation::Answered(status);
        self
    }
}
