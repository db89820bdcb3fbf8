//! JSON pointers (RFC 6901) on parsed JSON, with the host's rules.
//!
//! Setting creates the objects that are missing, `-` and the index after the last append
//! to an array, and removing what is not there is no mistake.
//!
//! ```
//! use tollgate_sdk::pointer;
//!
//! let mut body = serde_json::json!({ "stop": ["a"] });
//! pointer::set(&mut body, "/stop/-", "b".into()).unwrap();
//! pointer::remove(&mut body, "/stop/0").unwrap();
//! assert_eq!(body, serde_json::json!({ "stop": ["b"] }));
//! ```

use serde_json::Value;

/// Why a pointer cannot be followed. The document is as it was.
///
/// ```
/// use tollgate_sdk::pointer::{self, BadPointer};
///
/// let mut body = serde_json::json!({ "n": 1 });
/// assert_eq!(pointer::set(&mut body, "/n/m", 1.into()), Err(BadPointer::NoFields));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPointer {
    /// It neither is empty nor starts with `/`, or has a `~` that escapes nothing.
    Syntax,
    /// It leads through a string, number, boolean or null.
    NoFields,
    /// There is no such place in an array.
    Index,
    /// The whole document cannot be removed.
    Root,
}

impl std::error::Error for BadPointer {}

impl std::fmt::Display for BadPointer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Syntax => "not a JSON pointer",
            Self::NoFields => "the pointer leads through a value that has no fields",
            Self::Index => "no such index in the array",
            Self::Root => "the whole document cannot be removed",
        })
    }
}

/// Whether `inner` is `outer` or lies below it.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The pointer to the container, and the last token as written.
pub(crate) fn split_last(pointer: &str) -> Option<(&str, &str)> {
    pointer.rsplit_once('/')
}

/// Whether a token can name an element of an array.
pub(crate) fn is_index(token: &str) -> bool {
    token == "-" || (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The names that a pointer goes through, unescaped.
///
/// ```
/// use tollgate_sdk::pointer;
///
/// assert_eq!(pointer::tokens("/a~1b/0").unwrap(), ["a/b", "0"]);
/// ```
///
/// # Errors
/// It is no pointer.
pub fn tokens(pointer: &str) -> Result<Vec<String>, BadPointer> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or(BadPointer::Syntax)?;
    rest.split('/').map(unescape).collect()
}

fn unescape(token: &str) -> Result<String, BadPointer> {
    let mut out = String::with_capacity(token.len());
    let mut letters = token.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '~' => match letters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(BadPointer::Syntax),
            },
            other => other,
        });
    }
    Ok(out)
}

/// Puts a value where the pointer leads.
///
/// ```
/// use tollgate_sdk::pointer;
///
/// let mut body = serde_json::json!({});
/// pointer::set(&mut body, "/a/b", 1.into()).unwrap();
/// assert_eq!(body, serde_json::json!({ "a": { "b": 1 } }));
/// ```
///
/// # Errors
/// The pointer leads nowhere.
pub fn set(document: &mut Value, pointer: &str, value: Value) -> Result<(), BadPointer> {
    let tokens = tokens(pointer)?;
    let mut node = document;
    for (step, token) in tokens.iter().enumerate() {
        node = match node {
            Value::Object(fields) => {
                if !fields.contains_key(token) {
                    fields.insert(token.clone(), wrap(&tokens[step + 1..], value));
                    return Ok(());
                }
                fields.get_mut(token).ok_or(BadPointer::NoFields)?
            }
            Value::Array(items) => match index(token, items.len()) {
                Some(at) if at < items.len() => &mut items[at],
                Some(_) => {
                    items.push(wrap(&tokens[step + 1..], value));
                    return Ok(());
                }
                None => return Err(BadPointer::Index),
            },
            _ => return Err(BadPointer::NoFields),
        };
    }
    *node = value;
    Ok(())
}

/// Removes what the pointer leads to, if it is there.
///
/// ```
/// use tollgate_sdk::pointer;
///
/// let mut body = serde_json::json!({ "a": 1, "b": 2 });
/// pointer::remove(&mut body, "/a").unwrap();
/// assert_eq!(body, serde_json::json!({ "b": 2 }));
/// ```
///
/// # Errors
/// It is no pointer, or the one to the whole document.
pub fn remove(document: &mut Value, pointer: &str) -> Result<(), BadPointer> {
    let tokens = tokens(pointer)?;
    let Some((last, parents)) = tokens.split_last() else {
        return Err(BadPointer::Root);
    };
    let mut node = document;
    for token in parents {
        let inner = match node {
            Value::Object(fields) => fields.get_mut(token),
            Value::Array(items) => index(token, items.len()).and_then(|at| items.get_mut(at)),
            _ => None,
        };
        let Some(inner) = inner else { return Ok(()) };
        node = inner;
    }
    match node {
        Value::Object(fields) => {
            fields.shift_remove(last);
        }
        Value::Array(items) => {
            if let Some(at) = index(last, items.len()).filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        _ => {}
    }
    Ok(())
}

/// An index of an array of this length; its length for the place after the last.
fn index(token: &str, length: usize) -> Option<usize> {
    if token == "-" {
        return Some(length);
    }
    let canonical = token == "0"
        || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    canonical
        .then(|| token.parse().ok())
        .flatten()
        .filter(|at| *at <= length)
}

fn wrap(tokens: &[String], value: Value) -> Value {
    tokens.iter().rev().fold(value, |inner, token| {
        let mut fields = serde_json::Map::new();
        fields.insert(token.clone(), inner);
        Value::Object(fields)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn setting_creates_the_objects_that_are_missing() {
        let mut body = json!({ "a": 1 });
        set(&mut body, "/b/c/d", json!(2)).unwrap();
        assert_eq!(body, json!({ "a": 1, "b": { "c": { "d": 2 } } }));
    }

    #[test]
    fn an_array_takes_the_next_index_and_a_dash_but_no_gap() {
        let mut body = json!({ "list": [1] });
        set(&mut body, "/list/1", json!(2)).unwrap();
        set(&mut body, "/list/-", json!(3)).unwrap();
        assert_eq!(set(&mut body, "/list/9", json!(4)), Err(BadPointer::Index));
        assert_eq!(set(&mut body, "/list/01", json!(4)), Err(BadPointer::Index));
        assert_eq!(body, json!({ "list": [1, 2, 3] }));
    }

    #[test]
    fn a_number_has_no_fields() {
        assert_eq!(
            set(&mut json!({ "a": 1 }), "/a/b", json!(2)),
            Err(BadPointer::NoFields)
        );
    }

    #[test]
    fn escaped_tokens_name_fields_with_slashes_and_tildes() {
        let mut body = json!({});
        set(&mut body, "/a~1b/c~0d", json!(1)).unwrap();
        assert_eq!(body, json!({ "a/b": { "c~d": 1 } }));
        assert_eq!(set(&mut body, "/a~2", json!(1)), Err(BadPointer::Syntax));
    }

    #[test]
    fn removing_what_is_not_there_is_no_mistake() {
        let mut body = json!({ "a": [1, 2] });
        remove(&mut body, "/b/c").unwrap();
        remove(&mut body, "/a/7").unwrap();
        remove(&mut body, "/a/0").unwrap();
        assert_eq!(body, json!({ "a": [2] }));
        assert_eq!(remove(&mut body, ""), Err(BadPointer::Root));
    }
}
