//! What an operator writes, and what of it cannot be.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::is_framing_header;

use crate::{template::Template, templates::Templates};

/// A request of half a MiB, and its prompt, have room in the memory of a plugin many times.
const BYTES_MAX: u64 = 1 << 19;

/// Which templates there are, and how requests name them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The templates. Of those with the same name, the first is the one that a request
    /// gets which names no version.
    #[schemars(with = "Vec<Template>", length(min = 1))]
    pub(crate) templates: Templates,
    /// What becomes of a request that names no template: `pass` lets it through as it is,
    /// `refuse` refuses it. There is no default: it is the choice between an offer and a
    /// rule.
    pub(crate) without_template: WithoutTemplate,
    /// The field of the body that names the template: an object with `name`, `version`
    /// and `variables`. Default: `prompt_template`.
    #[serde(default)]
    pub(crate) field: Field,
    /// A header that names the template instead, as `NAME` or `NAME@VERSION`; the field has
    /// the variables alone then. Default: none.
    #[serde(default)]
    pub(crate) header: Option<HeaderName>,
    /// The longest body of a request that names a template, and the longest prompt that is
    /// made of one, in bytes of JSON. Default: 524288.
    #[serde(default = "bytes_max")]
    pub(crate) bytes_max: NonZeroU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WithoutTemplate {
    /// As it came.
    Pass,
    /// With `prompt_template_required`.
    Refuse,
}

fn bytes_max() -> NonZeroU64 {
    NonZeroU64::new(BYTES_MAX).unwrap_or(NonZeroU64::MIN)
}

/// A field of the body, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Field {
    pointer: String,
}

impl Field {
    pub(crate) fn pointer(&self) -> &str {
        &self.pointer
    }

    pub(crate) fn name(&self) -> &str {
        &self.pointer[1..]
    }
}

impl Default for Field {
    fn default() -> Self {
        Self {
            pointer: "/prompt_template".to_owned(),
        }
    }
}

impl TryFrom<String> for Field {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self {
                pointer: format!("/{text}"),
            })
        } else {
            Err("expected the name of a field: 1 to 64 letters, digits, `_`, `-` or `.`")
        }
    }
}

/// The name of a header that a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct HeaderName(String);

impl HeaderName {
    /// In lower case.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = (1..=64).contains(&text.len()) && text.bytes().all(is_token);
        if is_name && !is_framing_header(&text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("expected the name of a header")
        }
    }
}

impl Settings {
    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mistakes = self.templates.mistakes(&self.field);
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }
}
