//! What conditions look at.

use crate::pointer::escape;

/// In the order in which they are looked at: what is at hand first, what has to be asked
/// for last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Streaming,
    Model,
    Version,
    Route,
    Caller,
    Tier,
    /// Any one of the groups.
    Group,
    Country,
    Region,
    Fact(String),
    /// Its name in lower case.
    Header(String),
    Json(String),
}

impl Subject {
    /// Where it stands below `when`.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Streaming => "/streaming".to_owned(),
            Self::Model => "/models".to_owned(),
            Self::Version => "/versions".to_owned(),
            Self::Route => "/routes".to_owned(),
            Self::Caller => "/callers".to_owned(),
            Self::Tier => "/tiers".to_owned(),
            Self::Group => "/groups".to_owned(),
            Self::Country => "/countries".to_owned(),
            Self::Region => "/regions".to_owned(),
            Self::Fact(name) => format!("/facts/{}", escape(name)),
            Self::Header(name) => format!("/headers/{}", escape(name)),
            Self::Json(pointer) => format!("/json/{}", escape(pointer)),
        }
    }

    /// Whether the request's body has to be read for it.
    pub(crate) fn is_in_the_body(&self) -> bool {
        matches!(self, Self::Streaming | Self::Model | Self::Json(_))
    }
}
