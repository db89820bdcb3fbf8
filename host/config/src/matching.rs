//! What routes match by: one rule for who serves a request and who looks for routes that
//! nothing comes to.

use crate::model::{Match, PathMatch};

impl PathMatch {
    /// Whether a request of this path is meant.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == path,
            Self::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                path.strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Whether every path that `other` means is meant.
    fn takes(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(path)) => self.holds(path),
            (Self::Prefix(_), Self::Prefix(prefix)) => self.holds(prefix.trim_end_matches('/')),
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

/// Whether `text` is what stands between the stars of a pattern, in this order, with anything
/// in place of each star.
pub fn glob_holds<T: AsRef<str>>(parts: &[T], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return false;
    };
    let Some(text) = text.strip_prefix(first.as_ref()) else {
        return false;
    };
    let Some(mut text) = text.strip_suffix(last.as_ref()) else {
        return false;
    };
    middle.iter().all(|part| match text.find(part.as_ref()) {
        Some(at) => {
            text = &text[at + part.as_ref().len()..];
            true
        }
        None => false,
    })
}

/// Whether a model's name is the one of a [`Match`], or fits its pattern.
pub(crate) fn model_holds(wanted: &str, model: &str) -> bool {
    match wanted.contains('*') {
        true => glob_holds(&wanted.split('*').collect::<Vec<_>>(), model),
        false => wanted == model,
    }
}

impl Match {
    /// Whether every request that `other` means is meant. Where that is not certain: no.
    pub(crate) fn takes(&self, other: &Self) -> bool {
        takes(&self.path, &other.path, PathMatch::takes)
            && takes(&self.host, &other.host, |own, other| host_takes(own, other))
            && any_takes(&self.methods, &other.methods, |own, other| own == other)
            && any_takes(&self.models, &other.models, |own, other| {
                own == other || own == "*" || (!other.contains('*') && model_holds(own, other))
            })
            && self.headers.iter().all(|(name, value)| {
                let asks = |(other_name, other_value): &(String, Option<String>)| {
                    name == other_name && (value.is_none() || value == other_value)
                };
                other.headers.iter().any(asks)
            })
    }
}

/// A condition that is not given holds for everything.
fn takes<T>(own: &Option<T>, other: &Option<T>, takes: impl Fn(&T, &T) -> bool) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => takes(own, other),
    }
}

/// The same for what one of several has to hold for.
fn any_takes(own: &[String], other: &[String], takes: impl Fn(&str, &str) -> bool) -> bool {
    let is_taken = |other: &String| own.iter().any(|own| takes(own, other));
    own.is_empty() || (!other.is_empty() && other.iter().all(is_taken))
}

/// `*.example.com` takes whatever has a label in front of `.example.com`.
fn host_takes(own: &str, other: &str) -> bool {
    match own.strip_prefix('*') {
        Some(below) => {
            let other = other.strip_prefix('*').unwrap_or(other);
            other.ends_with(below) && (other.len() > below.len() || own == format!("*{other}"))
        }
        None => own == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Match)) -> Match {
        let mut matches = Match::default();
        change(&mut matches);
        matches
    }

    fn path(written: &str) -> Match {
        let path = match written.strip_suffix("/*") {
            Some(prefix) => PathMatch::Prefix(prefix.to_owned()),
            None => PathMatch::Exact(written.to_owned()),
        };
        with(|matches| matches.path = Some(path))
    }

    fn host(host: &str) -> Match {
        with(|matches| matches.host = Some(host.to_owned()))
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn methods(methods: &[&str]) -> Match {
        with(|matches| matches.methods = texts(methods))
    }

    fn models(models: &[&str]) -> Match {
        with(|matches| matches.models = texts(models))
    }

    fn headers(headers: &[(&str, Option<&str>)]) -> Match {
        let owned =
            |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
        with(|matches| matches.headers = headers.iter().map(owned).collect())
    }

    #[test]
    fn a_match_takes_another_if_each_of_its_conditions_does() {
        let any = Match::default;
        for (wide, narrow) in [
            (any(), any()),
            (any(), path("/v1/*")),
            (path("/*"), path("/v1/*")),
            (path("/v1/*"), path("/v1")),
            (path("/v1/*"), path("/v1/models")),
            (path("/v1/*"), path("/v1/models/*")),
            (path("/v1/*"), path("/v1/*")),
            (path("/v1"), path("/v1")),
            (host("*.example.com"), host("api.example.com")),
            (host("*.example.com"), host("a.b.example.com")),
            (host("*.example.com"), host("*.b.example.com")),
            (host("*.example.com"), host("*.example.com")),
            (host("example.com"), host("example.com")),
            (methods(&["GET", "PUT"]), methods(&["PUT"])),
            (any(), methods(&["PUT"])),
            (models(&["llama-*", "gpt"]), models(&["gpt", "llama-3"])),
            (models(&["llama-*"]), models(&["llama-*"])),
            (models(&["*"]), models(&["llama-*", "gpt"])),
            (any(), models(&["*"])),
            (
                headers(&[("a", None)]),
                headers(&[("b", None), ("a", Some("1"))]),
            ),
            (headers(&[("a", Some("1"))]), headers(&[("a", Some("1"))])),
            (any(), headers(&[("a", None)])),
        ] {
            assert!(wide.takes(&narrow), "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn one_that_might_leave_something_takes_nothing() {
        let any = Match::default;
        for (first, second) in [
            (path("/v1/*"), any()),
            (path("/*"), any()),
            (path("/v1/*"), path("/v10")),
            (path("/v1/*"), path("/v10/*")),
            (path("/v1/*"), path("/*")),
            (path("/v1"), path("/v1/*")),
            (host("*.example.com"), host("example.com")),
            (host("*.b.example.com"), host("*.example.com")),
            (host("*.example.com"), host("badexample.com")),
            (host("example.com"), host("*.example.com")),
            (host("example.com"), any()),
            (methods(&["GET"]), methods(&["GET", "PUT"])),
            (methods(&["GET"]), any()),
            (models(&["llama-*"]), models(&["llama-3", "gpt"])),
            (models(&["llama-*"]), models(&["llama-3-*"])),
            (models(&["*"]), any()),
            (headers(&[("a", Some("1"))]), headers(&[("a", None)])),
            (headers(&[("a", Some("1"))]), headers(&[("a", Some("2"))])),
            (headers(&[("a", None)]), any()),
        ] {
            assert!(!first.takes(&second), "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_pattern_holds_for_what_stands_between_its_stars() {
        for (pattern, model) in [
            ("llama-*", "llama-3"),
            ("llama-*", "llama-"),
            ("*", ""),
            ("a*b*c", "abbc"),
            ("*-mini", "gpt-4o-mini"),
        ] {
            assert!(model_holds(pattern, model), "{pattern} {model}");
        }
        for (pattern, model) in [
            ("llama-*", "llama"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("x", "xy"),
        ] {
            assert!(!model_holds(pattern, model), "{pattern} {model}");
        }
    }
}
