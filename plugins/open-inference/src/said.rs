//! What an answer says at the places that the settings name.

use serde_json::value::RawValue;

use crate::{
    array::Array,
    at::At,
    json::{Fields, count, unquoted},
    settings::{Source, UsageAt},
};

/// Tokens, where somebody counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Usage {
    pub(crate) fn read(places: &UsageAt, body: &str) -> Self {
        let read = |source: &Option<Source>| number(source.as_ref()?, body);
        Self {
            input: read(&places.input_tokens),
            output: read(&places.output_tokens),
        }
    }

    /// What a later event says; streams count up.
    pub(crate) fn see(&mut self, later: Self) {
        self.input = self.input.max(later.input);
        self.output = self.output.max(later.output);
    }

    /// OpenAI's, in a completion; `None` if nobody counted.
    pub(crate) fn of_completion(self) -> Option<String> {
        if self == Self::default() {
            return None;
        }
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        let total = input.saturating_add(output);
        Some(format!(
            r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total}}}"#
        ))
    }

    /// OpenAI's, of embeddings, where it has to be there.
    pub(crate) fn of_embeddings(self) -> String {
        let input = self.input.unwrap_or(0);
        format!(r#"{{"prompt_tokens":{input},"total_tokens":{input}}}"#)
    }

    /// Reads OpenAI's.
    pub(crate) fn of_openai(usage: Option<&RawValue>) -> Self {
        let read = |name: &str| {
            let mut fields = Fields::of(usage?, At::Root).ok()?;
            count(fields.take(name)?.get())
        };
        Self {
            input: read("prompt_tokens"),
            output: read("completion_tokens"),
        }
    }

    /// As parameters of V2, at those places that are some.
    pub(crate) fn parameters(self, places: &UsageAt) -> Vec<(&str, u64)> {
        let counted = [
            (&places.input_tokens, self.input),
            (&places.output_tokens, self.output),
        ];
        counted
            .into_iter()
            .filter_map(|(source, tokens)| {
                let Some(Source::Pointer(pointer)) = source else {
                    return None;
                };
                let name = pointer.strip_prefix("/parameters/")?;
                Some((name, tokens?)).filter(|_| !name.contains(['/', '~']))
            })
            .collect()
    }
}

/// A text at a JSON pointer.
pub(crate) fn text(pointer: &str, body: &str) -> Option<String> {
    unquoted(at(pointer, body)?)
}

fn number(source: &Source, body: &str) -> Option<u64> {
    match source {
        Source::Pointer(pointer) => count(at(pointer, body)?),
        Source::Tensor(name) => {
            let mut fields = Fields::of(body, At::Root).ok()?;
            let outputs = fields.list("outputs").ok()??;
            let data = outputs.into_iter().find_map(|output| {
                let mut output = Fields::of(output, At::Root).ok()?;
                let is_it = output.text("name").ok()?? == *name;
                is_it.then(|| output.take("data")).flatten()
            })?;
            let counts = Array::read(data.get()).ok()?.elements;
            counts.into_iter().try_fold(0_u64, |sum, element| {
                Some(sum.saturating_add(count(element)?))
            })
        }
    }
}

fn at<'t>(pointer: &str, body: &'t str) -> Option<&'t str> {
    let mut value = body.trim_ascii_start();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = match value.as_bytes().first()? {
            b'[' => {
                let list: Vec<&RawValue> = serde_json::from_str(value).ok()?;
                list.get(token.parse::<usize>().ok()?)?.get()
            }
            _ => Fields::of(value, At::Root).ok()?.take(&token)?.get(),
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_found_in_tensors_and_at_pointers() {
        let body = json!({
            "outputs": [{ "name": "tokens", "datatype": "INT64", "shape": [2], "data": [3, 4] }],
            "parameters": { "a/b": 7.0 }, "list": [1, { "x": 2 }],
        });
        let body = body.to_string();
        let tensor = |name: &str| number(&Source::Tensor(name.to_owned()), &body);
        let pointer = |place: &str| number(&Source::Pointer(place.to_owned()), &body);
        assert_eq!(tensor("tokens"), Some(7));
        assert_eq!(tensor("others"), None);
        assert_eq!(pointer("/parameters/a~1b"), Some(7));
        assert_eq!(pointer("/list/1/x"), Some(2));
        for place in [
            "/list/9",
            "/list/x",
            "/parameters",
            "/parameters/a/b",
            "/outputs/0/name/x",
        ] {
            assert_eq!(pointer(place), None, "{place}");
        }
    }

    #[test]
    fn usage_is_a_parameter_where_the_pointer_leads_to_one() {
        let usage = Usage {
            input: Some(3),
            output: Some(4),
        };
        let pointer = |place: &str| Some(Source::Pointer(place.to_owned()));
        let places = UsageAt {
            input_tokens: pointer("/parameters/in"),
            output_tokens: pointer("/details/out"),
        };
        assert_eq!(usage.parameters(&places), [("in", 3)]);
    }
}
