//! One template, as an operator writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::prelude::*;
use tollgate_settings::Name;

use crate::{
    refusal::Refused,
    settings::Field,
    text::{Text, is_name},
    variable::Variable,
};

const VARIABLES_MAX: usize = 64;
const MESSAGES_MAX: usize = 64;
const PINNED_MAX: usize = 32;

/// Fields of which a client could use one to get around another that is pinned.
const SAME: [&str; 3] = [
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
];

/// A prompt with its variables, and the parameters that go with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// What requests call it: letters, digits, `-`, `_` and `.`.
    name: Name,
    /// Which of several templates of this name it is. Default: none; there is one then.
    #[serde(default)]
    version: Option<Name>,
    /// Its variables by their names: letters, digits and `_`. Default: none.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    /// The messages of a chat. In their texts `{{name}}` stands for a variable, and `{{{{`
    /// for `{{`. Default: none; a template has either these or a `prompt`.
    #[serde(default)]
    pub(crate) messages: Vec<Message>,
    /// The prompt of a completion, likewise. Default: none.
    #[serde(default)]
    pub(crate) prompt: Option<Text>,
    /// What becomes of the request's own `messages`: it is refused if it has any
    /// (`refuse`), they come after those of the template (`append`), or they are left out
    /// (`drop`). So with `prompt`, which has nothing to append. Default: `refuse`.
    #[serde(default)]
    pub(crate) own_messages: OwnMessages,
    /// Fields of the body that are set whatever the request says, such as `model`,
    /// `temperature` or `max_tokens`. A pinned maximum of output takes the place of all its
    /// names (`max_tokens`, `max_completion_tokens`, `max_output_tokens`). Default: none.
    #[serde(default)]
    set: BTreeMap<Field, serde_json::Value>,
}

/// One message of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// Who says it.
    pub(crate) role: Role,
    /// What is said, with `{{name}}` for a variable.
    pub(crate) content: Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    Developer,
    User,
    Assistant,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OwnMessages {
    /// With `invalid_prompt_template`.
    #[default]
    Refuse,
    /// After the template's.
    Append,
    /// As if they were not there.
    Drop,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl Template {
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_ref().map(Name::as_str)
    }

    /// With the version, as a header names it.
    pub(crate) fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.to_string(),
        }
    }

    /// Puts the filled prompt, as JSON, where it belongs.
    pub(crate) fn place(&self, prompt: String, request: &mut Request) -> Result<(), Refused> {
        let field = if self.prompt.is_some() {
            "/prompt"
        } else {
            "/messages"
        };
        let own = match self.own_messages {
            OwnMessages::Drop => None,
            OwnMessages::Refuse | OwnMessages::Append => request.json_value(field),
        };
        let prompt = match (self.own_messages, own.filter(is_something)) {
            (_, None) | (OwnMessages::Drop, _) => prompt,
            (OwnMessages::Refuse, Some(_)) => {
                return Err(Refused::OwnMessages {
                    template: self.label(),
                    field,
                });
            }
            (OwnMessages::Append, Some(Value::Json(own))) if own.trim().starts_with('[') => {
                joined(prompt, own.trim())
            }
            (OwnMessages::Append, Some(_)) => return Err(Refused::NoList { field }),
        };
        let value = match field {
            "/prompt" => serde_json::from_str(&prompt).map_or(Value::Json(prompt), Value::Text),
            _ => Value::Json(prompt),
        };
        request.set_json(field, value);
        Ok(())
    }

    /// Each field by its pointer.
    pub(crate) fn pinned(&self) -> impl Iterator<Item = (&str, Value)> {
        let pinned = self.set.iter();
        pinned.map(|(field, value)| (field.pointer(), Value::from(value.clone())))
    }

    /// The other names of what is pinned.
    pub(crate) fn unset(&self) -> impl Iterator<Item = &'static str> {
        let is_pinned = |name: &str| self.set.keys().any(|field| field.pointer() == name);
        let any = SAME.into_iter().any(is_pinned);
        SAME.into_iter().filter(move |name| any && !is_pinned(name))
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self, own: &Field) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut say = |mistake: String| mistakes.push(mistake);
        match (self.messages.len(), &self.prompt) {
            (0, None) => say(": expected `messages` or a `prompt`".to_owned()),
            (1.., Some(_)) => say("/prompt: expected no `messages` beside it".to_owned()),
            (count, _) if count > MESSAGES_MAX => {
                say(format!(
                    "/messages: expected at most {MESSAGES_MAX} messages"
                ));
            }
            _ => {}
        }
        if self.prompt.is_some() && self.own_messages == OwnMessages::Append {
            say("/own_messages: expected `refuse` or `drop` beside a `prompt`".to_owned());
        }
        if self.variables.len() > VARIABLES_MAX {
            say(format!("/variables: expected at most {VARIABLES_MAX}"));
        }
        for (name, variable) in &self.variables {
            if !is_name(name) {
                let key = name.replace('~', "~0").replace('/', "~1");
                say(format!(
                    "/variables/{key}: expected 1 to 64 letters, digits or `_`, no digit first"
                ));
                continue;
            }
            for mistake in variable.mistakes() {
                say(format!("/variables/{name}{mistake}"));
            }
            if !self
                .texts()
                .any(|(_, text)| text.places().any(|place| place == name))
            {
                say(format!("/variables/{name}: no text has `{{{{{name}}}}}`"));
            }
        }
        for (at, text) in self.texts() {
            let unknown = text
                .places()
                .find(|place| !self.variables.contains_key(*place));
            if let Some(place) = unknown {
                say(format!("{at}: `{place}` is not in `variables`"));
            }
        }
        let taken = ["messages", "prompt", own.name()];
        if let Some(field) = self.set.keys().find(|field| taken.contains(&field.name())) {
            let name = field.name();
            say(format!("/set/{name}: the template itself is what sets it"));
        }
        if self.set.len() > PINNED_MAX {
            say(format!("/set: expected at most {PINNED_MAX} fields"));
        }
        mistakes
    }

    /// Each with its pointer from here.
    fn texts(&self) -> impl Iterator<Item = (String, &Text)> {
        let messages = self.messages.iter().enumerate();
        let messages = messages
            .map(|(place, message)| (format!("/messages/{place}/content"), &message.content));
        messages.chain(self.prompt.iter().map(|text| ("/prompt".to_owned(), text)))
    }
}

/// Neither nothing, nor an empty list or text.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Text(text) => !text.is_empty(),
        Value::Json(json) => !is_empty_list(json),
        Value::Boolean(_) | Value::Number(_) => true,
    }
}

fn is_empty_list(json: &str) -> bool {
    let inner = json
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// Two lists as one: `first` is not empty, and `own` is neither.
fn joined(mut first: String, own: &str) -> String {
    first.pop();
    first.push(',');
    first.push_str(&own[1..]);
    first
}
