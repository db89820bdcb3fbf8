//! What the loop tells, and what it is told.

use std::{net::SocketAddr, time::Duration};

use crate::trace::Trace;

/// What the loop tells whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// A build begins.
    Building,
    /// The gateway serves for the first time.
    Started(Started),
    /// A version went live.
    Live(Live),
    /// It built to the very plugin that is live.
    Unchanged,
    /// A version did not go live.
    Setback(Setback),
    /// An exchange ended.
    Exchange(Box<Trace>),
    /// Exchanges that are not shown.
    Lost {
        /// Since this was read too slowly.
        slow: u64,
        /// Since there were too many at once.
        skipped: u64,
    },
    /// Something worth a line.
    Note(String),
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// Where the gateway listens.
    pub(crate) addr: SocketAddr,
    /// Its admin port.
    pub(crate) admin: SocketAddr,
    /// What stands behind it, in words.
    pub(crate) upstream: String,
}

/// A version that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    /// The generation that it came with.
    pub(crate) generation: u64,
    /// The plugin's name.
    pub(crate) name: String,
    /// Of the plugin.
    pub(crate) version: String,
    /// Of the file.
    pub(crate) bytes: u64,
    /// Where its settings come from, in words.
    pub(crate) settings: String,
    /// What cargo took, and the check.
    pub(crate) built: Duration,
    /// From the change being noticed to the swap.
    pub(crate) took: Duration,
}

/// A version that does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setback {
    /// What did not go well, such as `short-prompts does not build`.
    pub(crate) what: String,
    /// Why, in the compiler's words or the gateway's.
    pub(crate) why: String,
    /// The generation that goes on; `None`: there is none yet.
    pub(crate) generation: Option<u64>,
}

/// What the loop is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Send a plain request and one that asks for a stream.
    Sample,
    /// Build, whether or not a file changed.
    Build,
}
