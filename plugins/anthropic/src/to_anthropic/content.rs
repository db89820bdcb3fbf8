//! What a message holds.

use serde_json::Value;

use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object, text_part},
    source,
    terms::Terms,
};

/// A text stays one; parts become blocks.
pub(super) fn content(content: Value, at: At, terms: &mut Terms) -> Result<Value, Fault> {
    match content {
        text @ Value::String(_) => Ok(text),
        Value::Array(parts) => {
            let parts = parts.into_iter().enumerate();
            let blocks = parts.map(|(place, part)| block(part, at.item(place), terms));
            blocks.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        _ => Err(Fault::expected(at, "a string or an array of parts")),
    }
}

/// Content that is left out rather than refused would leave another question.
fn block(part: Value, at: At, terms: &mut Terms) -> Result<Value, Fault> {
    let mut part = Fields::of(part, at)?;
    let block = match part.need_text("type")?.as_str() {
        "text" => text_part(part.need_text("text")?),
        "refusal" => text_part(part.need_text("refusal")?),
        "image_url" => image(part.need_object("image_url")?, terms)?,
        "file" => document(part.need_object("file")?, terms)?,
        _ => return Err(terms.unsupported(at)),
    };
    terms.lose_rest(&part)?;
    Ok(block)
}

fn image(mut image: Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let url = image.need_text("url")?;
    let source = source::of_url(url, image.at.field("url"))?;
    if image.text("detail")?.is_some_and(|detail| detail != "auto") {
        terms.lose(image.at.field("detail"))?;
    }
    terms.lose_rest(&image)?;
    Ok(object([("type", "image".into()), ("source", source)]))
}

fn document(mut file: Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let Some(data) = file.text("file_data")? else {
        return Err(terms.unsupported(file.at));
    };
    let mut block = Object::default();
    block.put("type", "document");
    let at = file.at.field("file_data");
    block.put("source", source::of_data_url(data, at)?);
    block.put_some("title", file.text("filename")?);
    terms.lose_rest(&file)?;
    Ok(block.into())
}
