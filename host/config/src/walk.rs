//! Reads a document without some of its values, and knows where reading stopped.
//!
//! [`Walked`] stands between a type and the parser: it counts the entries of each map and
//! the items of each list, passes over those that it is told to, and notes the path of the
//! innermost value that could not be read. Knows nothing of what the types mean.

use std::{cell::RefCell, collections::HashSet, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess,
    SeqAccess, Visitor,
};

/// Which entry of each map and which item of each list on the way, counted from 0.
pub(crate) type Path = Vec<usize>;

/// One reading of a document.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    without: &'a HashSet<Path>,
    here: RefCell<Path>,
    stopped: RefCell<Option<Stop>>,
}

/// Where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Of the innermost value that could not be read.
    pub(crate) path: Path,
    /// Whether it was its key.
    pub(crate) is_key: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn without(without: &'a HashSet<Path>) -> Self {
        Self {
            without,
            here: RefCell::default(),
            stopped: RefCell::default(),
        }
    }

    /// Reads all but what is passed over.
    pub(crate) fn read<'de, T, D>(&self, deserializer: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        T::deserialize(Walked::new(deserializer, self))
    }

    /// `None` for the document as a whole.
    pub(crate) fn stopped(self) -> Option<Stop> {
        self.stopped.into_inner()
    }

    fn passes_over(&self, nth: usize) -> bool {
        let mut here = self.here.borrow_mut();
        here.push(nth);
        let is_without = self.without.contains(here.as_slice());
        here.pop();
        is_without
    }

    fn key<T, E>(&self, nth: usize, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.within(nth, true, read)
    }

    fn value<T, E>(&self, nth: usize, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.within(nth, false, read)
    }

    fn within<T, E>(
        &self,
        nth: usize,
        is_key: bool,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.here.borrow_mut().push(nth);
        let read = read();
        if read.is_err() {
            let stop = || Stop {
                path: self.here.borrow().clone(),
                is_key,
            };
            self.stopped.borrow_mut().get_or_insert_with(stop);
        }
        self.here.borrow_mut().pop();
        read
    }
}

/// A part of serde's machinery, watched.
struct Walked<'w, T> {
    inner: T,
    walk: &'w Walk<'w>,
    /// A value with its place, which the parser shows as a map that is none.
    is_placed: bool,
}

impl<'w, T> Walked<'w, T> {
    fn new(inner: T, walk: &'w Walk<'w>) -> Self {
        Self {
            inner,
            walk,
            is_placed: false,
        }
    }

    fn with<U>(&self, inner: U) -> Walked<'w, U> {
        Walked {
            inner,
            walk: self.walk,
            is_placed: self.is_placed,
        }
    }
}

/// The name by which the parser knows a value that wants its place.
const PLACED: &str = "__yaml_spanned";

/// Of the map that the parser shows then, the entry that the value stands in; the others
/// say where.
const VALUE: usize = 1;

macro_rules! read {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with(visitor);
            self.inner.$method($($argument,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Walked<'_, D> {
    type Error = D::Error;

    read! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let mut visitor = self.with(visitor);
        visitor.is_placed |= name == PLACED;
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! see {
    ($($method:ident($($value:ident: $kind:ty)?))*) => {
        $(fn $method<E: Error>(self, $($value: $kind)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Walked<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    see! {
        visit_bool(value: bool)
        visit_i8(value: i8)
        visit_i16(value: i16)
        visit_i32(value: i32)
        visit_i64(value: i64)
        visit_i128(value: i128)
        visit_u8(value: u8)
        visit_u16(value: u16)
        visit_u32(value: u32)
        visit_u64(value: u64)
        visit_u128(value: u128)
        visit_f32(value: f32)
        visit_f64(value: f64)
        visit_char(value: char)
        visit_str(value: &str)
        visit_borrowed_str(value: &'de str)
        visit_string(value: String)
        visit_bytes(value: &[u8])
        visit_borrowed_bytes(value: &'de [u8])
        visit_byte_buf(value: Vec<u8>)
        visit_none()
        visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = Walked::new(inner, self.walk);
        self.inner.visit_seq(Items { inner, next: 0 })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_map(Entries { inner, next: 0 })
    }

    /// What stands in a variant is read or refused with it.
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(inner)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Walked<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = Walked::new(deserializer, self.walk);
        self.inner.deserialize(deserializer)
    }
}

struct Items<'w, A> {
    inner: Walked<'w, A>,
    next: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Walked { inner, walk, .. } = &mut self.inner;
        while walk.passes_over(self.next) {
            if inner.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
            self.next += 1;
        }
        let nth = self.next;
        self.next += 1;
        walk.value(nth, || inner.next_element_seed(Walked::new(seed, walk)))
    }
}

struct Entries<'w, A> {
    inner: Walked<'w, A>,
    /// The entry whose key comes next.
    next: usize,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Walked {
            inner,
            walk,
            is_placed,
        } = &mut self.inner;
        if *is_placed {
            self.next += 1;
            return inner.next_key_seed(seed);
        }
        while walk.passes_over(self.next) {
            if inner.next_key::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
            inner.next_value::<IgnoredAny>()?;
            self.next += 1;
        }
        let nth = self.next;
        self.next += 1;
        walk.key(nth, || inner.next_key_seed(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let Walked {
            inner,
            walk,
            is_placed,
        } = &mut self.inner;
        let nth = self.next.saturating_sub(1);
        match *is_placed {
            true if nth == VALUE => inner.next_value_seed(Walked::new(seed, walk)),
            true => inner.next_value_seed(seed),
            false => walk.value(nth, || inner.next_value_seed(Walked::new(seed, walk))),
        }
    }
}

#[cfg(test)]
mod tests {
    //! How the parser hands on a value with its place is known here, though it promises nobody.

    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        place::{At, Place},
        yaml,
    };

    type Placed = At<Vec<At<BTreeMap<String, At<u64>>>>>;

    const TEXT: &str = "- { a: 1, b: x, c: 3 }\n- nothing\n- { d: 4, e: [] }\n";

    fn read(without: &[&[usize]]) -> Result<Placed, Option<Stop>> {
        let without = without.iter().map(|path| path.to_vec()).collect();
        let walk = Walk::without(&without);
        let read = yaml::read_walked(TEXT, &walk);
        read.map_err(|_| walk.stopped())
    }

    #[test]
    fn what_stands_beside_and_below_an_entry_that_is_passed_over_keeps_its_place() {
        let read = read(&[&[0, 1], &[1], &[2, 1]]).unwrap();
        let at = |line, column| Place { line, column };
        assert_eq!(read.place, at(1, 1));
        let maps: Vec<_> = read.value.iter().map(|map| map.place).collect();
        assert_eq!(maps, [at(1, 3), at(3, 3)]);
        let all = read.value.iter().flat_map(|map| &map.value);
        let all: Vec<_> = all
            .map(|(key, At { value, place })| (key.as_str(), *value, *place))
            .collect();
        assert_eq!(
            all,
            [("a", 1, at(1, 8)), ("c", 3, at(1, 20)), ("d", 4, at(3, 8))]
        );
    }

    #[test]
    fn reading_stops_at_the_innermost_value_however_many_have_places() {
        let stopped = |without: &[&[usize]]| {
            let Stop { path, is_key } = read(without).unwrap_err().unwrap();
            assert!(!is_key);
            path
        };
        assert_eq!(stopped(&[]), [0, 1]);
        assert_eq!(stopped(&[&[0, 1]]), [1]);
        assert_eq!(stopped(&[&[0, 1], &[1]]), [2, 1]);
    }
}
