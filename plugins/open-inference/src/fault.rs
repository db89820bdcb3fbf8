//! What is wrong with something that was to be translated.

use crate::at::At;

/// Names the place and says what was expected there; never what stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Whether all is well with it, except that the other side has no such thing.
    pub(crate) is_unsupported: bool,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn expected(at: At, what: &str) -> Self {
        let message = match at {
            At::Root => format!("expected {what}"),
            at => format!("`{at}`: expected {what}"),
        };
        Self {
            is_unsupported: false,
            message,
        }
    }

    /// What the other side does not have.
    pub(crate) fn unsupported(at: At, side: &str) -> Self {
        Self {
            is_unsupported: true,
            message: format!("`{at}`: there is no such thing in {side}"),
        }
    }
}
