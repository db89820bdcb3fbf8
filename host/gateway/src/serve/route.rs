//! Finds the route of a request: the first in the file's order whose every
//! condition holds.
//!
//! Names were resolved when the generation was built; a request costs comparisons.
//! A route that goes by the model is only decided once the body was read, and the
//! body is only read if no earlier route matched without it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tollgate_config::{Match, PathMatch};
use tollgate_sandbox::{
    Policy,
    contract::{Hooks, Needs},
};

use super::upstream::Upstream;

/// Every route of a generation.
#[derive(Default)]
pub(super) struct RouteTable(pub(super) Vec<Arc<Route>>);

/// A route with everything that it names.
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) conditions: Conditions,
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) to: To,
    /// What must be at hand before the first hook.
    pub(super) need: Need,
    /// Whether an exchange on this route may open a session.
    pub(super) asks_policies: bool,
}

/// Where a route leads.
pub(super) enum To {
    /// By the request's model.
    Model,
    Upstream(Arc<Upstream>),
}

/// How much of a request's body has to be at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Need {
    /// It streams through.
    #[default]
    Nothing,
    Bytes,
    /// The model alone.
    Model,
    Json,
}

impl Need {
    pub(super) fn of(policies: &[Arc<Policy>], to: &To) -> Self {
        let asked = policies
            .iter()
            .filter(|policy| policy.hooks().contains(Hooks::REQUEST))
            .map(|policy| {
                let needs = policy.needs();
                if needs.contains(Needs::REQUEST_JSON) {
                    Self::Json
                } else if needs.contains(Needs::REQUEST_BODY) {
                    Self::Bytes
                } else {
                    Self::Nothing
                }
            });
        let routed = if matches!(to, To::Model) {
            Self::Model
        } else {
            Self::Nothing
        };
        asked.max().unwrap_or_default().max(routed)
    }
}

/// What a request says before its body.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// Without the query.
    pub(super) path: &'a str,
    /// As the client wrote it, without the port.
    pub(super) host: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// What the table knows before the body was read.
pub(super) enum Found<'a> {
    Route(&'a Arc<Route>),
    /// The model decides.
    ByModel,
    Nothing,
}

impl RouteTable {
    pub(super) fn find(&self, asked: &Asked<'_>) -> Found<'_> {
        match self.0.iter().find(|route| route.conditions.hold(asked)) {
            None => Found::Nothing,
            Some(route) if route.conditions.models.is_empty() => Found::Route(route),
            Some(_) => Found::ByModel,
        }
    }

    pub(super) fn find_by_model(
        &self,
        asked: &Asked<'_>,
        model: Option<&str>,
    ) -> Option<&Arc<Route>> {
        self.0
            .iter()
            .find(|route| route.conditions.hold(asked) && route.conditions.models_hold(model))
    }
}

/// A [`Match`], made ready.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    host: Option<HostMatch>,
    path: Option<PathMatch>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    models: Vec<ModelMatch>,
}

#[derive(Debug)]
enum HostMatch {
    Exact(String),
    /// `.example.com`: at least one label in front.
    Below(String),
}

#[derive(Debug)]
enum ModelMatch {
    Exact(String),
    /// The text between the stars.
    Glob(Vec<String>),
}

