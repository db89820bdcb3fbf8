//! How much a request gives the model to read and to look at.
//!
//! The text of the fields is walked through once, without making a tree of it: an inline
//! image may be megabytes of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tollgate_sdk::prelude::*;
use tollgate_settings::words::count;

use super::{Field, unreadable};
use crate::{
    document::{deeper, said},
    misfit::Misfit,
    rule::{Images, Prompt},
};

pub(super) fn check(
    prompt: Option<Prompt>,
    images: Option<Images>,
    fields: &[Field],
) -> Result<(), Misfit> {
    let (mut bytes, mut seen) = (0_u64, 0_u64);
    for (pointer, value) in fields {
        let Some(value) = value else {
            continue;
        };
        let tally = Tally::of(pointer, value)?;
        bytes = bytes.saturating_add(tally.text_bytes());
        seen += tally.images;
        if let Some(images) = images {
            check_images(images, seen, &tally, pointer)?;
        }
        if let Some(prompt) = prompt {
            check_prompt(prompt, bytes, pointer)?;
        }
    }
    Ok(())
}

fn check_images(images: Images, seen: u64, tally: &Tally, pointer: &str) -> Result<(), Misfit> {
    if seen > images.max {
        let expected = format!("at most {}", count(images.max, "image"));
        return Err(Misfit::new(pointer, expected, seen.to_string()));
    }
    let Inline { bytes, place } = tally.largest;
    match images.inline_bytes_max {
        Some(0) if bytes > 0 => {
            let pointer = format!("{pointer}/{place}");
            Err(Misfit::new(pointer, "no inline file", count(bytes, "byte")))
        }
        Some(max) if bytes > max => {
            let pointer = format!("{pointer}/{place}");
            let expected = format!("an inline file of at most {}", count(max, "byte"));
            Err(Misfit::new(pointer, expected, count(bytes, "byte")))
        }
        _ => Ok(()),
    }
}

fn check_prompt(prompt: Prompt, bytes: u64, pointer: &str) -> Result<(), Misfit> {
    let tokens = bytes.div_ceil(prompt.bytes_per_token.get());
    if tokens <= prompt.tokens_max {
        return Ok(());
    }
    let expected = format!(
        "a prompt of about {} at most",
        count(prompt.tokens_max, "token")
    );
    Err(Misfit::new(pointer, expected, format!("about {tokens}")))
}

/// What is in one field.
#[derive(Debug, Default)]
struct Tally {
    bytes: u64,
    images: u64,
    /// As they stand in the text.
    inline_chars: u64,
    largest: Inline,
    /// The element of the outermost list that the walk is in.
    place: usize,
}

/// One file, decoded.
#[derive(Debug, Clone, Copy, Default)]
struct Inline {
    bytes: u64,
    place: usize,
}

impl Tally {
    fn of(pointer: &str, value: &Value) -> Result<Self, Misfit> {
        let mut tally = Self::default();
        match value {
            Value::Text(text) => tally.bytes = text.len() as u64,
            Value::Json(text) => {
                tally.bytes = text.len() as u64;
                let holds_tools = matches!(pointer, "/tools" | "/functions");
                if !holds_tools {
                    tally
                        .walk(text)
                        .map_err(|found| unreadable(pointer, found))?;
                }
            }
            Value::Null | Value::Boolean(_) | Value::Number(_) => {}
        }
        Ok(tally)
    }

    fn walk(&mut self, text: &str) -> Result<(), String> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let walk = Walk {
            tally: self,
            key: Key::Other,
            depth: 0,
        };
        walk.deserialize(&mut reader)
            .map_err(|error| said(&error))?;
        Ok(())
    }

    fn text_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.inline_chars)
    }

    /// Base64: four characters are three bytes.
    fn note_inline(&mut self, encoded: usize) {
        let encoded = encoded as u64;
        self.inline_chars = self.inline_chars.saturating_add(encoded);
        let bytes = encoded.saturating_mul(3) / 4;
        if bytes > self.largest.bytes {
            let place = self.place;
            self.largest = Inline { bytes, place };
        }
    }
}

