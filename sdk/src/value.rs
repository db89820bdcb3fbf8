//! JSON values as they cross the boundary, to and from Rust types.

use serde::{Serialize, de::DeserializeOwned};

use crate::Value;

/// Whole numbers up to here are exact in a 64-bit float.
const EXACT: u64 = 1 << 53;

impl Value {
    /// Any value that serde can write, as JSON text. What cannot be written, such as a
    /// map whose keys are no strings, becomes `null`.
    ///
    /// ```
    /// use tollgate_sdk::Value;
    ///
    /// assert_eq!(Value::of(&vec![1, 2]), Value::Json("[1,2]".to_owned()));
    /// assert_eq!(Value::of(&Some("x")), Value::Text("x".to_owned()));
    /// ```
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::to_value(value).map_or(Self::Null, Self::from)
    }

    /// Reads the value as a Rust type; `None` if it is of another kind.
    ///
    /// ```
    /// use tollgate_sdk::Value;
    ///
    /// assert_eq!(Value::Number(3.0).parse::<u32>(), Some(3));
    /// assert_eq!(Value::Number(-3.0).parse::<u32>(), None);
    /// assert_eq!(Value::Json("[1,2]".to_owned()).parse::<Vec<u8>>(), Some(vec![1, 2]));
    /// ```
    #[must_use]
    pub fn parse<T: DeserializeOwned>(self) -> Option<T> {
        match self {
            Self::Json(text) => serde_json::from_str(&text).ok(),
            other => serde_json::from_value(other.to_json()).ok(),
        }
    }

    /// The value as `serde_json` has it.
    ///
    /// ```
    /// use tollgate_sdk::Value;
    ///
    /// assert_eq!(Value::Number(2.0).to_json(), serde_json::json!(2));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Boolean(truth) => (*truth).into(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT as f64 => {
                (*number as i64).into()
            }
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        if number.unsigned_abs() <= EXACT {
            Self::Number(number as f64)
        } else {
            Self::Json(number.to_string())
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        if number <= EXACT {
            Self::Number(number as f64)
        } else {
            Self::Json(number.to_string())
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Boolean(truth),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Number(number) => {
                match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(number), _, _) => number.into(),
                    (_, Some(number), _) => number.into(),
                    (_, _, Some(number)) => Self::Number(number),
                    _ => Self::Json(number.to_string()),
                }
            }
            container => Self::Json(container.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_whole_numbers_keep_every_digit() {
        assert_eq!(Value::from(u64::MAX), Value::Json(u64::MAX.to_string()));
        assert_eq!(Value::from(u64::MAX).parse::<u64>(), Some(u64::MAX));
        assert_eq!(
            Value::from(1_u64 << 53),
            Value::Number(9_007_199_254_740_992.0)
        );
    }

    #[test]
    fn a_whole_number_reads_as_any_number_type() {
        assert_eq!(Value::Number(7.0).parse::<u8>(), Some(7));
        assert_eq!(Value::Number(7.0).parse::<f64>(), Some(7.0));
        assert_eq!(Value::Number(-7.0).parse::<i64>(), Some(-7));
        assert_eq!(Value::Number(7.5).parse::<u8>(), None);
        assert_eq!(Value::Number(300.0).parse::<u8>(), None);
    }

    #[test]
    fn null_reads_as_none() {
        assert_eq!(Value::Null.parse::<Option<u8>>(), Some(None));
        assert_eq!(Value::Null.parse::<u8>(), None);
    }

    #[test]
    fn present_values_read_as_some() {
        assert_eq!(Value::Number(1.0).parse::<Option<u8>>(), Some(Some(1)));
        assert_eq!(
            Value::from("a").parse::<Option<String>>(),
            Some(Some("a".to_owned()))
        );
    }
}
