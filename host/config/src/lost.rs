//! What of a source is not there, since its form was wrong.
//!
//! What is judged later is judged without it, so whatever may be wrong for that reason
//! alone is not told: a name that would be defined, a list that would be longer.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    place::{At, Place},
    shape::Shape,
};

/// Sections whose entries have nothing to do with each other.
const NAMED: [&str; 4] = ["secrets", "policies", "upstreams", "models"];

#[derive(Debug, Default)]
pub(crate) struct Lost {
    sections: BTreeMap<String, Section>,
    /// Whether there is a section of which nobody knows what it was to be.
    has_unknown_section: bool,
    /// Where values stand, and their keys, that lack something.
    partial: HashSet<Place>,
    /// Where values stand that might be wrong for lack of what should stand beside.
    beside: HashSet<Place>,
    /// Where values stand below which all do.
    shaken: HashSet<Place>,
}

/// What is missing of a section.
#[derive(Debug, Default)]
struct Section {
    /// All of it.
    is_whole: bool,
    /// Entries that lack something, or are not there.
    names: BTreeSet<String>,
}

impl Lost {
    /// The value at `path` is left out; `key` is what it should have been called.
    pub(crate) fn leave_out(&mut self, root: &At<Shape>, path: &[usize], key: Option<&str>) {
        let Some((last, above)) = path.split_last() else {
            return;
        };
        let mut here = root;
        let mut keys = Vec::new();
        self.partial.insert(root.place);
        for step in above {
            let Some((key, value)) = here.value.nth(*step) else {
                return;
            };
            self.partial.extend(key.map(|key| key.place));
            self.partial.insert(value.place);
            keys.push(key.map_or("", |key| key.value.as_str()));
            here = value;
        }
        let own = here.value.nth(*last).and_then(|(own, _)| own);
        keys.push(key.or(own.map(|own| own.value.as_str())).unwrap_or(""));
        self.remember(&keys);
        match keys.as_slice() {
            [_] => self.beside.extend(leaves(&here.value)),
            [section, _] if NAMED.contains(section) => {}
            _ if self.shaken.insert(here.place) => shake(here, &mut self.beside),
            _ => {}
        }
    }

    /// As [`leave_out`](Self::leave_out), where nothing is known of what the key was to be.
    pub(crate) fn leave_out_unknown(&mut self, root: &At<Shape>, path: &[usize]) {
        self.has_unknown_section |= path.len() == 1;
        self.leave_out(root, path, None);
    }

    fn remember(&mut self, keys: &[&str]) {
        let [section, below @ ..] = keys else { return };
        let section = self.sections.entry((*section).to_owned()).or_default();
        match below.first() {
            Some(name) => {
                section.names.insert((*name).to_owned());
            }
            None => section.is_whole = true,
        }
    }

    /// Whether something of this section is missing.
    pub(crate) fn any_of(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Whether this section could not be read at all.
    pub(crate) fn all_of(&self, section: &str) -> bool {
        self.sections.get(section).is_some_and(|lost| lost.is_whole)
    }

    /// Whether this section may be there, wrong or under another name.
    pub(crate) fn may_have(&self, section: &str) -> bool {
        self.any_of(section) || self.has_unknown_section
    }

    /// Whether a section that is nowhere may stand under another name.
    pub(crate) fn has_unknown_section(&self) -> bool {
        self.has_unknown_section
    }

    /// Entries of this section that lack something, or are not there.
    pub(crate) fn names(&self, section: &str) -> impl Iterator<Item = &String> {
        let section = self.sections.get(section);
        section.into_iter().flat_map(|section| &section.names)
    }

    /// Whether the value there, or the one that this key names, lacks something.
    pub(crate) fn is_partial(&self, place: Place) -> bool {
        self.partial.contains(&place)
    }

    /// Whether the same, or something is missing beside it.
    pub(crate) fn is_unsure(&self, place: Place) -> bool {
        self.is_partial(place) || self.beside.contains(&place)
    }
}

fn leaves(of: &Shape) -> impl Iterator<Item = Place> {
    let leaves = of
        .children()
        .filter(|child| matches!(child.value, Shape::Leaf));
    leaves.map(|leaf| leaf.place)
}

/// All that stands below.
fn shake(of: &At<Shape>, places: &mut HashSet<Place>) {
    for child in of.value.children() {
        places.insert(child.place);
        shake(child, places);
    }
}
