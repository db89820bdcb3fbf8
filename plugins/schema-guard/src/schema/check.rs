//! Whether a value fits a schema.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};
use tollgate_settings::words::count;

use super::{Keywords, Kind, Node};
use crate::{
    misfit::{Misfit, shown_json},
    pointer::Place,
};

const CHOICES_SHOWN_MAX: usize = 8;

/// A keyword's number, how it is said, and how a number has to compare with it.
type Bound<'a> = (&'a Option<Number>, &'static str, fn(Ordering) -> bool);

impl Node {
    /// # Errors
    /// The first place that does not fit.
    pub(crate) fn check(&self, value: &Value, place: &mut Place) -> Result<(), Misfit> {
        match self {
            Self::Bool(true) => Ok(()),
            Self::Bool(false) => Err(Misfit::new(
                place.as_str(),
                "no such field",
                shown_json(value),
            )),
            Self::Keywords(keywords) => keywords.check(value, place),
        }
    }
}

impl Keywords {
    fn check(&self, value: &Value, place: &mut Place) -> Result<(), Misfit> {
        self.check_kind(value, place)?;
        self.check_choice(value, place)?;
        match value {
            Value::Number(number) => self.check_number(number, place),
            Value::String(text) => self.check_text(text, place),
            Value::Array(list) => self.check_list(list, place),
            Value::Object(members) => self.check_members(members, place),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn check_kind(&self, value: &Value, place: &Place) -> Result<(), Misfit> {
        let Some(kinds) = &self.kinds else {
            return Ok(());
        };
        if kinds.0.iter().any(|kind| kind.has(value)) {
            return Ok(());
        }
        let names: Vec<&str> = kinds.0.iter().map(|kind| kind.name()).collect();
        Err(Misfit::new(
            place.as_str(),
            names.join(" or "),
            shown_json(value),
        ))
    }

    fn check_choice(&self, value: &Value, place: &Place) -> Result<(), Misfit> {
        let misfit =
            |expected: String| Err(Misfit::new(place.as_str(), expected, shown_json(value)));
        if let Some(choices) = &self.one_of
            && !choices.iter().any(|choice| same(choice, value))
        {
            let mut names: Vec<String> = choices
                .iter()
                .take(CHOICES_SHOWN_MAX)
                .map(shown_json)
                .collect();
            if choices.len() > CHOICES_SHOWN_MAX {
                names.push("…".to_owned());
            }
            return misfit(format!("one of {}", names.join(", ")));
        }
        match &self.exactly {
            Some(exactly) if !same(exactly, value) => misfit(shown_json(exactly)),
            _ => Ok(()),
        }
    }

    fn check_number(&self, number: &Number, place: &Place) -> Result<(), Misfit> {
        let bounds: [Bound; 4] = [
            (&self.minimum, "at least", Ordering::is_ge),
            (&self.maximum, "at most", Ordering::is_le),
            (&self.exclusive_minimum, "more than", Ordering::is_gt),
            (&self.exclusive_maximum, "less than", Ordering::is_lt),
        ];
        for (bound, words, holds) in bounds {
            if let Some(bound) = bound
                && !holds(order(number, bound))
            {
                let expected = format!("{words} {bound}");
                return Err(Misfit::new(place.as_str(), expected, number.to_string()));
            }
        }
        Ok(())
    }

    fn check_text(&self, text: &str, place: &Place) -> Result<(), Misfit> {
        if self.min_length.is_none() && self.max_length.is_none() {
            return Ok(());
        }
        let length = text.chars().count() as u64;
        check_size(
            self.min_length,
            self.max_length,
            (length, "character"),
            place,
        )
    }

    fn check_list(&self, list: &[Value], place: &mut Place) -> Result<(), Misfit> {
        let length = list.len() as u64;
        check_size(self.min_items, self.max_items, (length, "element"), place)?;
        let Some(node) = &self.items else {
            return Ok(());
        };
        list.iter().enumerate().try_for_each(|(index, value)| {
            place.within(&index.to_string(), |place| node.check(value, place))
        })
    }

    fn check_members(&self, members: &Map<String, Value>, place: &mut Place) -> Result<(), Misfit> {
        for name in &self.required {
            if !members.contains_key(name) {
                return place.within(name, |place| {
                    Err(Misfit::new(place.as_str(), "this field", "nothing"))
                });
            }
        }
        members.iter().try_for_each(|(name, value)| {
            let listed = self.properties.get(name);
            match listed.or(self.additional_properties.as_ref()) {
                Some(node) => place.within(name, |place| node.check(value, place)),
                None => Ok(()),
            }
        })
    }
}

fn check_size(
    min: Option<u64>,
    max: Option<u64>,
    (size, what): (u64, &str),
    place: &Place,
) -> Result<(), Misfit> {
    let expected = match (min, max) {
        (Some(min), _) if size < min => format!("at least {}", count(min, what)),
        (_, Some(max)) if size > max => format!("at most {}", count(max, what)),
        _ => return Ok(()),
    };
    Err(Misfit::new(place.as_str(), expected, size.to_string()))
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Array, Value::Array(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => {
                number.is_i64()
                    || number.is_u64()
                    || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            _ => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "text",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

/// Exact for whole numbers of 64 bits, else as 64-bit floats.
pub(super) fn order(a: &Number, b: &Number) -> Ordering {
    let whole = |number: &Number| {
        let signed = number.as_i64().map(i128::from);
        signed.or_else(|| number.as_u64().map(i128::from))
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
            float(a).total_cmp(&float(b))
        }
    }
}

/// `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let has = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(has)
        }
        (a, b) => a == b,
    }
}
