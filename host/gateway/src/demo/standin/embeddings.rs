//! Embeddings that need no model: equal texts are equal, others differ.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use super::answer::words;

const DIMENSIONS: usize = 8;

#[derive(Deserialize)]
struct EmbeddingAsked<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    input: Input,
    #[serde(default)]
    encoding_format: Option<Cow<'a, str>>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// The answer to a request for embeddings, in either encoding.
pub(super) fn embeddings_body(body: &[u8]) -> Result<String, serde_json::Error> {
    let asked: EmbeddingAsked<'_> = serde_json::from_slice(body)?;
    let texts = match asked.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let dimensions = asked.dimensions.unwrap_or(DIMENSIONS).clamp(1, 4096);
    let as_base64 = asked.encoding_format.as_deref() == Some("base64");
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = embed(text, dimensions);
        let embedding = if as_base64 {
            json!(base64(&vector))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data = data.collect::<Vec<_>>();
    let tokens: u64 = texts.iter().map(|text| words(text)).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(json!({ "object": "list", "data": data, "model": asked.model, "usage": usage }).to_string())
}

fn embed(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut vector = vec![0.0; dimensions];
    for (at, byte) in text.bytes().enumerate() {
        state = (state ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        vector[at % dimensions] += f32::from((state >> 16) as u16) / 65_536.0 - 0.5;
    }
    vector
}

fn base64(vector: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group = three
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place) & 63) as usize;
            text.push(if place > three.len() {
                '='
            } else {
                char::from(ALPHABET[index])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn embeddings_are_the_same_for_the_same_text_and_come_in_both_encodings() {
        let plain =
            embeddings_body(br#"{"model":"e","input":["a b","a b","c"]}"#).expect("answers");
        let plain: Value = serde_json::from_str(&plain).expect("is JSON");
        assert_eq!(plain["data"][0]["embedding"], plain["data"][1]["embedding"]);
        assert_ne!(plain["data"][0]["embedding"], plain["data"][2]["embedding"]);
        assert_eq!(plain["usage"]["prompt_tokens"], 5);
        assert_eq!(base64(&[1.0, -2.5]), "AACAPwAAIMA=");
    }
}
