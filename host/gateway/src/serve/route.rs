//! Finds the route of a request: the first in the file's order whose every
//! condition holds.
//!
//! Names were resolved when the generation was built; a request costs comparisons.
//! A route that goes by the model is only decided once the body was read, and the
//! body is only read if no earlier route matched without it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tollgate_config::{Dialect, Match, PathMatch, glob_holds};
use tollgate_sandbox::{
    Policy,
    contract::{Hooks, Needs},
};

use super::{cache::Shape, mirror::Mirror, slot::Placed, target::Target, tries::Manner};

/// Every route of a generation.
#[derive(Default)]
pub(super) struct RouteTable(pub(super) Vec<Arc<Route>>);

/// A route with everything that it names.
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) conditions: Conditions,
    pub(super) policies: Vec<Placed>,
    pub(super) to: To,
    /// What its clients speak, unless the path says it.
    pub(super) dialect: Option<Dialect>,
    /// What its policies, and those of targets that it may lead to, must have at hand.
    pub(super) need_of_policies: Need,
    /// Whether a target that the route itself may lead to has policies.
    pub(super) has_policies_ahead: bool,
    /// Of its answers, where one of its policies may plan to keep them.
    pub(super) shape: Option<Shape>,
    /// Protocols that a connection may change to.
    pub(super) upgrades: Vec<Arc<str>>,
    pub(super) mirror: Option<Mirror>,
    /// What it says of tries, where the model says nothing.
    pub(super) manner: Manner,
}

impl Route {
    /// What must be at hand before the first hook; `in_body`: no path names the model.
    pub(super) fn need(&self, in_body: bool) -> Need {
        let by_model = matches!(self.to, To::Model);
        self.need_of_policies.and_model(by_model && in_body)
    }
}

/// Where a route leads.
pub(super) enum To {
    /// By the request's model.
    Model,
    Upstream(Target),
}

/// How much of a request's body has to be at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Need {
    /// It streams through.
    #[default]
    Nothing,
    Bytes,
    /// The model, and whether a stream is asked for, as far as that can be told: nothing is
    /// refused for it.
    Glance,
    /// The model alone.
    Model,
    Json,
}

impl Need {
    /// `ahead` are those of all targets that the route itself may lead to. Where only a `go-to`
    /// leads to others, the body is waited for once it does: see [`Self::at_target`].
    pub(super) fn of_policies(on_route: &[Asks], ahead: &[Asks]) -> Self {
        let need = Self::most(on_route.iter().copied(), Hooks::REQUEST);
        need.max(Self::most(ahead.iter().copied(), Hooks::ATTEMPT))
    }

    /// With the model, if it is wanted of the body.
    pub(super) fn and_model(self, is_wanted: bool) -> Self {
        if is_wanted {
            self.max(Self::Model)
        } else {
            self
        }
    }

    /// Of a target that was chosen: its policies', and the model's if it is to be renamed.
    pub(super) fn at_target(policies: &[Arc<Policy>], is_renamed: bool) -> Self {
        let asks = policies.iter().map(|policy| Asks::of(policy));
        Self::most(asks, Hooks::ATTEMPT).and_model(is_renamed)
    }

    fn most(asks: impl Iterator<Item = Asks>, hook: Hooks) -> Self {
        asks.map(|asks| asks.need(hook)).max().unwrap_or_default()
    }
}

/// What a policy is asked, and what it needs for that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks {
    hooks: Hooks,
    needs: Needs,
}

impl Asks {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            hooks: policy.hooks(),
            needs: policy.needs(),
        }
    }

    /// Of the request's body, for this hook.
    fn need(self, hook: Hooks) -> Need {
        if !self.hooks.contains(hook) {
            Need::Nothing
        } else if self.needs.contains(Needs::REQUEST_JSON) {
            Need::Json
        } else if self.needs.contains(Needs::REQUEST_BODY) {
            Need::Bytes
        } else {
            Need::Nothing
        }
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
    /// The model decides; every route that it may choose needs this much.
    ByModel(Need),
    Nothing,
}

