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
    spelling,
};

/// Reads one YAML document, shown as `file` in messages.
///
/// # Errors
/// Every mistake of form, with its place.
pub fn read_yaml<T: DeserializeOwned + Send>(text: &str, file: &Path) -> Result<T, Problems> {
    let source = Source::new(file.to_owned(), text.to_owned());
    form::read_any(&source).whole()
}

/// A mistake at `pointer` (RFC 6901) of a document that could be read, or at the nearest
/// value above it.
#[must_use]
pub fn problem_at(text: &str, file: &Path, pointer: &str, message: &str) -> Problem {
    let place = locate_in(text, file, pointer).map_or(Place::START, |at| Place {
        line: at.line,
        column: at.column,
    });
    Source::new(file.to_owned(), text.to_owned()).problem(place, message.to_owned(), None)
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
