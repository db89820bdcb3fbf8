//! Values of variables: whether they are of their type, and how they are written.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tollgate_settings::words;

/// A type with its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    Text {
        chars_max: u32,
    },
    Integer {
        min: f64,
        max: f64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    OneOf(&'a [String]),
    List {
        items_max: u32,
        chars_max: u32,
        separator: &'a str,
    },
}

/// What was given for a variable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given<'a> {
    /// As JSON.
    Json(&'a RawValue),
    /// As it is, in a header or a fact.
    Plain(&'a str),
}

/// What was expected of a variable, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Shape<'_> {
    /// The value as a part of a JSON text: escaped, without quotes around it.
    pub(crate) fn read(self, given: Given) -> Result<String, Misfit> {
        let text = match self {
            Self::Text { chars_max } => given.text().filter(|text| fits(text, chars_max)),
            Self::Integer { min, max } => given
                .number()
                .filter(|number| (min..=max).contains(number) && number.fract() == 0.0)
                .map(|number| format!("{}", number as i64)),
            Self::Number { min, max } => given
                .number()
                .filter(|number| (min..=max).contains(number))
                .map(written),
            Self::Boolean => given.truth().map(|truth| truth.to_string()),
            Self::OneOf(values) => given.text().filter(|text| values.contains(text)),
            Self::List {
                items_max,
                chars_max,
                separator,
            } => given
                .texts(items_max)
                .filter(|texts| texts.iter().all(|text| fits(text, chars_max)))
                .map(|texts| texts.join(separator)),
        };
        match text {
            Some(text) => Ok(escaped(&text)),
            None => Err(Misfit {
                expected: self.to_string(),
                found: given.shown(),
            }),
        }
    }
}

impl Shape<'_> {
    /// A value that fits, for a sample.
    pub(crate) fn example(self) -> serde_json::Value {
        match self {
            Self::Text { .. } => "x".into(),
            Self::Integer { min, max } => (within(min.ceil(), max.floor()) as i64).into(),
            Self::Number { min, max } => within(min, max).into(),
            Self::Boolean => true.into(),
            Self::OneOf(values) => values.first().cloned().into(),
            Self::List { .. } => vec!["x"].into(),
        }
    }
}

/// 0, or what is nearest to it.
fn within(min: f64, max: f64) -> f64 {
    if min > 0.0 { min } else { max.min(0.0) }
}

/// How a text stands in a JSON text.
pub(crate) fn escaped(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    quoted.pop();
    quoted.remove(0);
    quoted
}

/// As JSON writes it; whole numbers without a fraction.
fn written(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{}", number as i64)
    } else {
        serde_json::Value::from(number).to_string()
    }
}

fn fits(text: &str, chars_max: u32) -> bool {
    let chars_max = chars_max as usize;
    text.len() <= chars_max || text.chars().count() <= chars_max
}

impl Given<'_> {
    fn text(self) -> Option<String> {
        match self {
            Self::Json(json) => serde_json::from_str(json.get()).ok(),
            Self::Plain(text) => Some(text.to_owned()),
        }
    }

    /// Of a header or a fact, as JSON would have it.
    fn number(self) -> Option<f64> {
        let text = match self {
            Self::Json(json) => json.get(),
            Self::Plain(text) => text.trim(),
        };
        // Its form is JSON's; its digits, serde_json reads less exactly than Rust.
        let _: serde_json::Number = serde_json::from_str(text).ok()?;
        let number: f64 = text.trim().parse().ok()?;
        number.is_finite().then_some(number)
    }

    fn truth(self) -> Option<bool> {
        match self {
            Self::Json(json) => serde_json::from_str(json.get()).ok(),
            Self::Plain(text) => text.trim().parse().ok(),
        }
    }

    /// Of a header or a fact, what stands between commas.
    fn texts(self, items_max: u32) -> Option<Vec<String>> {
        let items_max = items_max as usize;
        match self {
            Self::Json(json) => {
                let mut reader = serde_json::Deserializer::from_str(json.get());
                reader.deserialize_seq(Texts { items_max }).ok()
            }
            Self::Plain(text) => {
                let texts = text.split(',').map(str::trim);
                let texts = texts.filter(|text| !text.is_empty());
                let texts: Vec<_> = texts.take(items_max + 1).map(str::to_owned).collect();
                (texts.len() <= items_max).then_some(texts)
            }
        }
    }

    /// Short and plain enough to be sent back; of what is no client's, nothing is shown.
    fn shown(self) -> String {
        match self {
            Self::Plain(_) => "another value".to_owned(),
            Self::Json(json) => match json.get().as_bytes() {
                [b'[', ..] => "a list".to_owned(),
                [b'{', ..] => "an object".to_owned(),
                [b'"', ..] => match self.text() {
                    Some(text) => {
                        let length = text.chars().count() as u64;
                        let length = words::count(length, "character");
                        format!("`{}`, {length}", words::shown(&text))
                    }
                    None => "a text".to_owned(),
                },
                _ => words::shown(json.get()),
            },
        }
    }
}

