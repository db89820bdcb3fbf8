//! Verdicts in one line each.

use serde::Serialize;

use crate::{Answer, Destination, Header, Refusal, Verdict};

impl Verdict {
    /// Carry on with the next policy.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// assert_eq!(Verdict::next(), Verdict::Next);
    /// ```
    #[must_use]
    pub fn next() -> Self {
        Self::Next
    }

    /// Refuse with a status, a stable code for programs and a message for people.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// let verdict = Verdict::refuse(429, "too_many", "Slow down.").retry_after_ms(2000);
    /// let Verdict::Refuse(refusal) = verdict else { unreachable!() };
    /// assert_eq!(refusal.retry_after_ms, Some(2000));
    /// ```
    pub fn refuse(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Refuse(Refusal::new(status, code, message))
    }

    /// Answer at once.
    ///
    /// ```
    /// use tollgate_sdk::{Answer, Verdict};
    ///
    /// let verdict = Verdict::reply(Answer::new(204));
    /// assert!(matches!(verdict, Verdict::Reply(_)));
    /// ```
    #[must_use]
    pub fn reply(answer: Answer) -> Self {
        Self::Reply(answer)
    }

    /// Carry on, to another model.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// let verdict = Verdict::go_to_model("llama-3").via_upstream("vllm");
    /// let Verdict::GoTo(destination) = verdict else { unreachable!() };
    /// assert_eq!(destination.upstream.as_deref(), Some("vllm"));
    /// ```
    pub fn go_to_model(model: impl Into<String>) -> Self {
        Self::GoTo(Destination {
            model: Some(model.into()),
            upstream: None,
        })
    }

    /// Carry on, to an upstream by its name in the configuration.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// let verdict = Verdict::go_to_upstream("vllm");
    /// assert!(matches!(verdict, Verdict::GoTo(_)));
    /// ```
    pub fn go_to_upstream(upstream: impl Into<String>) -> Self {
        Self::GoTo(Destination {
            model: None,
            upstream: Some(upstream.into()),
        })
    }

    /// Adds the upstream to a verdict that names a model; no other verdict changes.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// assert_eq!(Verdict::next().via_upstream("vllm"), Verdict::next());
    /// ```
    #[must_use]
    pub fn via_upstream(mut self, upstream: impl Into<String>) -> Self {
        if let Self::GoTo(destination) = &mut self {
            destination.upstream = Some(upstream.into());
        }
        self
    }

    /// Tells a refused client when to come back; no other verdict changes.
    ///
    /// ```
    /// use tollgate_sdk::Verdict;
    ///
    /// let verdict = Verdict::refuse(503, "warming_up", "Not yet.").retry_after_ms(250);
    /// assert!(matches!(verdict, Verdict::Refuse(refusal) if refusal.retry_after_ms == Some(250)));
    /// ```
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u32) -> Self {
        if let Self::Refuse(refusal) = &mut self {
            refusal.retry_after_ms = Some(milliseconds);
        }
        self
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<Answer> for Verdict {
    fn from(answer: Answer) -> Self {
        Self::Reply(answer)
    }
}

impl Refusal {
    /// A refusal without a time to come back.
    ///
    /// ```
    /// use tollgate_sdk::Refusal;
    ///
    /// assert_eq!(Refusal::new(401, "missing_api_key", "Send a key.").status, 401);
    /// ```
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// When the client may try again.
    ///
    /// ```
    /// use tollgate_sdk::Refusal;
    ///
    /// let refusal = Refusal::new(429, "too_many", "Slow down.").retry_after_ms(10);
    /// assert_eq!(refusal.retry_after_ms, Some(10));
    /// ```
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u32) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

impl Answer {
    /// An answer without headers or body.
    ///
    /// ```
    /// use tollgate_sdk::Answer;
    ///
    /// assert!(Answer::new(204).body.is_empty());
    /// ```
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    ///
    /// ```
    /// use tollgate_sdk::Answer;
    ///
    /// assert_eq!(Answer::new(204).header("x-from", "cache").headers.len(), 1);
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets the body; the host writes its length.
    ///
    /// ```
    /// use tollgate_sdk::Answer;
    ///
    /// assert_eq!(Answer::new(200).body("hello").body, b"hello");
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    ///
    /// ```
    /// use tollgate_sdk::Answer;
    ///
    /// let answer = Answer::new(200).json(&serde_json::json!({ "ok": true }));
    /// assert_eq!(answer.headers[0].value, b"application/json");
    /// ```
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
        self.header("content-type", "application/json").body(body)
    }
}
