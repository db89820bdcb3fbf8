//! Other YAML files than the configuration, read under the same bounds and with the
//! same messages.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    error::{Problem, Problems},
    form,
    locate::locate_in,
    place::Place,
    source::Source,
    spelling::{self, printable},
    yaml,
};

/// Of all readings of one document together.
const READ_BYTES_MAX: usize = 4 << 20;

/// Reads one YAML document, shown as `file` in messages.
///
/// A document with mistakes is read again and again, to find them all: for text that somebody
/// waits for who can mend it. For any other there is [`read_yaml_to_first_mistake`].
///
/// # Errors
/// Every mistake of form, with its place.
pub fn read_yaml<T: DeserializeOwned + Send>(text: &str, file: &Path) -> Result<T, Problems> {
    let source = Source::new(file.to_owned(), text.to_owned());
    form::read_any(&source, READ_BYTES_MAX).whole()
}

/// As [`read_yaml`], but the document is read only once.
///
/// # Errors
/// The first mistake of form.
pub fn read_yaml_to_first_mistake<T: DeserializeOwned>(
    text: &str,
    file: &Path,
) -> Result<T, Problem> {
    let source = Source::new(file.to_owned(), text.to_owned());
    yaml::read(&source.text).map_err(|error| yaml::problem(&source, error.without_snippet()))
}

/// A mistake at `pointer` (RFC 6901) of a document that could be read, or at the nearest
/// value above it.
#[must_use]
pub fn problem_at(text: &str, file: &Path, pointer: &str, message: &str) -> Problem {
    let place = locate_in(text, file, pointer).map_or(Place::START, |at| Place {
        line: at.line,
        column: at.column,
    });
    let source = Source::new(file.to_owned(), text.to_owned());
    source.problem(place, printable(message), None)
}

/// `64KiB`, `16MiB`, `1GiB`, or plain bytes; `None` for anything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    spelling::size(text).ok()
}

/// `10ms`, `2s`, `5m` or another time as the configuration spells it; `None` for anything else.
#[must_use]
pub fn parse_period(text: &str) -> Option<Duration> {
    spelling::period(text).ok()
}

/// An IP address and a port to listen on.
///
/// # Errors
/// What was expected.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    spelling::address(text).map_err(|misspelt| format!("expected {}", misspelt.expected))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::collections::BTreeMap;

    use super::*;

    const FILE: &str = "a.yaml";

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Known {
        settings: BTreeMap<String, serde_json::Value>,
    }

    /// Large, and wrong in as many places as are told.
    fn large() -> String {
        let unknown: String = (0..99).map(|nth| format!("unknown{nth}: 1\n")).collect();
        format!("# {}\n{unknown}", "x".repeat(400 << 10))
    }

    #[test]
    fn a_large_document_is_not_read_again_for_each_of_its_mistakes() {
        let problems = read_yaml::<Known>(&large(), Path::new(FILE)).unwrap_err();
        assert_eq!(problems.iter().count(), 10);
        assert!(problems.to_string().ends_with("\n\nand there may be more"));
    }

    #[test]
    fn a_document_may_be_read_to_its_first_mistake_and_no_further() {
        let read = |text: &str| read_yaml_to_first_mistake::<Known>(text, Path::new(FILE));
        assert_eq!(read(&large()).unwrap_err().location.line, 2);
        let twice = read("settings: { a: 1, a: 2, a: 3 }\n").unwrap_err();
        assert_eq!(twice.location.column, 19);
        assert!(read("settings: { a: 1 }\n").is_ok());
    }

    #[test]
    fn words_of_the_document_are_told_on_one_line_and_cut() {
        let hostile = format!("no such word: `\u{1b}[2J\n{}`", "x".repeat(1 << 20));
        let problem = problem_at("a: 1\n", Path::new(FILE), "/a", &hostile);
        assert!(problem.message.len() < 2_000);
        assert!(!problem.message.contains(spelling::steers_terminal));
    }
}
