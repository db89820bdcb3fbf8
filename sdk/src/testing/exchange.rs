//! Exchanges to try a policy on.

use super::source::Source;
use crate::{Ending, Head, Header, Outcome, Sample, Usage, Value, pointer};

/// A request, and what is known about it.
///
/// ```
/// use tollgate_sdk::testing::Exchange;
///
/// let exchange = Exchange::chat()
///     .header("authorization", "Bearer k")
///     .json("/temperature", 1.5)
///     .fact("caller", "ann")
///     .streaming();
/// # let _ = exchange;
/// ```
#[derive(Debug, Clone)]
pub struct Exchange {
    pub(super) request: Source,
    route: String,
    deadline_ms: u32,
    is_streaming: bool,
}

impl Exchange {
    /// A small chat request.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat();
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn chat() -> Self {
        Self::of(&Sample::chat("chat"))
    }

    /// The request of a sample.
    ///
    /// ```
    /// use tollgate_sdk::{Sample, testing::Exchange};
    ///
    /// let exchange = Exchange::of(&Sample::chat("plain"));
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        let request = Source {
            method: sample.method.clone(),
            path: sample.path.clone(),
            status: 0,
            headers: sample.headers.clone(),
            body: sample.body.clone().into_bytes(),
            facts: sample.facts.clone(),
        };
        Self {
            request,
            route: "route".to_owned(),
            deadline_ms: 60_000,
            is_streaming: false,
        }
    }

    /// Sets the name of the route.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().route("internal");
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.route = route.into();
        self
    }

    /// Sets method and path.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().to("GET", "/v1/models?all");
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn to(mut self, method: impl Into<String>, path: impl Into<String>) -> Self {
        self.request.method = method.into();
        self.request.path = path.into();
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().header("x-tier", "gold");
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.request.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets a field of the JSON body.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().json("/model", "llama-3");
    /// # let _ = exchange;
    /// ```
    ///
    /// # Panics
    /// If the body is not JSON, or the pointer leads nowhere.
    #[must_use]
    pub fn json(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut document = self.request.document().expect("the body is JSON");
        if let Err(error) = pointer::set(&mut document, pointer, value.into().to_json()) {
            panic!("{pointer}: {error}");
        }
        self.request.body = document.to_string().into_bytes();
        self
    }

    /// Sets the body.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().body("not JSON");
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self
    }

    /// Sets a fact as an earlier policy would have.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().fact("caller", "ann");
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.facts.push((name.into(), value.into()));
        self
    }

    /// The client asks for a stream.
    ///
    /// ```
    /// let exchange = tollgate_sdk::testing::Exchange::chat().streaming();
    /// # let _ = exchange;
    /// ```
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.is_streaming = true;
        self.json("/stream", true)
    }

    pub(super) fn head(&self) -> Head {
        Head {
            route: self.route.clone(),
            method: self.request.method.clone(),
            path: self.request.path.clone(),
            model: self.request.json("/model").and_then(Value::parse),
            caller: self.request.fact("caller"),
            tier: self.request.fact("tier"),
            streaming: self.is_streaming,
            body_bytes: Some(self.request.body.len() as u64),
            deadline_ms: self.deadline_ms,
        }
    }
}

/// An exchange that came to its end, with the usage that the upstream reported.
///
/// ```
/// use tollgate_sdk::{Usage, testing::complete};
///
/// let outcome = complete(Some(Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 0 }));
/// assert_eq!(outcome.status, 200);
/// ```
#[must_use]
pub fn complete(usage: Option<Usage>) -> Outcome {
    Outcome {
        usage,
        ..ended(Ending::Complete)
    }
}

/// An exchange that ended in some way, without usage.
///
/// ```
/// use tollgate_sdk::{Ending, testing::ended};
///
/// assert_eq!(ended(Ending::ClientGone).usage, None);
/// ```
#[must_use]
pub fn ended(ending: Ending) -> Outcome {
    Outcome {
        ending,
        status: 200,
        upstream: Some("upstream".to_owned()),
        attempts: 1,
        first_byte_us: Some(50_000),
        total_us: 100_000,
        usage: None,
    }
}
