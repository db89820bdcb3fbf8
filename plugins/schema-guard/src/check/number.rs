//! Whole numbers within bounds.

use tollgate_sdk::prelude::*;

use super::Field;
use crate::{
    misfit::{Misfit, shown},
    rule::Range,
};

pub(super) fn check(range: Range, fields: &[Field]) -> Result<(), Misfit> {
    let mut is_stated = false;
    for (pointer, value) in fields {
        let Some(value) = value else {
            continue;
        };
        is_stated = true;
        let fits = whole(value).is_some_and(|number| {
            number >= range.min.into() && range.max.is_none_or(|max| number <= max.into())
        });
        if !fits {
            return Err(Misfit::new(*pointer, expected(range), shown(value)));
        }
    }
    match fields.first() {
        Some((pointer, _)) if range.required && !is_stated => {
            Err(Misfit::new(*pointer, expected(range), "nothing"))
        }
        _ => Ok(()),
    }
}

/// A number that is whole and not negative. Beyond 2⁶⁴ the exact one does not matter.
fn whole(value: &Value) -> Option<u128> {
    let number = match value {
        Value::Number(number) => *number,
        Value::Json(text) => match text.parse::<u128>() {
            Ok(number) => return Some(number),
            Err(_) => text.parse::<f64>().ok()?,
        },
        Value::Null | Value::Boolean(_) | Value::Text(_) => return None,
    };
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u128)
}

fn expected(range: Range) -> String {
    match (range.min, range.max) {
        (0, None) => "a whole number".to_owned(),
        (0, Some(max)) => format!("a whole number of at most {max}"),
        (min, None) => format!("a whole number of at least {min}"),
        (min, Some(max)) if min == max => min.to_string(),
        (min, Some(max)) => format!("a whole number from {min} to {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_however_it_travels() {
        let json = |text: &str| Value::Json(text.to_owned());
        assert_eq!(whole(&Value::Number(7.0)), Some(7));
        assert_eq!(whole(&json("18446744073709551616")), Some(1 << 64));
        assert!(whole(&Value::Number(1e300)) > Some(1 << 64));
        assert!(whole(&json(&"9".repeat(400))).is_none());
        for value in [
            Value::Number(-1.0),
            Value::Number(0.5),
            Value::Number(f64::NAN),
            Value::from("7"),
            Value::Boolean(true),
            json("[7]"),
            json("-18446744073709551616"),
        ] {
            assert_eq!(whole(&value), None, "{value:?}");
        }
    }
}
