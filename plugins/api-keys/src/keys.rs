//! The known keys, found by hash, and what each is good for.

use std::fmt;

use tollgate_settings::Pattern;

use crate::{
    expiry::Expiry,
    hash::{KeyHash, prefix},
    written::{Caller, CallersKey, LoneKey},
};

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    hash: KeyHash,
    /// Which one of the callers.
    caller: usize,
    pub(crate) expires: Option<Expiry>,
    models: Option<Vec<Pattern>>,
    place: Place,
}

/// What the keys of one caller have in common.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) caller: String,
    pub(crate) tier: Option<String>,
    models: Option<Vec<Pattern>>,
    place: Place,
}

/// Where in the settings something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Key(usize),
    Caller(usize),
    CallersKey(usize, usize),
}

/// All keys, in the order of their hashes.
///
/// A presented key is hashed, then compared in constant time with those stored hashes that
/// have the same first eight bytes. How long finding these takes depends on the hash of
/// what was presented, which says nothing of use: to steer it towards a stored hash one
/// would have to invert SHA-256, and the eight bytes do not help to find the key. So
/// thousands of keys cost a dozen comparisons, and still no key is guessed byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    holders: Vec<Holder>,
}

/// A key that was presented and is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) key: &'a Key,
    pub(crate) holder: &'a Holder,
}

impl Keys {
    pub(crate) fn of(keys: Vec<LoneKey>, callers: Vec<Caller>) -> Self {
        let mut all = Self::default();
        for (nth, key) in keys.into_iter().enumerate() {
            all.add_lone(nth, key);
        }
        for (nth, caller) in callers.into_iter().enumerate() {
            all.add_caller(nth, caller);
        }
        all.keys.sort_unstable_by_key(|key| (key.hash, key.place));
        all
    }

    fn add_lone(&mut self, nth: usize, key: LoneKey) {
        let place = Place::Key(nth);
        self.keys.push(Key {
            hash: key.sha256,
            caller: self.holders.len(),
            expires: key.expires,
            models: None,
            place,
        });
        self.holders.push(Holder {
            caller: key.caller,
            tier: key.tier,
            models: key.models,
            place,
        });
    }

    fn add_caller(&mut self, nth: usize, caller: Caller) {
        let of_caller = |(nth_key, key): (usize, CallersKey)| Key {
            hash: key.sha256,
            caller: self.holders.len(),
            expires: key.expires,
            models: key.models,
            place: Place::CallersKey(nth, nth_key),
        };
        self.keys
            .extend(caller.keys.into_iter().enumerate().map(of_caller));
        self.holders.push(Holder {
            caller: caller.caller,
            tier: caller.tier,
            models: caller.models,
            place: Place::Caller(nth),
        });
    }

    pub(crate) fn find(&self, presented: &[u8; 32]) -> Option<Known<'_>> {
        let prefix = prefix(presented);
        let start = self.keys.partition_point(|key| key.hash.prefix() < prefix);
        let alike = self.keys[start..]
            .iter()
            .take_while(|key| key.hash.prefix() == prefix);
        let mut found = None;
        for key in alike {
            if key.hash.is_of(presented) {
                found = Some(key);
            }
        }
        let key = found?;
        let holder = self.holders.get(key.caller)?;
        Some(Known { key, holder })
    }

    /// Whether some key may ask for some models only.
    pub(crate) fn go_by_model(&self) -> bool {
        self.lists().next().is_some()
    }

    /// Every mistake that the types let through, in the order of the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.keys.is_empty() {
            mistakes.push("/keys: at least one key is needed".to_owned());
        }
        for Holder {
            caller,
            tier,
            place,
            ..
        } in &self.holders
        {
            for (name, value) in [("caller", Some(caller)), ("tier", tier.as_ref())] {
                if value.is_some_and(|value| !is_fact(value)) {
                    mistakes.push(format!(
                        "{place}/{name}: expected 1 to 256 bytes without control characters"
                    ));
                }
            }
        }
        let empty = self.lists().filter(|(_, models)| models.is_empty());
        mistakes.extend(empty.map(|(place, _)| {
            format!("{place}/models: expected at least one model; leave it out to allow all")
        }));
        let pairs = self.keys.windows(2).map(|pair| (&pair[0], &pair[1]));
        let same = pairs.filter(|(one, other)| one.hash == other.hash);
        mistakes.extend(
            same.map(|(one, other)| {
                format!("{}/sha256: the same key as {}", other.place, one.place)
            }),
        );
        mistakes
    }

    fn lists(&self) -> impl Iterator<Item = (Place, &[Pattern])> {
        let holders = self
            .holders
            .iter()
            .map(|holder| (holder.place, &holder.models));
        let keys = self.keys.iter().map(|key| (key.place, &key.models));
        holders
            .chain(keys)
            .filter_map(|(place, models)| Some((place, models.as_deref()?)))
    }
}

impl Known<'_> {
    /// Whether there is a list of models.
    pub(crate) fn goes_by_model(&self) -> bool {
        self.key.models.is_some() || self.holder.models.is_some()
    }

    /// Where both caller and key have a list, both have to have the model.
    pub(crate) fn may_use(&self, model: &str) -> bool {
        [&self.holder.models, &self.key.models]
            .into_iter()
            .flatten()
            .all(|models| models.iter().any(|pattern| pattern.has(model)))
    }
}

fn is_fact(value: &str) -> bool {
    !value.is_empty() && value.len() <= 256 && !value.contains(char::is_control)
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(nth) => write!(out, "/keys/{nth}"),
            Self::Caller(nth) => write!(out, "/callers/{nth}"),
            Self::CallersKey(caller, nth) => write!(out, "/callers/{caller}/keys/{nth}"),
        }
    }
}