/// Reads no more elements than there may be.
struct Texts {
    items_max: usize,
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            if texts.len() == self.items_max {
                return Err(A::Error::custom("too many elements"));
            }
            texts.push(text);
        }
        Ok(texts)
    }
}

impl fmt::Display for Shape<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = |out: &mut fmt::Formatter<'_>, min: f64, max: f64, least: f64| match (
            min > least,
            max < -least,
        ) {
            (true, true) => write!(out, " from {} to {}", written(min), written(max)),
            (true, false) => write!(out, " of at least {}", written(min)),
            (false, true) => write!(out, " of at most {}", written(max)),
            (false, false) => Ok(()),
        };
        match self {
            Self::Text { chars_max } => {
                let most = words::count((*chars_max).into(), "character");
                write!(out, "a text of at most {most}")
            }
            Self::Integer { min, max } => {
                out.write_str("a whole number")?;
                bounds(out, *min, *max, -9_007_199_254_740_991.0)
            }
            Self::Number { min, max } => {
                out.write_str("a number")?;
                bounds(out, *min, *max, f64::MIN)
            }
            Self::Boolean => out.write_str("`true` or `false`"),
            Self::OneOf(values) => {
                let shown = values.iter().take(8).map(|value| format!("`{value}`"));
                let shown: Vec<_> = shown.collect();
                let more = if values.len() > 8 { ", …" } else { "" };
                write!(out, "one of {}{more}", shown.join(", "))
            }
            Self::List {
                items_max,
                chars_max,
                ..
            } => {
                let items = words::count((*items_max).into(), "text");
                let most = words::count((*chars_max).into(), "character");
                write!(out, "a list of at most {items} of at most {most} each")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_json(shape: Shape, json: &serde_json::Value) -> Option<String> {
        let raw = RawValue::from_string(json.to_string()).unwrap();
        shape.read(Given::Json(&raw)).ok()
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_json_would_write_it(text in "(?s).{0,40}") {
            let quoted = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn a_text_is_measured_in_characters(text in "(?s).{0,20}", chars_max in 0_u32..20) {
            let read = of_json(Shape::Text { chars_max }, &text.clone().into());
            prop_assert_eq!(read.is_some(), text.chars().count() <= chars_max as usize);
        }

        #[test]
        fn whole_numbers_within_bounds_are_written_as_they_are(number in -1000_i64..1000) {
            let shape = Shape::Integer { min: -500.0, max: 500.0 };
            let read = of_json(shape, &number.into());
            prop_assert_eq!(read, (number.abs() <= 500).then(|| number.to_string()));
        }

        #[test]
        fn numbers_read_back_as_they_were(number in proptest::num::f64::NORMAL) {
            let shape = Shape::Number { min: f64::MIN, max: f64::MAX };
            let read = of_json(shape, &number.into()).unwrap();
            prop_assert_eq!(read.parse::<f64>().unwrap(), number);
        }
    }

    #[test]
    fn a_list_of_many_is_refused_before_it_is_read() {
        let shape = Shape::List {
            items_max: 2,
            chars_max: 3,
            separator: "; ",
        };
        let read = |json: serde_json::Value| of_json(shape, &json);
        assert_eq!(read(serde_json::json!(["a", "b"])), Some("a; b".to_owned()));
        assert_eq!(read(serde_json::json!([])), Some(String::new()));
        assert_eq!(read(serde_json::json!(["a", "b", "c"])), None);
        assert_eq!(read(serde_json::json!(["abcd"])), None);
        assert_eq!(read(serde_json::json!(["a", 1])), None);
        assert_eq!(read(serde_json::json!("a")), None);
        assert_eq!(shape.read(Given::Plain("a, b")), Ok("a; b".to_owned()));
        assert!(shape.read(Given::Plain("a,b,c")).is_err());
    }
}