impl RouteTable {
    pub(super) fn find(&self, asked: &Asked<'_>) -> Found<'_> {
        match self.0.iter().find(|route| route.conditions.hold(asked)) {
            None => Found::Nothing,
            Some(route) if route.conditions.models.is_empty() => Found::Route(route),
            Some(_) => Found::ByModel(self.need_of_all(asked)),
        }
    }

    /// What each of the routes needs that the model chooses from, the model included.
    fn need_of_all(&self, asked: &Asked<'_>) -> Need {
        let mut least = Need::Json;
        for route in self.0.iter().filter(|route| route.conditions.hold(asked)) {
            least = least.min(route.need(true));
            if least <= Need::Model || route.conditions.models.is_empty() {
                break;
            }
        }
        least.max(Need::Model)
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
        self.path.as_ref().is_none_or(|path| path.holds(asked.path))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, matches: Match) -> Arc<Route> {
        Arc::new(Route {
            name: name.into(),
            conditions: Conditions::new(&matches).unwrap(),
            policies: Vec::new(),
            to: To::Model,
            dialect: None,
            need_of_policies: Need::Nothing,
            has_policies_ahead: false,
            shape: None,
            upgrades: Vec::new(),
            mirror: None,
            manner: Manner::new((None, None), &Default::default(), std::iter::empty(), None),
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
            Found::ByModel(_) => "by model".into(),
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
    fn a_body_is_taken_apart_at_once_only_if_every_route_of_its_model_has_that_done() {
        let by_model = |need: Need, path: &str, models: &[&str]| {
            let matches = Match {
                path: prefix(path),
                models: models.iter().map(ToString::to_string).collect(),
                ..Match::default()
            };
            let route = route("any", matches);
            let mut route = Arc::into_inner(route).unwrap();
            route.need_of_policies = need;
            Arc::new(route)
        };
        let need = |routes: Vec<Arc<Route>>| {
            let asked = Asked {
                method: &Method::POST,
                path: "/v1/chat",
                host: "h",
                headers: &HeaderMap::new(),
            };
            match RouteTable(routes).find(&asked) {
                Found::ByModel(need) => need,
                Found::Route(_) | Found::Nothing => panic!("not by model"),
            }
        };
        let json = by_model(Need::Json, "/v1", &["a-*"]);
        let model = by_model(Need::Model, "/v1", &["b-*"]);
        let rest = by_model(Need::Json, "/v1", &[]);
        let streams = by_model(Need::Nothing, "/v1", &[]);
        let elsewhere = by_model(Need::Nothing, "/v2", &["a-*"]);
        assert_eq!(
            need(vec![json.clone(), elsewhere, rest.clone(), streams.clone()]),
            Need::Json
        );
        assert_eq!(need(vec![json.clone(), model, rest]), Need::Model);
        assert_eq!(need(vec![json, streams]), Need::Model);
    }

    #[test]
    fn what_a_target_needs_is_waited_for_at_once_only_where_the_route_leads_there() {
        let asks = |hooks, needs| Asks { hooks, needs };
        let target = [asks(Hooks::ATTEMPT, Needs::REQUEST_JSON)];
        let leads = [asks(Hooks::REQUEST, Needs::empty())];
        let reads = [asks(Hooks::REQUEST, Needs::REQUEST_BODY)];
        let listens = [asks(Hooks::RESPONSE, Needs::REQUEST_JSON)];
        for (on_route, ahead, need) in [
            (&[][..], &[][..], Need::Nothing),
            (&listens, &[], Need::Nothing),
            (&leads, &[], Need::Nothing),
            (&reads, &[], Need::Bytes),
            (&reads, &target, Need::Json),
            (&leads, &target, Need::Json),
            (&leads, &listens, Need::Nothing),
            (&[], &target, Need::Json),
        ] {
            let found = Need::of_policies(on_route, ahead);
            assert_eq!(found, need, "{on_route:?} {ahead:?}");
        }
    }

    #[test]
    fn where_the_path_names_the_model_policies_have_the_bytes_that_they_need() {
        for (of_policies, in_body, in_path) in [
            (Need::Nothing, Need::Model, Need::Nothing),
            (Need::Bytes, Need::Model, Need::Bytes),
            (Need::Json, Need::Json, Need::Json),
        ] {
            let mut route = Arc::into_inner(route("by model", Match::default())).unwrap();
            route.need_of_policies = of_policies;
            assert_eq!((route.need(true), route.need(false)), (in_body, in_path));
        }
    }

    #[test]
    fn a_glob_does_not_count_a_letter_twice() {
        assert!(!ModelMatch::new("ab*ba").holds("aba"));
        assert!(ModelMatch::new("ab*ba").holds("abba"));
        assert!(ModelMatch::new("*").holds(""));
    }
}
