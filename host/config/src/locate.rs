//! Places found again, for messages about values that were read before.
//!
//! A plugin refuses settings by JSON pointer; the operator wants the line. The file
//! is read once more for it, so a place is only as exact as the file is unchanged:
//! where it does not fit any more, the nearest place that is known is given.

use std::path::Path;

use crate::{
    model::{Location, Policy},
    place::{At, Place},
    shape::Shape,
    source::{self, Source},
    yaml,
};

/// Where the value at `pointer` (RFC 6901) stands in `file`, or the nearest value
/// above it that exists. `None` if the file cannot be read as YAML.
pub fn locate(file: &Path, pointer: &str) -> Option<Location> {
    let source = source::read_again(file)?;
    locate_in(&source.text, &source.path, pointer)
}

/// As [`locate`], in `text`, which is that of `file`.
pub fn locate_in(text: &str, file: &Path, pointer: &str) -> Option<Location> {
    let find = || Some(follow(&yaml::outline(text).ok()?, pointer).place);
    let Place { line, column } = yaml::deeply(find)??;
    Some(Location {
        file: file.to_owned(),
        line,
        column,
    })
}

/// `message` with its place, the line, and a caret, as [`load`](crate::load) shows
/// its own. The line is left out if the file cannot be read any more.
pub fn render(location: &Location, message: &str) -> String {
    let place = Place {
        line: location.line.max(1),
        column: location.column.max(1),
    };
    let known = source::read_again(&location.file).filter(|_| location.line > 0);
    let source = known.unwrap_or_else(|| Source::new(location.file.clone(), String::new()));
    source.problem(place, message.to_owned(), None).to_string()
}

impl Policy {
    /// Where the setting at `pointer` (RFC 6901, below `settings`) stands, or the
    /// nearest one above it; [`settings_at`](Self::settings_at) at worst.
    pub fn locate_setting(&self, pointer: &str) -> Location {
        let found = yaml::deeply(|| self.find_setting(pointer)).flatten();
        found.unwrap_or_else(|| self.settings_at.clone())
    }

    fn find_setting(&self, pointer: &str) -> Option<Location> {
        let source = source::read_again(&self.settings_at.file)?;
        let root = yaml::outline(&source.text).ok()?;
        let Shape::Map(policies) = &root.value.child("policies")?.value else {
            return None;
        };
        let is_here = |settings: &&At<Shape>| source.location(settings.place) == self.settings_at;
        let settings = policies
            .iter()
            .filter_map(|(_, policy)| policy.value.child("settings"))
            .find(is_here)?;
        Some(source.location(follow(settings, pointer).place))
    }
}

/// The deepest value on the way of `pointer` that exists.
fn follow<'a>(from: &'a At<Shape>, pointer: &str) -> &'a At<Shape> {
    let mut here = from;
    for token in pointer.split('/').skip(1) {
        let Some(next) = here
            .value
            .child(&token.replace("~1", "/").replace("~0", "~"))
        else {
            break;
        };
        here = next;
    }
    here
}
