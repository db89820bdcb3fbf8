//! Names and globs.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A name, or a glob in which each `*` stands for any text, also none.
///
/// Nothing but `*` is special, and case counts. A name is matched without allocating, in
/// a time bounded by the product of both lengths, whatever a client sends.
///
/// ```
/// use tollgate_settings::Pattern;
///
/// let pattern: Pattern = "gpt-*-mini".parse().unwrap();
/// assert!(pattern.has("gpt-4o-mini"));
/// assert!(!pattern.has("gpt-4o"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(description = "A name, or a glob in which each `*` stands for any text, also none.")]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The longest, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Whether the name is the pattern's, or one of its.
    ///
    /// ```
    /// use tollgate_settings::Pattern;
    ///
    /// let exact: Pattern = "llama-3".parse().unwrap();
    /// assert!(exact.has("llama-3") && !exact.has("Llama-3"));
    /// ```
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut in_name) = (0, 0);
        // At a mismatch it goes back to the last `*` alone: an earlier one that takes more
        // finds nothing that the last one cannot find.
        let mut last_star = None;
        while in_name < name.len() {
            if pattern.get(at) == Some(&b'*') {
                last_star = Some((at, in_name));
                at += 1;
            } else if pattern.get(at) == Some(&name[in_name]) {
                at += 1;
                in_name += 1;
            } else if let Some((star, taken)) = last_star {
                at = star + 1;
                in_name = taken + 1;
                last_star = Some((star, in_name));
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }

    /// Whether it has a `*`.
    ///
    /// ```
    /// assert!("gpt-*".parse::<tollgate_settings::Pattern>().unwrap().is_glob());
    /// ```
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.0.contains('*')
    }

    /// As it is written.
    ///
    /// ```
    /// let pattern: tollgate_settings::Pattern = "gpt-*".parse().unwrap();
    /// assert_eq!(pattern.as_str(), "gpt-*");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that the pattern has, for a sample.
    ///
    /// ```
    /// let pattern: tollgate_settings::Pattern = "gpt-*".parse().unwrap();
    /// assert!(pattern.has(&pattern.example()));
    /// ```
    #[must_use]
    pub fn example(&self) -> String {
        self.0.replace('*', "x")
    }
}

/// Why a text is no [`Pattern`]: it is empty, or too long.
///
/// ```
/// let error = "".parse::<tollgate_settings::Pattern>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "expected a name of 1 to 256 bytes, `*` for any text, found 0 bytes",
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern {
    bytes: usize,
}

impl std::error::Error for BadPattern {}

impl fmt::Display for BadPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "expected a name of 1 to {} bytes, `*` for any text, found {} bytes",
            Pattern::BYTES_MAX,
            self.bytes
        )
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        if (1..=Self::BYTES_MAX).contains(&text.len()) {
            Ok(Self(text.into_boxed_str()))
        } else {
            Err(BadPattern { bytes: text.len() })
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
