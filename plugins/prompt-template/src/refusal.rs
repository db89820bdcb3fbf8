//! Why a request is refused, and how the client is told.

use tollgate_sdk::prelude::*;

use crate::{value::Misfit, variable::Source};

#[derive(Debug)]
pub(crate) enum Refused {
    /// It names no template, and has to.
    NotAsked,
    /// What names the template is not of the form.
    Malformed {
        at: String,
        expected: &'static str,
    },
    /// There is no body to put a prompt into.
    NoBody,
    BodyTooLong {
        bytes_max: u64,
    },
    /// There is no such template, or no such version of it.
    Unknown {
        name: String,
        version: Option<String>,
    },
    /// The template has no such variable.
    UnknownVariable {
        template: String,
        name: String,
        /// Those that a request can give.
        names: String,
    },
    /// A variable is missing, or not of its type.
    Variable {
        template: String,
        name: String,
        source: Option<Source>,
        misfit: Box<Misfit>,
    },
    /// There are messages beside those of the template.
    OwnMessages {
        template: String,
        field: &'static str,
    },
    /// What is to come after the messages of the template is no list.
    NoList {
        field: &'static str,
    },
    PromptTooLong {
        template: String,
        bytes: u64,
        bytes_max: u64,
    },
}

impl Refused {
    pub(crate) fn malformed(at: &str, expected: &'static str) -> Self {
        Self::Malformed {
            at: at.to_owned(),
            expected,
        }
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotAsked => "prompt_template_required",
            Self::Malformed { .. }
            | Self::NoBody
            | Self::BodyTooLong { .. }
            | Self::OwnMessages { .. }
            | Self::NoList { .. } => "invalid_prompt_template",
            Self::Unknown { .. } => "prompt_template_not_found",
            Self::UnknownVariable { .. } | Self::Variable { .. } | Self::PromptTooLong { .. } => {
                "invalid_prompt_variable"
            }
        }
    }

    /// A fact, a client cannot give itself.
    fn status(&self) -> u16 {
        match self {
            Self::Unknown { .. } => 404,
            Self::Variable {
                source: Some(Source::Fact(_)),
                ..
            } => 403,
            _ => 400,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotAsked => "a request has to name a template here.".to_owned(),
            Self::Malformed { at, expected } => format!("`{at}`: expected {expected}."),
            Self::NoBody => "expected a JSON object as the body.".to_owned(),
            Self::BodyTooLong { bytes_max } => {
                format!("expected a body of at most {bytes_max} bytes.")
            }
            Self::Unknown {
                name,
                version: None,
            } => format!("there is no template `{name}`."),
            Self::Unknown {
                name,
                version: Some(version),
            } => format!("the template `{name}` has no version `{version}`."),
            Self::UnknownVariable {
                template,
                name,
                names,
            } if names.is_empty() => {
                format!("`{template}` has no variable `{name}`: expected none.")
            }
            Self::UnknownVariable {
                template,
                name,
                names,
            } => format!("`{template}` has no variable `{name}`: expected {names}."),
            Self::Variable {
                template,
                name,
                source,
                misfit,
            } => {
                let Misfit { expected, found } = &**misfit;
                let from = match source {
                    None => String::new(),
                    Some(Source::Header(header)) => format!(" (the header `{}`)", header.as_str()),
                    Some(Source::Fact(fact)) => format!(" (the fact `{fact}`)"),
                };
                format!(
                    "the variable `{name}`{from} of `{template}`: expected {expected}, \
                     found {found}."
                )
            }
            Self::OwnMessages { template, field } => {
                format!("{field}: expected none, as `{template}` has its own.")
            }
            Self::NoList { field } => format!("{field}: expected a list."),
            Self::PromptTooLong {
                template,
                bytes,
                bytes_max,
            } => format!(
                "`{template}` with these variables makes a prompt of {bytes} bytes: \
                 expected at most {bytes_max}."
            ),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        let message = format!("prompt-template: {}", self.message());
        Verdict::refuse(self.status(), self.code(), message)
    }
}
