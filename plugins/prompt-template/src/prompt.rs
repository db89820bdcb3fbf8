//! Fills a template.

use crate::{
    refusal::Refused,
    templates::{Known, Part},
};

/// The prompt as JSON: a list of messages, or a text.
///
/// Parts and values are put one after another and never read again.
///
/// # Errors
/// It would be longer than `bytes_max`.
pub(crate) fn fill(known: Known<'_>, values: &[String], bytes_max: u64) -> Result<String, Refused> {
    let parts = known.form.parts.iter();
    let texts = parts.map(|part| match part {
        Part::Json(json) => json.as_str(),
        Part::Gap(variable) => values.get(*variable).map_or("", String::as_str),
    });
    let bytes: u64 = texts.clone().map(|text| text.len() as u64).sum();
    if bytes > bytes_max {
        return Err(Refused::PromptTooLong {
            template: known.template.label(),
            bytes,
            bytes_max,
        });
    }
    let mut prompt = String::with_capacity(usize::try_from(bytes).unwrap_or_default());
    prompt.extend(texts);
    Ok(prompt)
}
