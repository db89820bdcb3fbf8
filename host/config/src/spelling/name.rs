//! Names that the operator chooses.

use super::{Misspelt, misspelt, quote};

/// Of a policy, an upstream, a model, a secret or a route: it goes into logs and metrics.
pub(crate) fn name(text: &str) -> Result<String, Misspelt> {
    const LONGEST: usize = 128;
    const EXPECTED: &str =
        "a name of 1 to 128 bytes without control characters or spaces around it";
    if text.is_empty()
        || text.len() > LONGEST
        || text.trim() != text
        || text.chars().any(char::is_control)
    {
        return misspelt(format!("{} is no name", quote(text)), EXPECTED);
    }
    Ok(text.to_owned())
}

/// Of a plugin: it becomes the name of a file.
pub(crate) fn plugin(text: &str) -> Result<String, Misspelt> {
    const EXPECTED: &str = "the name of its file without `.wasm`: letters, digits, `-` and `_`";
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 128 || text.starts_with('-') || !text.bytes().all(good) {
        return misspelt(format!("{} is no plugin's name", quote(text)), EXPECTED);
    }
    Ok(text.to_owned())
}
