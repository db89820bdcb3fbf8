//! What a request may take at most, before it runs.
//!
//! Its fields are the client's: they may be missing, wrong or hostile. What is no whole
//! number is left to the upstream to refuse, and never holds less than the default.

use tollgate_sdk::prelude::*;

use crate::{settings::Settings, settle::Used};

const OUTPUT_MAX: [&str; 3] = [
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
];
const CHOICES: [&str; 2] = ["/n", "/best_of"];
/// Of a small budget, a request that states no maximum holds this part.
const PART: u64 = 8;

/// Tokens of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) input: u64,
    /// Of all choices together.
    pub(crate) output: u64,
    pub(crate) choices: u64,
}

/// What a request says of itself.
#[derive(Debug)]
pub(crate) struct Stated {
    /// Of each choice, at most.
    output: Option<u64>,
    choices: u64,
    pub(crate) model: Option<String>,
}

impl Stated {
    /// The model only if it matters.
    pub(crate) fn of(request: &Request, settings: &Settings) -> Self {
        let model = settings.prices.is_some().then_some("/model");
        let fields = OUTPUT_MAX.into_iter().chain(CHOICES).chain(model);
        let fields: Vec<&str> = fields.collect();
        let mut output = request.json_values(&fields);
        let mut choices = output.split_off(OUTPUT_MAX.len().min(output.len()));
        let model = choices.split_off(CHOICES.len().min(choices.len()));
        let model = match model.into_iter().next().flatten() {
            Some(Value::Text(model)) => Some(model),
            _ => None,
        };
        let choices = choices.into_iter().flatten().filter_map(whole);
        Self {
            output: output_stated(output, settings.reserve_output),
            choices: choices.fold(1, u64::max),
            model,
        }
    }

    /// All choices' output, of which there is so much at most.
    pub(crate) fn output(&self, settings: &Settings, budget: u64) -> u64 {
        let each = self.output.unwrap_or_else(|| {
            let part = budget.div_ceil(PART);
            settings.reserve_output.min(part)
        });
        each.saturating_mul(self.choices)
    }
}

impl Estimate {
    pub(crate) const NOTHING: Self = Self {
        input: 0,
        output: 0,
        choices: 1,
    };

    /// `budget`: what there is at most, in tokens.
    pub(crate) fn of(stated: &Stated, body_bytes: u64, settings: &Settings, budget: u64) -> Self {
        let input = body_bytes.div_ceil(settings.bytes_per_token.get());
        let output = stated.output(settings, budget);
        // Who states no maximum gets what there is.
        let is_stated = stated.output.is_some();
        let most = if is_stated {
            u64::MAX
        } else {
            budget.saturating_sub(input)
        };
        Self {
            input,
            output: output.min(most),
            choices: stated.choices,
        }
    }

    /// As if all of it were used.
    pub(crate) fn used(self) -> Used {
        Used {
            input: self.input,
            cached: 0,
            output: self.output,
        }
    }
}

/// Upstreams differ in which field wins, so the greatest counts.
fn output_stated(fields: Vec<Option<Value>>, default: u64) -> Option<u64> {
    let mut most = None;
    let mut any_nonsense = false;
    for field in fields.into_iter().flatten() {
        match field {
            Value::Null => {}
            field => match whole(field) {
                Some(tokens) => most = most.max(Some(tokens)),
                None => any_nonsense = true,
            },
        }
    }
    most.map(|most| {
        if any_nonsense {
            most.max(default)
        } else {
            most
        }
    })
}

/// A number that is whole and not negative; one that is too large for the type is its
/// greatest value.
fn whole(value: Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number,
        Value::Json(text) => match text.parse::<u64>() {
            Ok(number) => return Some(number),
            Err(_) => text.parse::<f64>().ok()?,
        },
        Value::Null | Value::Boolean(_) | Value::Text(_) => return None,
    };
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::Json(text.to_owned())
    }

    #[test]
    fn a_whole_number_is_read_however_it_travels() {
        assert_eq!(whole(Value::Number(7.0)), Some(7));
        assert_eq!(whole(Value::Number(0.0)), Some(0));
        assert_eq!(whole(json("9223372036854775808")), Some(1 << 63));
        assert_eq!(whole(json("99999999999999999999999")), Some(u64::MAX));
        assert_eq!(whole(Value::Number(1e300)), Some(u64::MAX));
    }

    #[test]
    fn what_is_no_whole_number_is_ignored() {
        let values = [
            Value::Number(-1.0),
            Value::Number(0.5),
            Value::Number(f64::NAN),
            Value::from("100"),
            Value::Boolean(true),
            Value::Null,
            json("[1]"),
            json("-9223372036854775808"),
        ];
        for value in values {
            assert_eq!(whole(value.clone()), None, "{value:?}");
        }
    }

    #[test]
    fn the_greatest_stated_maximum_counts() {
        let fields = vec![Some(Value::Number(5.0)), None, Some(Value::Number(9.0))];
        assert_eq!(output_stated(fields, 1024), Some(9));
        assert_eq!(output_stated(vec![Some(Value::Null), None], 1024), None);
    }

    #[test]
    fn nonsense_beside_a_maximum_does_not_lower_what_is_held() {
        let fields = vec![Some(Value::Number(1.0)), Some(Value::from("5000"))];
        assert_eq!(output_stated(fields, 1024), Some(1024));
    }
}
