//! Why something is refused, and how the client is told: never what the settings say.

use tollgate_sdk::{Verdict, metrics};

use crate::{
    json::Unread,
    rules::{Look, Rules},
};

/// Why a request is refused.
pub(crate) enum Refused {
    /// Something was found by this rule.
    Holds(usize),
    /// It cannot be searched.
    Unread(Unread),
}

impl Refused {
    pub(crate) fn request(self, rules: &Rules) -> Verdict {
        let (status, code, what) = match self {
            Self::Holds(rule) => {
                let rule = rules.get(rule);
                metrics::count("refused", &[("kind", rule.name.as_str())], 1);
                let what = match &rule.look {
                    Look::For(known) => known.in_words(),
                    Look::Own(_) => "something that must not be sent",
                };
                (400, "sensitive_data", what)
            }
            Self::Unread(Unread::TooMuch) => {
                (413, "text_too_long", "more text than can be searched")
            }
            Self::Unread(Unread::Malformed) => {
                (400, "text_unreadable", "JSON that cannot be searched")
            }
        };
        let message = format!("The policy `redact` refuses this request: it holds {what}.");
        Verdict::refuse(status, code, message)
    }
}

/// An answer that cannot be searched is not sent.
pub(crate) fn response(unread: Unread) -> Verdict {
    let (code, what) = match unread {
        Unread::TooMuch => ("text_too_long", "more text than can be searched"),
        Unread::Malformed => ("text_unreadable", "JSON that cannot be searched"),
    };
    let message = format!("The policy `redact` refuses the model's answer: it holds {what}.");
    Verdict::refuse(502, code, message)
}
