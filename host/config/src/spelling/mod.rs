//! Texts with a spelling of their own, read strictly.
//!
//! One noun a file. A reader takes the text and gives the typed value, or a
//! [`Misspelt`] that says what is wrong and what would have been right.

mod header;
mod host;
mod matching;
mod name;
mod nearest;
mod network;
mod path;
mod printable;
mod protocol;
mod quantity;
mod share;
mod url;

pub(crate) use header::{header_name, header_value, matched_header_value, sent_header_name};
pub(crate) use matching::{host_match, method, model_name, path_match};
pub(crate) use name::{name, plugin};
pub use nearest::nearest;
pub(crate) use network::network;
pub(crate) use path::asked_path;
pub use printable::{printable, quote, steers_terminal};
pub(crate) use protocol::protocol;
pub(crate) use quantity::{period, show_bytes, show_period, size};
pub(crate) use share::share;
pub(crate) use url::{address, endpoint, origin, resolver};

/// Why a text is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misspelt {
    pub(crate) message: String,
    pub(crate) expected: &'static str,
    /// The text may hold a credential: neither it nor its line is shown.
    pub(crate) hidden: bool,
}

fn misspelt<T>(message: impl Into<String>, expected: &'static str) -> Result<T, Misspelt> {
    Err(Misspelt {
        message: message.into(),
        expected,
        hidden: false,
    })
}

fn misspelt_secret<T>(message: impl Into<String>, expected: &'static str) -> Result<T, Misspelt> {
    Err(Misspelt {
        message: message.into(),
        expected,
        hidden: true,
    })
}
