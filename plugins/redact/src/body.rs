//! What is done to a body that is at hand: the texts under some fields are replaced, and
//! all else stays byte for byte.

use tollgate_sdk::{Message, Value};

use crate::{
    find::{Match, find},
    held::{Held, Spelling},
    json::{Texts, Unread},
    rules::Rules,
    splice::Splices,
    text::Text,
};

/// The fields of a request under which there are texts.
pub(crate) const OF_REQUESTS: &[&str] = &[
    "messages",
    "prompt",
    "suffix",
    "input",
    "system",
    "instructions",
];
/// The same of a response.
pub(crate) const OF_RESPONSES: &[&str] = &["choices", "content", "output"];

/// A search of one message.
pub(crate) struct Search<'r> {
    rules: &'r Rules,
    /// How much more text may be searched.
    left: usize,
}

impl<'r> Search<'r> {
    pub(crate) fn new(rules: &'r Rules, text_max: usize) -> Self {
        let left = text_max;
        Self { rules, left }
    }

    /// Replaces what is found in a message.
    pub(crate) fn replace(
        &mut self,
        message: &mut Message,
        fields: &[&str],
        found: &mut impl FnMut(&Match),
    ) -> Result<(), Unread> {
        for (field, value) in values(message, fields) {
            if let Some(new) = self.replaced(field, value, found)? {
                message.set_json(format!("/{field}"), new);
            }
        }
        Ok(())
    }

    /// The rule of the first thing that is found in a message.
    pub(crate) fn first(
        &mut self,
        message: &Message,
        fields: &[&str],
    ) -> Result<Option<usize>, Unread> {
        let mut first = None;
        for (field, value) in values(message, fields) {
            self.replaced(field, value, &mut |found| {
                first.get_or_insert(found.rule);
            })?;
            if first.is_some() {
                break;
            }
        }
        Ok(first)
    }

    fn replaced(
        &mut self,
        field: &str,
        value: Value,
        found: &mut impl FnMut(&Match),
    ) -> Result<Option<Value>, Unread> {
        Ok(match value {
            Value::Text(text) => {
                self.left = self.left.checked_sub(text.len()).ok_or(Unread::TooMuch)?;
                replace_text(self.rules, Spelling::Plain, &text, found).map(Value::Text)
            }
            Value::Json(json) => {
                let texts = Texts::find(&json, field, &mut self.left)?;
                replace_texts(self.rules, &json, texts, found).map(Value::Json)
            }
            Value::Null | Value::Boolean(_) | Value::Number(_) => None,
        })
    }
}

/// One call to the host asks for all of them.
fn values<'f>(message: &Message, fields: &[&'f str]) -> Vec<(&'f str, Value)> {
    let pointers: Vec<String> = fields.iter().map(|field| format!("/{field}")).collect();
    let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
    let values = message.json_values(&pointers);
    let present = |(field, value): (&&'f str, Option<Value>)| Some((*field, value?));
    fields.iter().zip(values).filter_map(present).collect()
}

fn replace_texts(
    rules: &Rules,
    json: &str,
    texts: Texts,
    found: &mut impl FnMut(&Match),
) -> Option<String> {
    let mut splices = Splices::default();
    for spot in &texts.list {
        if let Some(new) = replace_text(rules, spot.spelling, &spot.said, found) {
            splices.put_string(spot.span.clone(), &new);
        }
    }
    if splices.is_empty() {
        return None;
    }
    for span in texts.logprobs {
        splices.put(span, "null".to_owned());
    }
    Some(splices.apply(json))
}

/// `None` if nothing is found in it.
pub(crate) fn replace_text(
    rules: &Rules,
    spelling: Spelling,
    text: &str,
    found: &mut impl FnMut(&Match),
) -> Option<String> {
    if spelling == Spelling::Plain {
        return replace_plain(rules, text, found);
    }
    let mut is_changed = false;
    let new = Held::new(spelling).push(rules, text, true, &mut |one| {
        is_changed = true;
        found(one);
    });
    is_changed.then_some(new)
}

/// Copies nothing unless something is found.
fn replace_plain(rules: &Rules, text: &str, found: &mut impl FnMut(&Match)) -> Option<String> {
    let matches = find(rules, &Text::new(text.as_bytes(), true), 0).matches;
    if matches.is_empty() {
        return None;
    }
    let mut new = String::with_capacity(text.len());
    let mut place = 0;
    for one in &matches {
        new.push_str(&text[place..one.start]);
        new.push_str(&rules.of(one).replacement.plain);
        place = one.end;
        found(one);
    }
    new.push_str(&text[place..]);
    Some(new)
}