impl Conditions {
    /// `None`: a method or header that cannot be.
    pub(super) fn new(matches: &Match) -> Option<Self> {
        let host = matches
            .host
            .as_ref()
            .map(|host| match host.strip_prefix('*') {
                Some(below) => HostMatch::Below(below.to_ascii_lowercase()),
                None => HostMatch::Exact(host.to_ascii_lowercase()),
            });
        let methods = matches
            .methods
            .iter()
            .map(|method| Method::from_bytes(method.as_bytes()).ok());
        let headers = matches.headers.iter().map(|(name, value)| {
            let value = value
                .as_ref()
                .map(|value| HeaderValue::from_str(value))
                .transpose()
                .ok()?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        Some(Self {
            host,
            path: matches.path.clone(),
            methods: methods.collect::<Option<_>>()?,
            headers: headers.collect::<Option<_>>()?,
            models: matches
                .models
                .iter()
                .map(|model| ModelMatch::new(model))
                .collect(),
        })
    }

    fn hold(&self, asked: &Asked<'_>) -> bool {
        self.path
            .as_ref()
            .is_none_or(|path| path_holds(path, asked.path))
            && (self.methods.is_empty() || self.methods.contains(asked.method))
            && self.host.as_ref().is_none_or(|host| host.holds(asked.host))
            && self.headers.iter().all(|(name, value)| match value {
                None => asked.headers.contains_key(name),
                Some(value) => asked.headers.get_all(name).iter().any(|sent| sent == value),
            })
    }

    fn models_hold(&self, model: Option<&str>) -> bool {
        self.models.is_empty()
            || model.is_some_and(|model| self.models.iter().any(|wanted| wanted.holds(model)))
    }
}

fn path_holds(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(wanted) => wanted == path,
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

impl HostMatch {
    fn holds(&self, host: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted.eq_ignore_ascii_case(host),
            Self::Below(below) => {
                let at = host.len().saturating_sub(below.len());
                at > 0
                    && host
                        .get(at..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(below))
            }
        }
    }
}

impl ModelMatch {
    fn new(model: &str) -> Self {
        match model.contains('*') {
            true => Self::Glob(model.split('*').map(str::to_owned).collect()),
            false => Self::Exact(model.to_owned()),
        }
    }

    fn holds(&self, model: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == model,
            Self::Glob(parts) => glob_holds(parts, model),
        }
    }
}

fn glob_holds(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return false;
    };
    let Some(text) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some(mut text) = text.strip_suffix(last.as_str()) else {
        return false;
    };
    middle.iter().all(|part| match text.find(part.as_str()) {
        Some(at) => {
            text = &text[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, matches: Match) -> Arc<Route> {
        Arc::new(Route {
            name: name.into(),
            conditions: Conditions::new(&matches).unwrap(),
            policies: Vec::new(),
            to: To::Model,
            need: Need::Model,
            asks_policies: false,
        })
    }

    fn exact(path: &str) -> Option<PathMatch> {
        Some(PathMatch::Exact(path.into()))
    }

    fn prefix(path: &str) -> Option<PathMatch> {
        Some(PathMatch::Prefix(path.into()))
    }

    /// The route's name, `by model`, or `-`.
    fn find(
        table: &RouteTable,
        method: &str,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> String {
        let asked = Asked {
            method: &method.parse().unwrap(),
            path,
            host,
            headers,
        };
        match table.find(&asked) {
            Found::Route(route) => route.name.to_string(),
            Found::ByModel => "by model".into(),
            Found::Nothing => "-".into(),
        }
    }

    #[test]
    fn the_first_route_whose_every_condition_holds_serves() {
        let table = RouteTable(vec![
            route(
                "exact",
                Match {
                    path: exact("/v1/chat"),
                    ..Match::default()
                },
            ),
            route(
                "host",
                Match {
                    host: Some("*.example.com".into()),
                    path: prefix("/v1"),
                    ..Match::default()
                },
            ),
            route(
                "post",
                Match {
                    path: prefix("/v1"),
                    methods: vec!["POST".into()],
                    ..Match::default()
                },
            ),
            route(
                "header",
                Match {
                    headers: vec![("x-team".into(), Some("a".into()))],
                    ..Match::default()
                },
            ),
            route(
                "any-header",
                Match {
                    headers: vec![("x-team".into(), None)],
                    ..Match::default()
                },
            ),
            route(
                "rest",
                Match {
                    path: prefix("/open/"),
                    ..Match::default()
                },
            ),
        ]);
        let none = HeaderMap::new();
        for (method, host, path, name) in [
            ("GET", "h", "/v1/chat", "exact"),
            ("GET", "h", "/v1/chat/", "-"),
            ("GET", "a.Example.com", "/v1/x", "host"),
            ("GET", "example.com", "/v1/x", "-"),
            ("GET", "badexample.com", "/v1/x", "-"),
            ("GET", ".example.com", "/v1/x", "-"),
            ("POST", "h", "/v1", "post"),
            ("POST", "h", "/v1x", "-"),
            ("GET", "h", "/open", "rest"),
            ("GET", "h", "/open/x", "rest"),
            ("GET", "h", "/opened", "-"),
        ] {
            assert_eq!(
                find(&table, method, host, path, &none),
                name,
                "{method} {host} {path}"
            );
        }
        let mut headers = HeaderMap::new();
        headers.append("x-team", HeaderValue::from_static("b"));
        assert_eq!(find(&table, "GET", "h", "/", &headers), "any-header");
        headers.append("x-team", HeaderValue::from_static("a"));
        assert_eq!(find(&table, "GET", "h", "/", &headers), "header");
    }

    #[test]
    fn the_body_is_read_only_if_the_first_match_goes_by_model() {
        let by_model = |models: &[&str]| Match {
            path: prefix("/v1"),
            models: models.iter().map(ToString::to_string).collect(),
            ..Match::default()
        };
        let table = RouteTable(vec![
            route(
                "early",
                Match {
                    path: exact("/v1/models"),
                    ..Match::default()
                },
            ),
            route("one", by_model(&["llama-3"])),
            route("glob", by_model(&["gpt-*", "*-mini-*"])),
            route(
                "rest",
                Match {
                    path: prefix("/v1"),
                    ..Match::default()
                },
            ),
        ]);
        let none = HeaderMap::new();
        assert_eq!(find(&table, "GET", "h", "/v1/models", &none), "early");
        assert_eq!(find(&table, "GET", "h", "/v1/chat", &none), "by model");
        let asked = Asked {
            method: &Method::POST,
            path: "/v1/chat",
            host: "h",
            headers: &none,
        };
        for (model, name) in [
            (Some("llama-3"), "one"),
            (Some("llama-3.1"), "rest"),
            (Some("gpt-4"), "glob"),
            (Some("o-mini-2"), "glob"),
            (Some("o-mini"), "rest"),
            (None, "rest"),
        ] {
            assert_eq!(
                &*table.find_by_model(&asked, model).unwrap().name,
                name,
                "{model:?}"
            );
        }
    }

    #[test]
    fn a_glob_does_not_count_a_letter_twice() {
        assert!(!ModelMatch::new("ab*ba").holds("aba"));
        assert!(ModelMatch::new("ab*ba").holds("abba"));
        assert!(ModelMatch::new("*").holds(""));
    }
}
