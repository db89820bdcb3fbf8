//! What an operator writes, and the rules that it comes to.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::{
    kinds::Pattern,
    rules::{Known, Look, Replacement, Rule, Rules},
};

/// What is looked for, where, and what is put in its place.
#[derive(Debug, Deserialize)]
#[serde(from = "Written")]
pub struct Settings {
    pub(crate) rules: Rules,
    pub(crate) request: InRequest,
    pub(crate) response: InAnswer,
    pub(crate) stream: InAnswer,
    pub(crate) text_max: usize,
    /// What was wrong with what was written.
    errors: Vec<String>,
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

/// What is looked for, where, and what is put in its place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The kinds that are looked for. Default: all five.
    #[serde(default = "all_kinds")]
    kinds: Vec<Kind>,
    /// Own patterns, at most 16. They come before the kinds. Default: none.
    #[serde(default)]
    patterns: Vec<OwnPattern>,
    /// What is put in place of a kind. Default: its name in capitals and brackets, such
    /// as `[EMAIL]`.
    #[serde(default)]
    replacements: Replacements,
    /// What happens to a request that holds something: it is sent with replacements
    /// (`replace`), refused with status 400 and code `sensitive_data` (`refuse`), or not
    /// looked at (`leave`). Default: `replace`.
    #[serde(default)]
    request: InRequest,
    /// Whether answers that are no streams get replacements (`replace`) or are not looked
    /// at (`leave`). Default: `replace`.
    #[serde(default)]
    response: InAnswer,
    /// The same for streams. Default: `replace`.
    #[serde(default)]
    stream: InAnswer,
    /// The most text of one request or answer that is searched, in bytes; each part of
    /// its JSON counts for 16 besides. What has more is refused with the code
    /// `text_too_long`, so that nobody can have the policy run out of time. At least
    /// 1024. Default: 1048576.
    #[serde(default = "text_max")]
    text_max: u32,
}

/// By kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Replacements {
    /// Default: `[EMAIL]`.
    email: Option<Put>,
    /// Default: `[PHONE]`.
    phone: Option<Put>,
    /// Default: `[CARD]`.
    card: Option<Put>,
    /// Default: `[IBAN]`.
    iban: Option<Put>,
    /// Default: `[API_KEY]`.
    api_key: Option<Put>,
}

