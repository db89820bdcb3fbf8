//! Which exchanges somebody wants to see.

/// All that is given must hold; `*` stands for any text, but in an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The route's name.
    pub route: Option<String>,
    /// The model, as the client or the upstream calls it.
    pub model: Option<String>,
    /// The fact `caller`.
    pub caller: Option<String>,
    /// The `x-request-id`.
    pub id: Option<String>,
}

/// What of an exchange filters go by, as far as it came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    pub(crate) id: &'a str,
    pub(crate) route: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) target_model: Option<&'a str>,
    pub(crate) caller: Option<&'a str>,
}

impl Filter {
    /// Whether an exchange of this id may be wanted.
    pub(super) fn may_want_id(&self, id: &str) -> bool {
        self.id.as_deref().is_none_or(|wanted| wanted == id)
    }

    /// Whether one may be wanted that came this far; the model may yet change.
    pub(super) fn may_want_route(&self, route: Option<&str>) -> bool {
        fits(self.route.as_deref(), route)
    }

    pub(super) fn wants(&self, known: &Known<'_>) -> bool {
        let model = self.model.as_deref();
        self.may_want_id(known.id)
            && self.may_want_route(known.route)
            && fits(self.caller.as_deref(), known.caller)
            && (fits(model, known.model) || fits(model, known.target_model))
    }
}

fn fits(wanted: Option<&str>, found: Option<&str>) -> bool {
    match (wanted, found) {
        (None, _) => true,
        (Some(wanted), Some(found)) => holds(wanted, found),
        (Some(_), None) => false,
    }
}

/// Whether `text` is `pattern`, each `*` in it standing for any text.
fn holds(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("llama-*", "llama-3", true),
            ("llama-*", "qwen", false),
            ("*-*-8b", "llama-3-8b", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(holds(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let known = Known {
            id: "a",
            route: Some("chat"),
            model: Some("small"),
            target_model: Some("llama-3"),
            caller: None,
        };
        let some = |text: &str| Some(text.to_owned());
        let any = Filter::default;
        assert!(any().wants(&known));
        assert!(
            Filter {
                model: some("llama-*"),
                ..any()
            }
            .wants(&known)
        );
        assert!(
            Filter {
                model: some("small"),
                route: some("ch*"),
                ..any()
            }
            .wants(&known)
        );
        assert!(
            !Filter {
                model: some("small"),
                route: some("rest"),
                ..any()
            }
            .wants(&known)
        );
        assert!(
            !Filter {
                caller: some("*"),
                ..any()
            }
            .wants(&known)
        );
        assert!(
            !Filter {
                id: some("*"),
                ..any()
            }
            .wants(&known)
        );
        assert!(
            Filter {
                id: some("a"),
                ..any()
            }
            .wants(&known)
        );
    }
}
