//! An array of arrays, flat: its shape, and its elements as they were written.

use std::fmt::Write as _;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Array<'t> {
    pub(crate) shape: Vec<u64>,
    /// In row-major order; strings, numbers, booleans and nulls.
    pub(crate) elements: Vec<&'t str>,
}

/// Why something is no such array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ragged {
    /// It is a single value, or an object.
    NoArray,
    /// An object stands at this place in it.
    Object(String),
    /// It has more than [`RANK_MAX`] dimensions.
    TooDeep,
    /// At this place its rows are not of one length, or not of one depth.
    Uneven(String),
}

/// As many dimensions as numpy has had for long.
pub(crate) const RANK_MAX: usize = 32;

/// What stands in the arrays of one depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Unknown,
    Elements,
    Arrays,
}

/// The arrays of one depth.
struct Level {
    holds: Holds,
    /// Of those that were closed.
    length: Option<u64>,
    /// Of the one that is open.
    count: u64,
}

impl<'t> Array<'t> {
    /// Reads JSON, which has to be valid.
    ///
    /// # Errors
    /// It is ragged, or no array.
    pub(crate) fn read(text: &'t str) -> Result<Self, Ragged> {
        let text = text.trim_ascii();
        if !text.starts_with('[') {
            return Err(Ragged::NoArray);
        }
        let mut reader = Reader::default();
        if !text.contains('"') {
            // Memory is short, so the list of many numbers is not left to grow.
            let commas = text.bytes().filter(|byte| *byte == b',').count();
            reader.elements.reserve_exact(commas + 1);
        }
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at) {
            match byte {
                b'[' => {
                    reader.open()?;
                    at += 1;
                }
                b']' => {
                    reader.close()?;
                    at += 1;
                }
                b'{' => {
                    let _ = reader.hold(Holds::Elements);
                    return Err(Ragged::Object(place(&reader.levels[..reader.depth])));
                }
                b',' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                _ => {
                    let length = element_length(&text[at..]);
                    reader.element(&text[at..at + length])?;
                    at += length;
                }
            }
        }
        Ok(reader.into_array())
    }

    /// Writes the elements in one list.
    pub(crate) fn write_flat(elements: &[&str], out: &mut String) {
        let length = elements
            .iter()
            .map(|element| element.len() + 1)
            .sum::<usize>();
        out.reserve(length + 1);
        out.push('[');
        for (place, element) in elements.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(element);
        }
        out.push(']');
    }

    /// Writes them as arrays of arrays, as their shape says. There have to be as many as
    /// that takes.
    pub(crate) fn write_nested(shape: &[u64], elements: &[&str], out: &mut String) {
        let Some((length, inner)) = shape.split_first() else {
            out.push_str(elements.first().unwrap_or(&"null"));
            return;
        };
        if inner.is_empty() {
            return Self::write_flat(elements, out);
        }
        let length = usize::try_from(*length).unwrap_or(usize::MAX);
        let size = elements.len().checked_div(length).unwrap_or_default();
        out.push('[');
        for row in 0..length {
            if row > 0 {
                out.push(',');
            }
            let start = row * size;
            Self::write_nested(inner, &elements[start..start + size], out);
        }
        out.push(']');
    }
}

/// What it takes to write that many nested arrays is bounded by more than the elements: a
/// shape of `[4000000000, 0]` has none.
pub(crate) fn is_writable(shape: &[u64]) -> bool {
    const ARRAYS_MAX: u64 = 1 << 20;
    let mut arrays = 1_u64;
    for length in shape.iter().rev().skip(1).rev() {
        arrays = arrays.saturating_mul((*length).max(1));
    }
    arrays <= ARRAYS_MAX
}

#[derive(Default)]
struct Reader<'t> {
    levels: Vec<Level>,
    depth: usize,
    elements: Vec<&'t str>,
}