/// What a member is, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Type,
    /// An image by itself, whatever the `type` beside it says.
    ImageUrl,
    Url,
    /// Base64.
    Data,
    Other,
}

struct Walk<'t> {
    tally: &'t mut Tally,
    key: Key,
    depth: usize,
}

/// Whether a value is the `type` of an image.
type IsImage = bool;

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = IsImage;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<IsImage, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = IsImage;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<IsImage, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<IsImage, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<IsImage, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<IsImage, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<IsImage, E> {
        Ok(false)
    }

    fn visit_str<E>(self, text: &str) -> Result<IsImage, E> {
        match self.key {
            Key::Type => return Ok(matches!(text, "image" | "image_url" | "input_image")),
            Key::Data => self.tally.note_inline(encoded(text).unwrap_or(text.len())),
            Key::Url | Key::ImageUrl => {
                if let Some(encoded) = encoded(text) {
                    self.tally.note_inline(encoded);
                }
            }
            Key::Other => {}
        }
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IsImage, A::Error> {
        let Self { tally, key, depth } = self;
        let inner = deeper(depth)?;
        let mut place = 0;
        loop {
            if depth == 0 {
                tally.place = place;
            }
            let walk = Walk {
                tally: &mut *tally,
                key,
                depth: inner,
            };
            if list.next_element_seed(walk)?.is_none() {
                return Ok(false);
            }
            place += 1;
        }
    }

    /// A key that stands twice counts twice: who reads it later may take either.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<IsImage, A::Error> {
        let Self { tally, depth, .. } = self;
        let depth = deeper(depth)?;
        let (mut by_type, mut by_key) = (false, 0);
        while let Some(key) = members.next_key_seed(Key::Other)? {
            by_key += u64::from(key == Key::ImageUrl);
            by_type |= members.next_value_seed(Walk {
                tally: &mut *tally,
                key,
                depth,
            })?;
        }
        tally.images += by_key.max(u64::from(by_type));
        Ok(false)
    }
}

/// The length of what a `data:` URL encodes.
fn encoded(url: &str) -> Option<usize> {
    let scheme = url.as_bytes().get(..5)?;
    if !scheme.eq_ignore_ascii_case(b"data:") {
        return None;
    }
    Some(url.len() - url.find(',').map_or(5, |comma| comma + 1))
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Self;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self, E> {
        Ok(match key {
            "type" => Self::Type,
            "image_url" => Self::ImageUrl,
            "url" | "file_data" => Self::Url,
            "data" => Self::Data,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(parts: &str) -> u64 {
        let value = Value::Json(format!(r#"[{{"content":[{parts}]}}]"#));
        Tally::of("/messages", &value).unwrap().images
    }

    /// The SDK's native exchanges have no such bodies: of two keys, they keep one.
    #[test]
    fn a_key_that_stands_twice_counts_whichever_is_read_later() {
        assert_eq!(images(r#"{"type":"image","type":"text"}"#), 1);
        assert_eq!(images(r#"{"type":"text","type":"image"}"#), 1);
        assert_eq!(images(r#"{"image_url":"a","image_url":"b"}"#), 2);
        assert_eq!(images(r#"{"type":"image_url","image_url":{"url":"a"}}"#), 1);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["[1e400]", &("[".repeat(125) + &"]".repeat(125))] {
            let value = Value::Json(text.to_owned());
            let misfit = Tally::of("/messages", &value).unwrap_err();
            assert_eq!(misfit.expected, "JSON that can be checked", "{text}");
        }
    }

    #[test]
    fn a_data_url_is_measured_without_what_goes_before_its_data() {
        assert_eq!(encoded("data:image/png;base64,AAAA"), Some(4));
        assert_eq!(encoded("DATA:,"), Some(0));
        assert_eq!(encoded("data:"), Some(0));
        assert_eq!(encoded("data:xx"), Some(2));
        assert_eq!(encoded("https://x/data:,A"), None);
        assert_eq!(encoded("daté"), None);
    }
}
