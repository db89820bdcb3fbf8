//! What a turn holds.

use serde_json::Value;

use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object, text_part},
    source,
    terms::Terms,
};

/// A block that stands in a message of its own kind, or in that of somebody else.
pub(super) fn part(mut block: Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let at = block.at;
    let part = match block.need_text("type")?.as_str() {
        "text" => text_part(block.need_text("text")?),
        "image" => {
            let url = source::to_url(&mut block.need_object("source")?)?;
            let url = url.ok_or_else(|| terms.unsupported(at))?;
            let image = object([("url", url.into())]);
            object([("type", "image_url".into()), ("image_url", image)])
        }
        "document" => document(&mut block, terms)?,
        _ => return Err(terms.unsupported(at)),
    };
    terms.lose_rest(&block)?;
    Ok(part)
}

/// A file if it is one, a text if it is that.
fn document(block: &mut Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let at = block.at;
    let mut source = block.need_object("source")?;
    match source.take("type").as_ref().and_then(Value::as_str) {
        Some("text") => Ok(text_part(source.need_text("data")?)),
        Some("base64") => {
            let kind = source.need_text("media_type")?;
            let data = source.need_text("data")?;
            let mut file = Object::default();
            file.put_some("filename", block.text("title")?);
            file.put("file_data", format!("data:{kind};base64,{data}"));
            Ok(object([("type", "file".into()), ("file", file.into())]))
        }
        _ => Err(terms.unsupported(at)),
    }
}

/// A text stays one; blocks become parts. For what can be nothing but text.
pub(super) fn text(content: Value, at: At, terms: &mut Terms) -> Result<Value, Fault> {
    match content {
        text @ Value::String(_) => Ok(text),
        Value::Array(blocks) => {
            let mut parts = Vec::with_capacity(blocks.len());
            for (place, block) in blocks.into_iter().enumerate() {
                let mut block = Fields::of(block, at.item(place))?;
                if block.need_text("type")? != "text" {
                    return Err(terms.unsupported(block.at));
                }
                parts.push(text_part(block.need_text("text")?));
                terms.lose_rest(&block)?;
            }
            Ok(parts.into())
        }
        _ => Err(Fault::expected(at, "a string or an array of blocks")),
    }
}
