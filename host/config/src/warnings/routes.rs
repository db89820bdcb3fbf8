//! Routes that no request comes to, and names that no request can ask for.

use super::ConfigWarning;
use crate::{
    matching::model_holds,
    model::{Config, Destination, Route},
    spelling::nearest,
};

/// Later routes are not looked at: each is held against all before it.
const LOOKED_AT: usize = 1_000;

pub(super) fn warn(config: &Config, warnings: &mut Vec<ConfigWarning>) {
    for (nth, route) in config.routes.iter().enumerate().take(LOOKED_AT) {
        let before = config.routes.iter().take(nth);
        if let Some(first) = before
            .into_iter()
            .find(|first| first.matches.takes(&route.matches))
        {
            warnings.push(warning(nth, route, hidden(first, route)));
        }
        for name in unknown_models(config, route) {
            warnings.push(warning(nth, route, unknown_model(config, route, name)));
        }
    }
}

fn warning(nth: usize, route: &Route, message: String) -> ConfigWarning {
    ConfigWarning {
        pointer: format!("/routes/{nth}"),
        at: Some(route.at.clone()),
        message,
    }
}

fn hidden(first: &Route, route: &Route) -> String {
    let (name, first_name) = (&route.name, &first.name);
    let place = format!("{}:{}", first.at.file.display(), first.at.line);
    let cure = match route.matches.takes(&first.matches) {
        true => "take one of them away, or have one match by something more".to_owned(),
        false => format!("put `{name}` before it"),
    };
    format!(
        "no request comes to the route `{name}`: `{first_name}` ({place}) stands before it and takes all that it would match; {cure}"
    )
}

/// A policy could lead elsewhere, so nothing is certain on a route that has one.
fn unknown_models<'a>(config: &'a Config, route: &'a Route) -> impl Iterator<Item = &'a String> {
    let goes_by_model = route.to == Destination::Model && route.policies.is_empty();
    let is_certain = goes_by_model && !config.models.is_empty();
    let wanted = route.matches.models.iter().filter(move |_| is_certain);
    wanted.filter(|wanted| !config.models.keys().any(|name| model_holds(wanted, name)))
}

fn unknown_model(config: &Config, route: &Route, wanted: &str) -> String {
    let name = &route.name;
    let known = config.models.keys().map(String::as_str);
    let hint = match nearest(wanted, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "define one, or give the route an `upstream`".to_owned(),
    };
    let what = match wanted.contains('*') {
        true => format!("no name under `models` fits `{wanted}`"),
        false => format!("there is no model `{wanted}`"),
    };
    format!(
        "the route `{name}` goes by the request's model, and {what}, so what it takes by that name is refused: {hint}"
    )
}
