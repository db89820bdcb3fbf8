//! What a tensor's elements are, and whether a JSON value is such an element.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By the names of the protocol. `BF16` is Triton's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    /// Strings, in JSON.
    Bytes,
}

/// What is told apart where the width does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Integer,
    Float,
    Text,
}

impl Datatype {
    pub(crate) fn named(name: &str) -> Option<Self> {
        use serde::de::{IntoDeserializer as _, value::Error};
        let name: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Uint8
            | Self::Uint16
            | Self::Uint32
            | Self::Uint64
            | Self::Int8
            | Self::Int16
            | Self::Int32
            | Self::Int64 => Kind::Integer,
            Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64 => Kind::Float,
            Self::Bytes => Kind::Text,
        }
    }

    /// Whether a JSON value is an element of this type.
    pub(crate) fn has(self, element: &str) -> bool {
        let signed = |least: i64, most: i64| {
            let number = element.parse::<i64>();
            number.is_ok_and(|number| (least..=most).contains(&number))
        };
        let unsigned = |most: u64| {
            matches!(element.parse::<u64>(), Ok(number) if number <= most) || element == "-0"
        };
        match self {
            Self::Bool => matches!(element, "true" | "false"),
            Self::Uint8 => unsigned(u64::from(u8::MAX)),
            Self::Uint16 => unsigned(u64::from(u16::MAX)),
            Self::Uint32 => unsigned(u64::from(u32::MAX)),
            Self::Uint64 => unsigned(u64::MAX),
            Self::Int8 => signed(i64::from(i8::MIN), i64::from(i8::MAX)),
            Self::Int16 => signed(i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int32 => signed(i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::Int64 => signed(i64::MIN, i64::MAX),
            Self::Fp16 => is_float(element, 65_504.0),
            Self::Bf16 | Self::Fp32 => is_float(element, f64::from(f32::MAX)),
            Self::Fp64 => is_float(element, f64::MAX),
            Self::Bytes => element.starts_with('"'),
        }
    }

    /// As an error calls its elements.
    pub(crate) fn elements(self) -> &'static str {
        match self {
            Self::Bool => "booleans (BOOL)",
            Self::Uint8 => "whole numbers that fit UINT8",
            Self::Uint16 => "whole numbers that fit UINT16",
            Self::Uint32 => "whole numbers that fit UINT32",
            Self::Uint64 => "whole numbers that fit UINT64",
            Self::Int8 => "whole numbers that fit INT8",
            Self::Int16 => "whole numbers that fit INT16",
            Self::Int32 => "whole numbers that fit INT32",
            Self::Int64 => "whole numbers that fit INT64",
            Self::Fp16 => "numbers that fit FP16",
            Self::Bf16 => "numbers that fit BF16",
            Self::Fp32 => "numbers that fit FP32",
            Self::Fp64 => "numbers that fit FP64",
            Self::Bytes => "strings (BYTES)",
        }
    }

    /// The narrowest that every client and server has for these: `INT64`, or `UINT64`
    /// where that is too short, for whole numbers, `FP64` for others. `None`: they are of
    /// no one type.
    pub(crate) fn of(elements: &[&str]) -> Option<Self> {
        const CANDIDATES: [Datatype; 5] = [
            Datatype::Int64,
            Datatype::Uint64,
            Datatype::Fp64,
            Datatype::Bytes,
            Datatype::Bool,
        ];
        if elements.is_empty() {
            return Some(Self::Fp64);
        }
        CANDIDATES
            .into_iter()
            .find(|datatype| elements.iter().all(|element| datatype.has(element)))
    }
}

fn is_float(element: &str, most: f64) -> bool {
    /// Whole parts of so few digits fit `FP32`, and with it all but `FP16`.
    const SHORT: usize = 38;
    let bytes = element.as_bytes();
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    if !bytes.first().is_some_and(is_number) {
        return false;
    }
    let is_small = bytes.len() <= SHORT && most >= f64::from(f32::MAX);
    if is_small && !bytes.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    element
        .parse::<f64>()
        .is_ok_and(|number| number.abs() <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_of_its_type_to_the_last_digit() {
        for (datatype, good, bad) in [
            (
                Datatype::Bool,
                &["true", "false"][..],
                &["1", "\"true\"", "null"][..],
            ),
            (
                Datatype::Uint8,
                &["0", "255", "-0"],
                &["256", "-1", "1.0", "1e1"],
            ),
            (
                Datatype::Int8,
                &["-128", "127", "-0"],
                &["-129", "128", "true"],
            ),
            (
                Datatype::Int64,
                &[
                    "9223372036854775807",
                    "-9223372036854775808",
                    "9007199254740993",
                ],
                &["9223372036854775808", "0.5"],
            ),
            (
                Datatype::Uint64,
                &["18446744073709551615"],
                &["18446744073709551616"],
            ),
            (Datatype::Fp16, &["65504", "-1e-9"], &["65520"]),
            (
                Datatype::Fp32,
                &["3.4028234e38", "1", "0.1"],
                &["3.5e38", "\"1\"", "null"],
            ),
            (
                Datatype::Fp64,
                &["1.7976931348623157e308", "5e-324"],
                &["1e309", "[1]"],
            ),
            (Datatype::Bytes, &["\"\"", "\"é\""], &["1", "null"]),
        ] {
            for element in good {
                assert!(datatype.has(element), "{datatype:?} {element}");
            }
            for element in bad {
                assert!(!datatype.has(element), "{datatype:?} {element}");
            }
        }
    }

    #[test]
    fn the_type_of_plain_json_is_the_narrowest_that_holds_it_all() {
        for (elements, datatype) in [
            (&[][..], Some(Datatype::Fp64)),
            (&["1", "-2"], Some(Datatype::Int64)),
            (&["18446744073709551615"], Some(Datatype::Uint64)),
            (&["18446744073709551615", "-1"], Some(Datatype::Fp64)),
            (&["1", "2.5"], Some(Datatype::Fp64)),
            (&["\"a\""], Some(Datatype::Bytes)),
            (&["true"], Some(Datatype::Bool)),
            (&["true", "1"], None),
            (&["\"a\"", "1"], None),
            (&["null"], None),
        ] {
            assert_eq!(Datatype::of(elements), datatype, "{elements:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_protocol() {
        assert_eq!(Datatype::named("FP32"), Some(Datatype::Fp32));
        assert_eq!(Datatype::named("BYTES"), Some(Datatype::Bytes));
        assert_eq!(Datatype::named("fp32"), None);
    }
}
