//! A message in memory, in place of the gateway's.

use serde_json::Value as Json;
use tollgate_sdk::{Value, pointer};

use super::difference::difference;
use crate::{
    edit::{Document, Headers},
    ordered::Ordered,
    spelling::{HeaderName, HeaderValue},
};

pub(super) struct Draft {
    headers: Vec<(String, String)>,
    body: Json,
    /// An edit that the gateway would refuse.
    fault: Option<String>,
}

impl Draft {
    pub(super) fn new(headers: &Ordered<HeaderName, HeaderValue>, body: &Json) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
            .collect();
        Self {
            headers,
            body: body.clone(),
            fault: None,
        }
    }

    /// What is not as expected.
    pub(super) fn difference(
        &self,
        headers: &Ordered<HeaderName, Option<String>>,
        body: Option<&Json>,
    ) -> Option<String> {
        let in_headers = || {
            headers.iter().find_map(|(name, expected)| {
                let got = self.header(name.as_str());
                let shown = |value: &Option<String>| match value {
                    Some(value) => format!("{value:?}"),
                    None => "nothing".to_owned(),
                };
                (*expected != got).then(|| {
                    format!(
                        "header `{name}`: expected {}, got {}",
                        shown(expected),
                        shown(&got)
                    )
                })
            })
        };
        let in_body = || difference(body?, &self.body);
        self.fault.clone().or_else(in_headers).or_else(in_body)
    }

    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn note(&mut self, at: &str, done: Result<(), pointer::BadPointer>) {
        if let Err(error) = done {
            self.fault.get_or_insert_with(|| format!("{at}: {error}"));
        }
    }
}

impl Document for Draft {
    fn values(&self, pointers: &[&str]) -> Vec<Option<Value>> {
        pointers
            .iter()
            .map(|pointer| self.body.pointer(pointer).cloned().map(Value::from))
            .collect()
    }

    fn set(&mut self, at: &str, value: Value) {
        let done = pointer::set(&mut self.body, at, value.to_json());
        self.note(at, done);
    }

    fn remove(&mut self, at: &str) {
        let done = pointer::remove(&mut self.body, at);
        self.note(at, done);
    }
}

impl Headers for Draft {
    fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.append_header(name, value);
    }

    fn append_header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(other, _)| other != name);
    }
}
