//! The terms of one translation, and what was left out on them.

use serde_json::value::RawValue;
use tollgate_sdk::metrics;

use crate::{
    at::At,
    fault::Fault,
    json::Fields,
    settings::{FIELDS, Settings, Unsupported},
};

/// See the module.
pub(crate) struct Terms {
    refuses: bool,
    /// What the request goes to, as errors call it.
    to: &'static str,
    dropped: Vec<(&'static str, u64)>,
}

impl Terms {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            refuses: settings.unsupported == Unsupported::Refuse,
            to: settings.upstream.name(),
            dropped: Vec::new(),
        }
    }

    /// A field that the other side does not have.
    ///
    /// # Errors
    /// Such a request is to be refused.
    pub(crate) fn lose(&mut self, at: At) -> Result<(), Fault> {
        if self.refuses {
            return Err(self.unsupported(at));
        }
        self.note(label(at.name()));
        Ok(())
    }

    /// All that was not taken of an object, unless it says what is so anyway.
    ///
    /// # Errors
    /// As [`lose`](Self::lose).
    pub(crate) fn lose_rest(&mut self, fields: &Fields) -> Result<(), Fault> {
        for (name, value) in fields.rest() {
            if !says_nothing(name, value) {
                self.lose(fields.at.field(name))?;
            }
        }
        Ok(())
    }

    /// What cannot be left out without saying something else.
    pub(crate) fn unsupported(&self, at: At) -> Fault {
        Fault::unsupported(at, self.to)
    }

    fn note(&mut self, field: &'static str) {
        match self.dropped.iter_mut().find(|(name, _)| *name == field) {
            Some((_, count)) => *count += 1,
            None => self.dropped.push((field, 1)),
        }
    }

    /// Counts what was left out, one call for each name.
    pub(crate) fn tell(&mut self) {
        for (field, count) in self.dropped.drain(..) {
            metrics::count("dropped", &[("field", field)], count);
        }
    }
}

/// A client can make up names, so only known ones become labels.
fn label(name: &str) -> &'static str {
    const OTHERS: [&str; 7] = [
        "id",
        "inputs",
        "outputs",
        "meta",
        "parameters",
        "status",
        "user",
    ];
    let mut known = FIELDS.into_iter().chain(OTHERS);
    known.find(|known| *known == name).unwrap_or("other")
}

/// Whether a field has the value that it has anyway.
fn says_nothing(name: &str, value: &RawValue) -> bool {
    let value = value.get();
    match name {
        "n" | "best_of" => value == "1",
        "echo" => value == "false",
        "presence_penalty" | "frequency_penalty" => value.parse::<f64>() == Ok(0.0),
        "logit_bias" | "parameters" => value == "{}",
        "suffix" => value == "\"\"",
        "outputs" => value == "[]",
        // Whoever asks for binary tensors takes JSON, too.
        "binary_data" | "binary_data_output" => true,
        _ => false,
    }
}
