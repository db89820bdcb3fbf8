//! JSON as its text: taken apart field by field, with every number as it was written.
//!
//! Numbers are never read where they are only handed on, so a 64-bit integer keeps every
//! digit and a float its last one. A plugin's stack is small, and many readers go down it with
//! every bracket: nothing here does, however deep it is.

mod fields;
mod object;

use serde_json::value::RawValue;

pub(crate) use fields::Fields;
pub(crate) use object::{Object, list, quoted};

/// What may be JSON: a body, or a value in one.
pub(crate) trait Json<'t> {
    fn text(self) -> &'t str;
}

impl<'t> Json<'t> for &'t str {
    fn text(self) -> &'t str {
        self
    }
}

impl<'t> Json<'t> for &'t RawValue {
    fn text(self) -> &'t str {
        self.get()
    }
}

/// A body as text. Whether it is JSON is seen when it is taken apart.
pub(crate) fn read(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok()
}

/// JSON that somebody wrote into a text.
pub(crate) fn written(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// The text that a JSON string stands for; `None` if it is no string.
pub(crate) fn unquoted(text: &str) -> Option<String> {
    if !text.starts_with('"') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A whole number of tokens and the like, also where it is written as a float.
pub(crate) fn count(text: &str) -> Option<u64> {
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number: f64 = text.parse().ok()?;
    let is_exact = (0.0..9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0;
    is_exact.then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deep_is_read_without_going_down_the_stack() {
        let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        assert!(written(&deep).is_some());
        let body = format!(r#"{{"a":{deep},"b":1}}"#);
        let mut fields = Fields::of(body.as_str(), crate::at::At::Root).unwrap();
        assert_eq!(fields.positive("b"), Ok(Some(1)));
        assert!(fields.take("a").is_some());
    }

    #[test]
    fn a_count_may_be_written_as_a_float_and_is_no_other_number() {
        assert_eq!(count("7"), Some(7));
        assert_eq!(count("7.0"), Some(7));
        assert_eq!(count("18446744073709551615"), Some(u64::MAX));
        for other in ["-1", "7.5", "1e99", "\"7\"", "null", "NaN"] {
            assert_eq!(count(other), None, "{other}");
        }
    }
}
