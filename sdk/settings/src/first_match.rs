//! Lists of which the first entry that has a name counts.

use std::collections::BTreeMap;

use crate::Pattern;

/// Which entry of a list is the first that has a name.
///
/// Exact names are looked up, and of the globs only those are tried that stand before what
/// was found, so thousands of names cost no more than a few. Nothing is allocated.
///
/// ```
/// use tollgate_settings::{FirstMatch, Pattern};
///
/// let list = |names: &[&str]| -> Vec<Pattern> {
///     names.iter().map(|name| name.parse().unwrap()).collect()
/// };
/// let rules = [list(&["gpt-4o"]), list(&["gpt-*", "o1"]), list(&["*"])];
/// let first = FirstMatch::of(&rules);
/// assert_eq!(first.place("gpt-4o"), Some(0));
/// assert_eq!(first.place("gpt-5"), Some(1));
/// assert_eq!(first.place("llama"), Some(2));
/// ```
#[derive(Debug, Clone, Default)]
pub struct FirstMatch {
    names: BTreeMap<Box<str>, usize>,
    globs: Vec<(Pattern, usize)>,
}

impl FirstMatch {
    /// Of entries with a list of patterns each, in their order.
    pub fn of<'a, L>(entries: impl IntoIterator<Item = L>) -> Self
    where
        L: IntoIterator<Item = &'a Pattern>,
    {
        let mut first = Self::default();
        for (place, patterns) in entries.into_iter().enumerate() {
            for pattern in patterns {
                if pattern.is_glob() {
                    first.globs.push((pattern.clone(), place));
                } else {
                    let name = Box::from(pattern.as_str());
                    first.names.entry(name).or_insert(place);
                }
            }
        }
        first
    }

    /// The place of the first entry that has the name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        let by_name = self.names.get(name).copied();
        let by_glob = self
            .globs
            .iter()
            .take_while(|(_, place)| by_name.is_none_or(|named| *place < named))
            .find(|(glob, _)| glob.has(name))
            .map(|(_, place)| *place);
        by_glob.or(by_name)
    }

    /// The place of the first entry that has one of the names, where something goes by
    /// several.
    ///
    /// ```
    /// use tollgate_settings::{FirstMatch, Pattern};
    ///
    /// let [a, b]: [Pattern; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    /// let first = FirstMatch::of([[&a], [&b]]);
    /// assert_eq!(first.place_of_any(&[Some("b"), None, Some("a")]), Some(0));
    /// assert_eq!(first.place_of_any(&[None]), None);
    /// ```
    #[must_use]
    pub fn place_of_any(&self, names: &[Option<&str>]) -> Option<usize> {
        names
            .iter()
            .flatten()
            .filter_map(|name| self.place(name))
            .min()
    }
}

/// A pattern that stands in a list of entries a second time, so that it is never reached
/// there.
///
/// ```
/// use tollgate_settings::{Pattern, repeats};
///
/// let a: Pattern = "a".parse().unwrap();
/// let found = repeats([[&a], [&a]]);
/// assert_eq!((found[0].entry, found[0].at, found[0].first), (1, 0, 0));
/// assert_eq!(found[0].says("rules"), "/rules/1/models/0: `a` is never reached here: /rules/0 has it already");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat<'a> {
    /// The entry that it stands in.
    pub entry: usize,
    /// Where in that entry's list.
    pub at: usize,
    /// The pattern.
    pub pattern: &'a Pattern,
    /// The entry that has it first.
    pub first: usize,
}

impl Repeat<'_> {
    /// For an operator: a mistake in `list`, whose entries have their patterns in `models`.
    #[must_use]
    pub fn says(&self, list: &str) -> String {
        let Self {
            entry,
            at,
            pattern,
            first,
        } = self;
        format!(
            "/{list}/{entry}/models/{at}: `{pattern}` is never reached here: \
             /{list}/{first} has it already"
        )
    }
}

/// Every pattern that stands in the entries before, or before in its own entry.
pub fn repeats<'a, L>(entries: impl IntoIterator<Item = L>) -> Vec<Repeat<'a>>
where
    L: IntoIterator<Item = &'a Pattern>,
{
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (entry, patterns) in entries.into_iter().enumerate() {
        for (at, pattern) in patterns.into_iter().enumerate() {
            match seen.get(pattern) {
                Some(&first) => found.push(Repeat {
                    entry,
                    at,
                    pattern,
                    first,
                }),
                None => drop(seen.insert(pattern, entry)),
            }
        }
    }
    found
}
