//! One variable of a template: its type, its bounds, and where it comes from.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    settings::HeaderName,
    value::{Given, Misfit, Shape},
};

const LENGTH_MAX: u32 = 8192;
const ITEMS_MAX: u32 = 64;
/// Whole numbers up to here are exact wherever they are read.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

/// What a variable has to be. A bound that its type has no use for is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// `string`, `integer`, `number`, `boolean`, `enum` (one of `values`), or `list` (of
    /// strings).
    #[serde(rename = "type")]
    kind: Kind,
    /// Whether it has to be given. Default: `true`, unless there is a `default`. One that is
    /// not given and has no default is the empty text.
    #[serde(default)]
    required: Option<bool>,
    /// What it is if it is not given, or `null`; of its type. Default: nothing.
    #[serde(default)]
    default: Option<serde_json::Value>,
    /// Where it comes from: `{ fact: NAME }`, as an earlier policy set it, or
    /// `{ header: NAME }`, as the client sent it. A request cannot give it otherwise then.
    /// Default: the request's field.
    #[serde(default)]
    pub(crate) from: Option<Source>,
    /// The most characters, of a `string` or of each element of a `list`. Default: 8192.
    #[serde(default)]
    max_length: Option<NonZeroU32>,
    /// The smallest `integer` or `number`. Default: any.
    #[serde(default)]
    min: Option<f64>,
    /// The largest. Default: any.
    #[serde(default)]
    max: Option<f64>,
    /// What an `enum` may be. Default: none; an `enum` has to say it.
    #[serde(default)]
    values: Option<Vec<String>>,
    /// The most elements of a `list`. Default: 64.
    #[serde(default)]
    max_items: Option<NonZeroU32>,
    /// What stands between the elements of a `list`. Default: a comma and a space.
    #[serde(default)]
    separator: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Enum,
    List,
}

/// Where a variable comes from, other than the request's field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A fact that an earlier policy set.
    Fact(String),
    /// A header of the request.
    Header(HeaderName),
}

/// What is used if nothing is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// Nothing: it has to be given.
    None,
    /// As a part of a JSON text.
    Text(String),
}

impl Variable {
    /// The type with its bounds.
    pub(crate) fn shape(&self) -> Shape<'_> {
        let chars_max = self.max_length.map_or(LENGTH_MAX, NonZeroU32::get);
        match self.kind {
            Kind::String => Shape::Text { chars_max },
            Kind::Integer => Shape::Integer {
                min: self.min.unwrap_or(-WHOLE_MAX).max(-WHOLE_MAX),
                max: self.max.unwrap_or(WHOLE_MAX).min(WHOLE_MAX),
            },
            Kind::Number => Shape::Number {
                min: self.min.unwrap_or(f64::MIN),
                max: self.max.unwrap_or(f64::MAX),
            },
            Kind::Boolean => Shape::Boolean,
            Kind::Enum => Shape::OneOf(self.values.as_deref().unwrap_or_default()),
            Kind::List => Shape::List {
                items_max: self.max_items.map_or(ITEMS_MAX, NonZeroU32::get),
                chars_max,
                separator: self.separator.as_deref().unwrap_or(", "),
            },
        }
    }

    /// A default that does not fit is a mistake of the settings, and none here.
    pub(crate) fn fallback(&self) -> Fallback {
        match self.default_text() {
            Some(Ok(text)) => Fallback::Text(text),
            _ if self.is_required() => Fallback::None,
            _ => Fallback::Text(String::new()),
        }
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut say = |mistake: String| mistakes.push(mistake);
        for (field, whose) in self.idle() {
            say(format!("/{field}: only {whose} has it"));
        }
        match self.shape() {
            Shape::Integer { min, max } if min.ceil() > max.floor() => {
                say("/min: expected a whole number between it and `max`".to_owned());
            }
            Shape::Number { min, max } if min > max => {
                say("/min: expected no more than `max`".to_owned());
            }
            Shape::OneOf(values) if values.is_empty() || values.len() > 64 => {
                say("/values: expected 1 to 64 texts".to_owned());
            }
            _ => {}
        }
        if self.required == Some(true) && self.default.is_some() {
            say("/required: expected no `default` beside it".to_owned());
        }
        if let Some(Source::Fact(name)) = &self.from
            && !(1..=64).contains(&name.len())
        {
            say("/from/fact: expected the name of a fact, of 1 to 64 bytes".to_owned());
        }
        if let Some(Err(Misfit { expected, .. })) = self.default_text() {
            say(format!("/default: expected {expected}"));
        }
        mistakes
    }

    /// Bounds that its type has no use for, and whose they are.
    fn idle(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let texts = (&[Kind::String, Kind::List][..], "a `string` or a `list`");
        let numbers = (
            &[Kind::Integer, Kind::Number][..],
            "an `integer` or a `number`",
        );
        let words = (&[Kind::Enum][..], "an `enum`");
        let lists = (&[Kind::List][..], "a `list`");
        let bounds = [
            ("max_length", self.max_length.is_some(), texts),
            ("min", self.min.is_some(), numbers),
            ("max", self.max.is_some(), numbers),
            ("values", self.values.is_some(), words),
            ("max_items", self.max_items.is_some(), lists),
            ("separator", self.separator.is_some(), lists),
        ];
        let idle = move |(field, is_there, (kinds, whose)): (_, bool, (&[Kind], _))| {
            (is_there && !kinds.contains(&self.kind)).then_some((field, whose))
        };
        bounds.into_iter().filter_map(idle)
    }

    fn is_required(&self) -> bool {
        self.required.unwrap_or(self.default.is_none())
    }

    fn default_text(&self) -> Option<Result<String, Misfit>> {
        let written = RawValue::from_string(self.default.as_ref()?.to_string()).ok()?;
        Some(self.shape().read(Given::Json(&written)))
    }
}
