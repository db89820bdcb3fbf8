//! What a value has to be for a condition to hold.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use crate::{found::Found, pattern::Pattern};

/// All of it has to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demand {
    /// One of these; `None`: whatever it is.
    pub(crate) is: Option<Vec<Wanted>>,
    /// None of these; what is not there is none of them.
    pub(crate) not: Vec<Wanted>,
    /// There, or not.
    pub(crate) present: Option<bool>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// A value that may be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted {
    Text(Pattern),
    Number(f64),
    Flag(bool),
}

/// Of a text: a list of what it may be, or more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OfText {
    /// It is one of these, exact or with `*` for any text. Default: whatever it is.
    is: Option<Vec<Pattern>>,
    /// It is none of these, or not there. Default: nothing is left out.
    not: Option<Vec<Pattern>>,
    /// Whether it has to be there (`true`) or must not be (`false`). Default: either.
    present: Option<bool>,
}

/// Of a field of the body: a list of what it may be, or more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OfField {
    /// It is one of these texts (exact or with `*`), numbers and booleans. Default: whatever
    /// it is.
    is: Option<Vec<Wanted>>,
    /// It is none of these, or not there. Default: nothing is left out.
    not: Option<Vec<Wanted>>,
    /// Whether it has to be there (`true`) or must not be (`false`); `null` is not there.
    /// Default: either.
    present: Option<bool>,
    /// It is a number of at least this. Default: no bound.
    min: Option<f64>,
    /// It is a number of at most this. Default: no bound.
    max: Option<f64>,
}

/// Written as a list, or as a form with more.
#[derive(Debug)]
pub(crate) struct ListOr<T, F> {
    pub(crate) form: F,
    item: PhantomData<T>,
}

pub(crate) type TextDemand = ListOr<Pattern, OfText>;
pub(crate) type FieldDemand = ListOr<Wanted, OfField>;

impl Demand {
    pub(crate) fn one_of(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        Self {
            is: Some(patterns.into_iter().map(Wanted::Text).collect()),
            ..Self::default()
        }
    }

    pub(crate) fn flag(flag: bool) -> Self {
        Self {
            is: Some(vec![Wanted::Flag(flag)]),
            ..Self::default()
        }
    }

    pub(crate) fn holds(&self, found: &Found) -> bool {
        let is_any = |wanted: &[Wanted]| wanted.iter().any(|wanted| wanted.is(found));
        let is_there = !matches!(found, Found::Nothing);
        let is_within = match (self.min, self.max, found) {
            (None, None, _) => true,
            (min, max, Found::Number(number)) => {
                min.is_none_or(|min| *number >= min) && max.is_none_or(|max| *number <= max)
            }
            _ => false,
        };
        self.is.as_deref().is_none_or(is_any)
            && !is_any(&self.not)
            && self.present.is_none_or(|wanted| wanted == is_there)
            && is_within
    }

    /// A value for which it holds, if one is plain to see.
    pub(crate) fn example(&self) -> Found {
        match (&self.is, self.present, self.min, self.max) {
            (Some(wanted), ..) => wanted.first().map_or(Found::Nothing, Wanted::example),
            (None, _, Some(number), _) | (None, _, None, Some(number)) => Found::Number(number),
            (None, Some(true), None, None) => Found::Text("x".to_owned()),
            (None, ..) => Found::Nothing,
        }
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut say = |mistake: &str| mistakes.push(mistake.to_owned());
        let is_bounded = self.min.is_some() || self.max.is_some();
        if self.is.as_ref().is_some_and(Vec::is_empty) {
            say(": expected at least one value");
        } else if self.is.is_none() && self.not.is_empty() && self.present.is_none() && !is_bounded
        {
            say(": asks for nothing: expected a list of values, or `is`, `not` or `present`");
        }
        if self.present == Some(false) && (self.is.is_some() || !self.not.is_empty() || is_bounded)
        {
            say("/present: expected nothing beside it: what is not there has no value");
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            say("/min: is more than `max`, so no number is in between");
        }
        if is_bounded && self.is.is_some() {
            say("/is: expected it, or `min` and `max`, not both");
        }
        for (place, wanted) in self.is.iter().flatten().enumerate() {
            if self.not.iter().any(|not| not.covers(wanted)) {
                say(&format!("/is/{place}: is ruled out by `not`"));
            }
        }
        mistakes
    }
}

impl Wanted {
    fn is(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::Text(pattern), Found::Text(text)) => pattern.has(text),
            (Self::Number(wanted), Found::Number(number)) => wanted == number,
            (Self::Flag(wanted), Found::Flag(flag)) => wanted == flag,
            _ => false,
        }
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(wide), Self::Text(narrow)) => wide.covers(narrow),
            (one, other) => one == other,
        }
    }

    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.is_apart_from(other),
            (one, other) => one != other,
        }
    }

    fn example(&self) -> Found {
        match self {
            Self::Text(pattern) => Found::Text(pattern.example()),
            Self::Number(number) => Found::Number(*number),
            Self::Flag(flag) => Found::Flag(*flag),
        }
    }
}

impl From<OfText> for Demand {
    fn from(written: OfText) -> Self {
        let texts = |patterns: Vec<Pattern>| patterns.into_iter().map(Wanted::Text).collect();
        Self {
            is: written.is.map(texts),
            not: written.not.map(texts).unwrap_or_default(),
            present: written.present,
            min: None,
            max: None,
        }
    }
}

impl From<OfField> for Demand {
    fn from(written: OfField) -> Self {
        Self {
            is: written.is,
            not: written.not.unwrap_or_default(),
            present: written.present,
            min: written.min,
            max: written.max,
        }
    }
}

impl From<Vec<Pattern>> for OfText {
    fn from(is: Vec<Pattern>) -> Self {
        Self {
            is: Some(is),
            ..Self::default()
        }
    }
}

impl From<Vec<Wanted>> for OfField {
    fn from(is: Vec<Wanted>) -> Self {
        Self {
            is: Some(is),
            ..Self::default()
        }
    }
}

impl<'de, T, F> Deserialize<'de> for ListOr<T, F>
where
    T: Deserialize<'de>,
    F: Deserialize<'de> + From<Vec<T>>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = deserializer.deserialize_any(ListOrForm(PhantomData))?;
        Ok(Self {
            form,
            item: PhantomData,
        })
    }
}

struct ListOrForm<T, F>(PhantomData<(T, F)>);

impl<'de, T, F> Visitor<'de> for ListOrForm<T, F>
where
    T: Deserialize<'de>,
    F: Deserialize<'de> + From<Vec<T>>,
{
    type Value = F;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of values, or a map of `is`, `not` and `present`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<F, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(F::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<F, A::Error> {
        F::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<T: JsonSchema, F: JsonSchema> JsonSchema for ListOr<T, F> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOr{}", F::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (list, form) = (
            generator.subschema_for::<Vec<T>>(),
            generator.subschema_for::<F>(),
        );
        json_schema!({ "anyOf": [list, form] })
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar)
    }
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = Wanted;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text, a number or a boolean")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Wanted, E> {
        Ok(Wanted::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Wanted, E> {
        let pattern = Pattern::try_from(text.to_owned()).map_err(E::custom)?;
        Ok(Wanted::Text(pattern))
    }
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
