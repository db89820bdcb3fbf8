//! Routes: what they match, what they pass through, where they lead.

use std::collections::BTreeMap;

use super::{Resolver, attempts, passage, scope::Scope};
use crate::{
    file,
    merge::In,
    model::{Destination, Location, Match, Route},
    place::{At, Named},
    spelling::{self, Misspelt, quote},
};

const MAX_HEADERS: usize = 64;

pub(super) fn routes(resolver: &Resolver<'_>, written: Vec<In<At<file::Route>>>) -> Vec<Route> {
    let mut given: BTreeMap<String, Location> = BTreeMap::new();
    for In {
        source,
        value: route,
    } in &written
    {
        let scope = resolver.scope(*source);
        let Some(name) = &route.value.name else {
            continue;
        };
        if let Some(first) = given.get(&name.value) {
            let first = format!("{}:{}:{}", first.file.display(), first.line, first.column);
            let message = format!(
                "two routes are named {}: the first at {first}",
                quote(&name.value)
            );
            scope.refuse(name.place, message, "a name of its own for each");
            continue;
        }
        scope.read(name, spelling::name);
        given.insert(name.value.clone(), scope.location(name.place));
    }
    let mut made = BTreeMap::new();
    let mut name = |route: &file::Route| match &route.name {
        Some(name) => name.value.clone(),
        None => made_name(route, &given, &mut made),
    };
    written
        .into_iter()
        .map(
            |In {
                 source,
                 value: route,
             }| Route {
                name: name(&route.value),
                ..self::route(&resolver.scope(source), route)
            },
        )
        .collect()
}

/// The path, with a number where it was taken.
fn made_name(
    route: &file::Route,
    given: &BTreeMap<String, Location>,
    made: &mut BTreeMap<String, u32>,
) -> String {
    let path = route
        .matches
        .path
        .as_ref()
        .map_or("any", |path| path.value.as_str());
    loop {
        let uses = made
            .entry(path.to_owned())
            .and_modify(|uses| *uses += 1)
            .or_insert(1);
        let name = if *uses == 1 {
            path.to_owned()
        } else {
            format!("{path}#{uses}")
        };
        if !given.contains_key(&name) {
            return name;
        }
    }
}

fn route(scope: &Scope<'_>, route: At<file::Route>) -> Route {
    let At {
        value: written,
        place,
    } = route;
    Route {
        name: String::new(),
        at: scope.location(place),
        matches: matches(scope, written.matches),
        policies: scope.policies(&written.policies),
        to: match &written.upstream {
            Some(upstream) => Destination::Upstream(scope.upstream(upstream)),
            None => Destination::Model,
        },
        dialect: written.dialect.map(Into::into),
        upgrades: passage::upgrades(scope, written.upgrades.as_ref()),
        mirror: written
            .mirror
            .and_then(|mirror| passage::mirror(scope, &mirror)),
        retries: attempts::retries(scope, written.retries.as_ref()),
        hedge: attempts::hedge(scope, written.hedge.as_ref()),
        timeouts: attempts::waits(scope, written.timeouts.as_ref()),
    }
}

fn matches(scope: &Scope<'_>, written: file::Match) -> Match {
    Match {
        host: written
            .host
            .and_then(|host| scope.read(&host, spelling::host_match)),
        path: written
            .path
            .and_then(|path| scope.read(&path, spelling::path_match)),
        methods: one_or_many(
            scope,
            ("method", written.method),
            written.methods,
            spelling::method,
        ),
        headers: headers(scope, &written.headers),
        models: one_or_many(
            scope,
            ("model", written.model),
            written.models,
            spelling::model_name,
        ),
    }
}

/// `method: X` or `methods: [X, …]`, not both, and not an empty list, which would
/// look like none and match any.
fn one_or_many(
    scope: &Scope<'_>,
    (key, one): (&str, Option<At<String>>),
    many: Option<At<Vec<At<String>>>>,
    read: impl Fn(&str) -> Result<String, Misspelt>,
) -> Vec<String> {
    match (&one, &many) {
        (Some(one), Some(_)) => scope.refuse(
            one.place,
            format!("both `{key}` and `{key}s` are given"),
            "one of them",
        ),
        (None, Some(many)) if many.value.is_empty() => {
            scope.refuse(
                many.place,
                format!("no {key} at all would match"),
                "at least one, or no such key",
            );
        }
        _ => {}
    }
    let texts = one
        .into_iter()
        .chain(many.into_iter().flat_map(|many| many.value));
    texts.filter_map(|text| scope.read(&text, &read)).collect()
}

fn headers(
    scope: &Scope<'_>,
    written: &Named<Option<At<String>>>,
) -> Vec<(String, Option<String>)> {
    let mut headers: Vec<(String, Option<String>)> = Vec::new();
    if let Some((name, _)) = written.0.get(MAX_HEADERS) {
        scope.refuse(
            name.place,
            "too many headers",
            format!("at most {MAX_HEADERS}"),
        );
        return headers;
    }
    for (name, value) in &written.0 {
        let Some(header) = scope.read(name, spelling::header_name) else {
            continue;
        };
        let value = value
            .as_ref()
            .and_then(|value| scope.read(value, spelling::matched_header_value));
        if headers.iter().any(|(before, _)| *before == header) {
            scope.refuse(
                name.place,
                format!("the header `{header}` is matched twice"),
                "each header once",
            );
        }
        headers.push((header, value));
    }
    headers
}