impl<'t> Reader<'t> {
    fn open(&mut self) -> Result<(), Ragged> {
        if self.depth == RANK_MAX {
            return Err(Ragged::TooDeep);
        }
        if self.depth > 0 {
            self.hold(Holds::Arrays)?;
        }
        match self.levels.get_mut(self.depth) {
            Some(level) => level.count = 0,
            None => self.levels.push(Level {
                holds: Holds::Unknown,
                length: None,
                count: 0,
            }),
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Ragged> {
        self.depth = self.depth.saturating_sub(1);
        let level = &mut self.levels[self.depth];
        let is_even = level.length.is_none_or(|length| length == level.count);
        level.length = Some(level.count);
        match is_even {
            true => Ok(()),
            false => Err(Ragged::Uneven(place(&self.levels[..self.depth]))),
        }
    }

    fn element(&mut self, text: &'t str) -> Result<(), Ragged> {
        self.hold(Holds::Elements)?;
        self.elements.push(text);
        Ok(())
    }

    /// Notes what stands in the open array.
    fn hold(&mut self, holds: Holds) -> Result<(), Ragged> {
        let level = &mut self.levels[self.depth - 1];
        if level.holds == Holds::Unknown {
            level.holds = holds;
        }
        let is_even = level.holds == holds;
        level.count += 1;
        match is_even {
            true => Ok(()),
            false => Err(Ragged::Uneven(place(&self.levels[..self.depth]))),
        }
    }

    fn into_array(self) -> Array<'t> {
        let shape = self.levels.iter();
        Array {
            shape: shape
                .map(|level| level.length.unwrap_or_default())
                .collect(),
            elements: self.elements,
        }
    }
}

/// Of what was begun last in each of these, such as `[2][0]`.
fn place(levels: &[Level]) -> String {
    levels.iter().fold(String::new(), |mut place, level| {
        let _ = write!(place, "[{}]", level.count.saturating_sub(1));
        place
    })
}

/// Of the string, number or word that the text begins with.
fn element_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        let end = |byte: &u8| matches!(byte, b',' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        return bytes.iter().position(end).unwrap_or(bytes.len());
    }
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<u64>, Vec<&str>), Ragged> {
        Array::read(text).map(|array| (array.shape, array.elements))
    }

    #[test]
    fn a_shape_is_read_and_every_element_as_it_was_written() {
        assert_eq!(
            read(r#" [ [1.50, 9007199254740993], [-0, 1E5] ] "#),
            Ok((vec![2, 2], vec!["1.50", "9007199254740993", "-0", "1E5"]))
        );
        assert_eq!(
            read(r#"["a]\"", "[\\", "é"]"#),
            Ok((vec![3], vec![r#""a]\"""#, r#""[\\""#, r#""é""#]))
        );
        assert_eq!(read("[]"), Ok((vec![0], vec![])));
        assert_eq!(read("[[],[]]"), Ok((vec![2, 0], vec![])));
        assert_eq!(
            read("[[[true]],[[null]]]"),
            Ok((vec![2, 1, 1], vec!["true", "null"]))
        );
    }

    #[test]
    fn rows_of_another_length_or_depth_are_named() {
        for (text, place) in [
            ("[[1,2],[3]]", "[1]"),
            ("[[1],[2,3]]", "[1]"),
            ("[1,[2]]", "[1]"),
            ("[[1],2]", "[1]"),
            ("[[],[1]]", "[1]"),
            ("[[1],[]]", "[1]"),
            ("[[[1],[2]],[[3],4]]", "[1][1]"),
            ("[[[1],[2]],[[3]]]", "[1]"),
        ] {
            assert_eq!(read(text), Err(Ragged::Uneven(place.to_owned())), "{text}");
        }
        assert_eq!(
            read(r#"[[1],[{"a":1}]]"#),
            Err(Ragged::Object("[1][0]".to_owned()))
        );
        assert_eq!(read("1"), Err(Ragged::NoArray));
    }

    #[test]
    fn what_is_nested_is_flat_and_back() {
        for text in [
            "[]",
            "[1]",
            "[[1,2],[3,4],[5,6]]",
            "[[[],[]]]",
            "[[[\"a\"]]]",
            "[[],[]]",
        ] {
            let array = Array::read(text).unwrap();
            let mut out = String::new();
            Array::write_nested(&array.shape, &array.elements, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn arrays_without_elements_are_bounded_too() {
        assert!(is_writable(&[2, 0]) && is_writable(&[]) && is_writable(&[u64::MAX]));
        assert!(is_writable(&[0, 5]));
        for shape in [
            &[4_000_000_000, 0][..],
            &[0, u64::MAX, 3],
            &[u64::MAX, u64::MAX, 1],
        ] {
            assert!(!is_writable(shape), "{shape:?}");
        }
    }
}
