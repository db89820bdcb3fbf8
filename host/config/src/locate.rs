//! Places found again, for messages about values that were read before.
//!
//! A plugin refuses settings by JSON pointer; the operator wants the line. The file
//! is read once more for it, so a place is only as exact as the file is unchanged:
//! where it does not fit any more, the nearest place that is known is given.

use std::{fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::{
    model::{Location, Policy},
    place::{At, Place},
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
    let root: At<Shape> = yaml::read(text).ok()?;
    let Place { line, column } = follow(&root, pointer).place;
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
        self.find_setting(pointer)
            .unwrap_or_else(|| self.settings_at.clone())
    }

    fn find_setting(&self, pointer: &str) -> Option<Location> {
        let source = source::read_again(&self.settings_at.file)?;
        let root: At<Shape> = yaml::read(&source.text).ok()?;
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

/// The places of a document, without its values.
#[derive(Debug)]
enum Shape {
    Leaf,
    List(Vec<At<Shape>>),
    Map(Vec<(String, At<Shape>)>),
}

impl Shape {
    fn child(&self, token: &str) -> Option<&At<Self>> {
        match self {
            Self::Leaf => None,
            Self::List(items) => items.get(token.parse::<usize>().ok()?),
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| key == token)
                .map(|(_, value)| value),
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outline)
    }
}

struct Outline;

impl<'de> Visitor<'de> for Outline {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Map(entries))
    }
}
