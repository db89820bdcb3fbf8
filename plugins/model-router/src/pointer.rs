//! JSON pointers of mistakes.

/// A name as a step of a pointer (RFC 6901).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
