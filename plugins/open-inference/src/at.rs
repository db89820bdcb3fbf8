//! Where something stands in a body, to be named in an error.

use std::fmt;

/// A place; it costs nothing until it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    pub(crate) fn field<'a>(&'a self, name: &'a str) -> At<'a> {
        At::Field(self, name)
    }

    pub(crate) fn item(&self, place: usize) -> At<'_> {
        At::Item(self, place)
    }

    /// Of the field, or of the field whose array it stands in.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Root => "",
            Self::Field(_, name) => name,
            Self::Item(parent, _) => parent.name(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => out.write_str(name),
            Self::Field(parent, name) => write!(out, "{parent}.{name}"),
            Self::Item(parent, place) => write!(out, "{parent}[{place}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_one_would_write_it() {
        let messages = At::Root.field("messages");
        let second = messages.item(1);
        assert_eq!(second.field("role").to_string(), "messages[1].role");
    }
}