impl Replacements {
    fn of(&self, kind: Kind) -> Option<&Put> {
        match kind {
            Kind::Email => self.email.as_ref(),
            Kind::Phone => self.phone.as_ref(),
            Kind::Card => self.card.as_ref(),
            Kind::Iban => self.iban.as_ref(),
            Kind::ApiKey => self.api_key.as_ref(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// `ada@example.com`
    Email,
    /// With the code of a country, or North American: `+49 30 1234567`, `212-555-0100`.
    Phone,
    /// Payment cards whose check digit is right.
    Card,
    /// Account numbers whose country, length and check digits are right.
    Iban,
    /// Keys of well-known services, by the letters that they begin with.
    ApiKey,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::ApiKey,
    ];

    fn of(known: Known) -> Self {
        match known {
            Known::Email => Self::Email,
            Known::ApiKey => Self::ApiKey,
            Known::Iban => Self::Iban,
            Known::Card => Self::Card,
            Known::Phone => Self::Phone,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::ApiKey => "api_key",
        }
    }
}

/// A regular expression of one's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OwnPattern {
    /// Lower-case letters, digits and `_`; it labels the metric.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    name: String,
    /// A regular expression without back-references; `\d`, `\w`, `\s`, `\b` and `(?i)`
    /// mean ASCII, and `.` is one byte.
    pattern: String,
    /// The longest match in bytes, 1 to 1024: so many may be held back of a stream. No
    /// match is longer. Default: what the pattern says; needed if it has no longest match.
    #[serde(default)]
    longest: Option<usize>,
    /// What is put in its place. Default: its name in capitals and brackets.
    #[serde(default)]
    replacement: Option<Put>,
}

/// At most 64 bytes without control characters.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct Put(String);

impl TryFrom<String> for Put {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > 64 || text.chars().any(char::is_control) {
            return Err("expected at most 64 bytes without control characters".to_owned());
        }
        Ok(Self(text))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InRequest {
    /// It is sent with replacements.
    #[default]
    Replace,
    /// It is refused.
    Refuse,
    /// It is not looked at.
    Leave,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InAnswer {
    /// It is sent with replacements.
    #[default]
    Replace,
    /// It is not looked at.
    Leave,
}

const PATTERNS_MAX: usize = 16;
/// With less, not even the samples would get through.
const TEXT_MAX_LEAST: u32 = 1024;

impl From<Written> for Settings {
    /// Patterns are compiled here, once for all exchanges.
    fn from(written: Written) -> Self {
        let mut errors = written.errors();
        let mut list = Vec::new();
        for (place, own) in written.patterns.into_iter().take(PATTERNS_MAX).enumerate() {
            match own.into_rule() {
                Ok(rule) => list.push(rule),
                Err(error) => errors.push(format!("/patterns/{place}{error}")),
            }
        }
        let known = Known::ALL.into_iter();
        let chosen = known.filter(|known| written.kinds.contains(&Kind::of(*known)));
        list.extend(chosen.map(|known| {
            let kind = Kind::of(known);
            Rule {
                name: kind.name().to_owned(),
                look: Look::For(known),
                replacement: replacement(kind.name(), written.replacements.of(kind)),
            }
        }));
        Self {
            rules: Rules::new(list),
            request: written.request,
            response: written.response,
            stream: written.stream,
            text_max: usize::try_from(written.text_max).unwrap_or(usize::MAX),
            errors,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.errors.clone())
        }
    }
}

impl Written {
    /// All but what is wrong with single patterns.
    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.kinds.is_empty() && self.patterns.is_empty() {
            errors.push("/kinds: nothing is looked for: expected a kind or a pattern".to_owned());
        }
        let leaves_answers = self.response == InAnswer::Leave && self.stream == InAnswer::Leave;
        if self.request == InRequest::Leave && leaves_answers {
            errors.push(
                "/request: requests, responses and streams are all left alone: expected \
                 `replace` for one of them, or `refuse` for requests"
                    .to_owned(),
            );
        }
        if self.text_max < TEXT_MAX_LEAST {
            let text_max = self.text_max;
            errors.push(format!(
                "/text_max: is {text_max}; expected {TEXT_MAX_LEAST} or more"
            ));
        }
        let count = self.patterns.len();
        if count > PATTERNS_MAX {
            errors.push(format!(
                "/patterns: there are {count}; expected at most {PATTERNS_MAX}"
            ));
        }
        for kind in Kind::ALL {
            if self.replacements.of(kind).is_some() && !self.kinds.contains(&kind) {
                let name = kind.name();
                errors.push(format!(
                    "/replacements/{name}: `{name}` is not looked for: expected it in `kinds`"
                ));
            }
        }
        for (place, own) in self.patterns.iter().enumerate() {
            if self.patterns[..place]
                .iter()
                .any(|other| other.name == own.name)
            {
                let name = own.name.escape_debug();
                errors.push(format!(
                    "/patterns/{place}/name: `{name}` is there already: expected another one"
                ));
            }
        }
        errors
    }
}

impl OwnPattern {
    /// The error starts with what follows on the pointer to the pattern.
    fn into_rule(self) -> Result<Rule, String> {
        if !is_name(&self.name) {
            return Err(format!(
                "/name: `{}` is no name: expected a lower-case letter, then up to 31 \
                 lower-case letters, digits and `_`, and not the name of a kind",
                self.name.escape_debug()
            ));
        }
        let pattern = Pattern::new(&self.pattern, self.longest)?;
        Ok(Rule {
            replacement: replacement(&self.name, self.replacement.as_ref()),
            look: Look::Own(Box::new(pattern)),
            name: self.name,
        })
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_letter)
        && Kind::ALL.iter().all(|kind| kind.name() != name)
}

fn replacement(name: &str, put: Option<&Put>) -> Replacement {
    Replacement::new(match put {
        Some(Put(text)) => text.clone(),
        None => format!("[{}]", name.to_ascii_uppercase()),
    })
}

fn all_kinds() -> Vec<Kind> {
    Kind::ALL.to_vec()
}

fn text_max() -> u32 {
    1 << 20
}
