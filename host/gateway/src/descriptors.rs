//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many as the system lets this process ask for. Each connection takes one,
/// and what a process gets by default is for programs that use `select`. Best done, not
/// needed: where it is refused, things stay as they are.
///
/// ```
/// tollgate::descriptors::raise();
/// ```
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}
