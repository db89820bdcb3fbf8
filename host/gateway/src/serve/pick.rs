//! Chooses the endpoint of one try, and holds it for as long as the try lasts.
//!
//! A [`Pick`] is made when a request is about to be sent and dropped when the last byte of
//! its answer has come, or when the try was given up: it is told in between how the
//! endpoint fares. What is made of that is [`tollgate_upstreams`]'s.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;

use super::upstream::{Endpoint, Upstream};

/// What an endpoint is chosen by.
#[derive(Default)]
pub(super) struct Ask<'a> {
    /// The model as the client calls it, or as a policy left it.
    pub(super) model: Option<&'a str>,
    /// Those that failed in this exchange: asked again only if there is no other.
    pub(super) avoid: &'a [Arc<Endpoint>],
}

/// How a try at an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection: nothing was sent.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// It hung up, or sent what is no answer.
    Reset,
    /// No answer in time, or no first event.
    FirstByteTimeout,
    /// It fell silent within its answer.
    Silent,
    /// Its answer broke off or was malformed.
    Broken,
}

/// One try at one endpoint. It counts as in flight until it is dropped, so it lives as
/// long as the body of the response. Dropped without a word, the try was given up.
pub(super) struct Pick {
    endpoint: Arc<Endpoint>,
}

impl Upstream {
    /// Whether a try that failed here finds no other endpoint.
    pub(super) fn is_alone(&self) -> bool {
        self.endpoints.len() < 2
    }

    /// `None`: no endpoint is available.
    pub(super) fn pick(&self, ask: &Ask<'_>) -> Option<Pick> {
        let Ask { model, avoid } = ask;
        let _ = model;
        let count = self.endpoints.len();
        let turn = match count {
            0 => return None,
            1 => 0,
            _ => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let in_turn = (turn..turn.wrapping_add(count)).map(|turn| &self.endpoints[turn % count]);
        let is_new = |endpoint: &&Arc<Endpoint>| {
            avoid.is_empty() || !avoid.iter().any(|tried| Arc::ptr_eq(tried, endpoint))
        };
        let endpoint = in_turn.clone().find(is_new).or(in_turn.clone().next())?;
        Some(Pick {
            endpoint: endpoint.clone(),
        })
    }
}

impl Pick {
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The head of a response came, so long after the request was sent.
    pub(super) fn answered(&mut self, status: StatusCode, took: Duration) {
        let _ = (status, took);
    }

    /// The first bytes of a response's body came, so long after the request was sent.
    pub(super) fn first_token(&mut self, took: Duration) {
        let _ = took;
    }

    /// The try failed, before or within the response.
    pub(super) fn failed(&mut self, fault: Fault) {
        let _ = fault;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::upstream::Clients;

    fn upstream(authorities: &[&str]) -> Upstream {
        let config = tollgate_config::Upstream {
            endpoints: authorities
                .iter()
                .map(|authority| tollgate_config::Endpoint {
                    https: false,
                    authority: (*authority).to_owned(),
                    base_path: String::new(),
                })
                .collect(),
            dialect: tollgate_config::Dialect::OpenAi,
            stream_end: tollgate_config::StreamEnd::DoneEvent,
            headers: Vec::new(),
            ca: None,
        };
        let endpoints = config
            .endpoints
            .iter()
            .map(|endpoint| Arc::new(Endpoint::new(endpoint).expect("an address")));
        Upstream {
            name: "u".into(),
            dialect: config.dialect,
            stream_end: config.stream_end,
            headers: Vec::new(),
            endpoints: endpoints.collect(),
            turn: Default::default(),
            pool: Clients::new()
                .pool(&config, Duration::from_secs(1))
                .unwrap(),
        }
    }

    fn at(upstream: &Upstream, avoid: &[Arc<Endpoint>]) -> String {
        let ask = Ask {
            avoid,
            ..Ask::default()
        };
        upstream
            .pick(&ask)
            .unwrap()
            .endpoint()
            .authority
            .to_string()
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let upstream = upstream(&["a", "b"]);
        let picked: Vec<_> = (0..4).map(|_| at(&upstream, &[])).collect();
        assert_eq!(picked, ["a", "b", "a", "b"]);
    }

    #[tokio::test]
    async fn one_that_failed_is_asked_again_only_if_there_is_no_other() {
        let upstream = upstream(&["a", "b"]);
        let (a, b) = (upstream.endpoints[0].clone(), upstream.endpoints[1].clone());
        for _ in 0..3 {
            assert_eq!(at(&upstream, std::slice::from_ref(&a)), "b");
        }
        let both = [a, b];
        assert!(["a", "b"].contains(&at(&upstream, &both).as_str()));
    }
}
