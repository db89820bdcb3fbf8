//! How one side's words are the other's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::datatype::{Datatype, Kind};

/// How embeddings are tensors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embeddings {
    /// The tensor that the texts, or tokens, go in.
    pub(crate) input: Input,
    /// The name of the tensor that the vectors come in, a row for each input.
    pub(crate) output: String,
    /// What becomes of `dimensions`: the request is refused (`refuse`), vectors are cut to
    /// so many numbers and made of length 1 again (`cut`), or it is told to the model by a
    /// parameter of the request (`{ parameter: NAME }`). Default: `refuse`.
    #[serde(default)]
    pub(crate) dimensions: Dimensions,
    /// Parameters of every request. Default: none.
    #[serde(default)]
    pub(crate) fixed: BTreeMap<String, Value>,
    /// Where an answer says how many tokens it took. Default: nowhere; clients are told 0.
    #[serde(default)]
    pub(crate) usage: UsageAt,
}

/// How completions are texts or tensors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Completions {
    /// What a request holds: `text_input`, sent to `generate` and `generate_stream` (`text`),
    /// or a tensor, sent to `infer` and `generate_stream` (`tensors`), as MLServer has it.
    /// Default: `text`.
    #[serde(default)]
    pub(crate) body: Body,
    /// The tensor that the prompts go in; with `tensors` only. Default: `text_input`, of
    /// `BYTES`.
    #[serde(default = "text_input")]
    pub(crate) input: Input,
    /// The name of the tensor that the texts come in; with `tensors` only. Default:
    /// `text_output`.
    #[serde(default = "text_output")]
    pub(crate) output: String,
    /// Which fields of a completion are parameters of the model, and by which names. Others
    /// are not supported. With `stream`, the model is told whether it is to stream, as
    /// Triton's vLLM wants it. Default: those of the protocol, by their own names:
    /// `temperature`, `top_p`, `max_tokens`, `best_of`, `stop`, `frequency_penalty`.
    #[serde(default = "parameters")]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Parameters of every request. Default: none.
    #[serde(default)]
    pub(crate) fixed: BTreeMap<String, Value>,
    /// Fields of every request, beside `text_input`; with `text` only. Triton takes them for
    /// tensors of the model. Default: none.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Value>,
    /// Where an answer says why it ended, as a JSON pointer. Default:
    /// `/details/finish_reason`.
    #[serde(default = "finish_reason")]
    pub(crate) finish_reason: String,
    /// Where an answer says how many tokens it took. Default: nowhere; clients are told
    /// nothing.
    #[serde(default)]
    pub(crate) usage: UsageAt,
}

/// How Seldon's messages are tensors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Seldon {
    /// The name of the tensor that the data goes in, where V2 is asked, or is in, where
    /// Seldon is. Default: `input`.
    pub(crate) input: String,
    /// The name of the tensor that the answer is. Default: `output`.
    pub(crate) output: String,
    /// Of the tensors that are made of arrays. Default: of whole numbers `INT64`, of other
    /// numbers and of Seldon's `tensor` `FP64`, of strings `BYTES`, of booleans `BOOL`.
    pub(crate) datatype: Option<Datatype>,
    /// What a tensor that does not say is made of, where Seldon is asked: `ndarray` or
    /// `tensor`. Default: `ndarray`.
    pub(crate) form: SeldonForm,
    /// Whether names, `meta` and the form of the data go along as parameters of V2. Default:
    /// `true`.
    pub(crate) carry: bool,
    /// The model that a path without a deployment in it is for. Default: none.
    pub(crate) model: Option<String>,
    /// Where an upstream is asked. Default: `/api/v1.0/predictions`.
    pub(crate) path: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SeldonForm {
    /// Arrays of arrays.
    #[default]
    Ndarray,
    /// A shape and values.
    Tensor,
}

/// A tensor of a request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Its name.
    pub(crate) name: String,
    /// Its datatype; of an integer type, tokens are taken instead of texts. Default:
    /// `BYTES`.
    #[serde(default = "bytes")]
    pub(crate) datatype: Datatype,
    /// Its shape: `-1` is how many texts there are, other dimensions of texts are 1. Of
    /// tokens it is `[-1, -1]`. Default: `[-1]`, or that.
    #[serde(default)]
    pub(crate) shape: Option<Vec<i64>>,
    /// Its parameters, such as MLServer's `content_type`. Default: none.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Body {
    /// `text_input` and `text_output`.
    #[default]
    Text,
    /// `inputs` and `outputs`.
    Tensors,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dimensions {
    /// The request is refused.
    #[default]
    Refuse,
    /// Vectors are cut, and made of length 1 again.
    Cut,
    /// A parameter of this name says it.
    Parameter(String),
}

/// Where tokens are counted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UsageAt {
    /// Of the input. Default: nowhere.
    pub(crate) input_tokens: Option<Source>,
    /// Of the output. Default: nowhere.
    pub(crate) output_tokens: Option<Source>,
}

/// Where in an answer a number stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// In the tensor of this name; of several elements the sum.
    Tensor(String),
    /// At this JSON pointer, such as `/parameters/input_tokens`.
    Pointer(String),
}

impl Seldon {
    pub(crate) const DEFAULT: Self = Self {
        input: String::new(),
        output: String::new(),
        datatype: None,
        form: SeldonForm::Ndarray,
        carry: true,
        model: None,
        path: None,
    };

    pub(crate) fn input(&self) -> &str {
        or(&self.input, "input")
    }

    pub(crate) fn output(&self) -> &str {
        or(&self.output, "output")
    }

    pub(crate) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/api/v1.0/predictions")
    }

    pub(super) fn check(&self, at: &str, errors: &mut Vec<String>) {
        let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !self.path().starts_with('/') || !self.path().bytes().all(is_visible) {
            errors.push(format!(
                "{at}/path: expected a path that starts with `/`, such as `/api/v1.0/predictions`"
            ));
        }
        if self.model.as_deref() == Some("") {
            errors.push(format!("{at}/model: is empty; expected a model's name"));
        }
    }
}

impl Default for Seldon {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn or<'a>(name: &'a str, default: &'a str) -> &'a str {
    if name.is_empty() { default } else { name }
}

impl Input {
    pub(crate) fn takes_tokens(&self) -> bool {
        self.datatype.kind() == Kind::Integer
    }

    /// The shape of so many texts.
    pub(crate) fn shape_of(&self, texts: usize) -> Vec<u64> {
        let count = texts as u64;
        match &self.shape {
            None => vec![count],
            Some(shape) => {
                let lengths = shape.iter();
                lengths
                    .map(|length| u64::try_from(*length).unwrap_or(count))
                    .collect()
            }
        }
    }

    fn check(&self, at: &str, errors: &mut Vec<String>) {
        named(&format!("{at}/name"), &self.name, errors);
        if !matches!(self.datatype.kind(), Kind::Text | Kind::Integer) {
            errors.push(format!(
                "{at}/datatype: expected `BYTES` for texts, or an integer type for tokens"
            ));
        }
        let Some(shape) = &self.shape else { return };
        let is_right = match self.takes_tokens() {
            true => shape.as_slice() == [-1, -1],
            false => {
                let is_batch = shape.iter().filter(|length| **length == -1).count() == 1;
                is_batch && shape.len() <= 8 && shape.iter().all(|length| matches!(length, -1 | 1))
            }
        };
        if !is_right {
            errors.push(format!(
                "{at}/shape: expected one `-1` and otherwise `1`, such as `[-1]` or `[-1, 1]`; of tokens `[-1, -1]`"
            ));
        }
    }
}

impl Embeddings {
    pub(super) fn check(&self, at: &str, errors: &mut Vec<String>) {
        self.input.check(&format!("{at}/input"), errors);
        named(&format!("{at}/output"), &self.output, errors);
        if let Dimensions::Parameter(name) = &self.dimensions {
            named(&format!("{at}/dimensions/parameter"), name, errors);
        }
        self.usage.check(&format!("{at}/usage"), errors);
    }
}

/// What a completion says besides its prompt.
pub(crate) const FIELDS: [&str; 16] = [
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "min_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "stream",
    "suffix",
    "temperature",
    "top_k",
    "top_p",
];

impl Completions {
    pub(super) fn check(&self, at: &str, errors: &mut Vec<String>) {
        self.input.check(&format!("{at}/input"), errors);
        named(&format!("{at}/output"), &self.output, errors);
        if self.body == Body::Text && self.input.takes_tokens() {
            errors.push(format!(
                "{at}/input: expected `BYTES`, where `body` is `text`"
            ));
        }
        for name in self.extra.keys() {
            if self.body == Body::Tensors {
                errors.push(format!(
                    "{at}/extra/{name}: expected only where `body` is `text`"
                ));
            } else if matches!(name.as_str(), "text_input" | "parameters" | "id" | "model") {
                errors.push(format!(
                    "{at}/extra/{name}: expected another name: this one is taken"
                ));
            }
        }
        for (field, name) in &self.parameters {
            if !FIELDS.contains(&field.as_str()) {
                errors.push(format!(
                    "{at}/parameters/{field}: expected a field of a completion: {}",
                    FIELDS.join(", ")
                ));
            }
            named(&format!("{at}/parameters/{field}"), name, errors);
            let is_twice = self
                .parameters
                .values()
                .filter(|other| *other == name)
                .count()
                > 1;
            if is_twice {
                errors.push(format!(
                    "{at}/parameters/{field}: expected a name that no other field has"
                ));
            }
        }
        pointer(&format!("{at}/finish_reason"), &self.finish_reason, errors);
        self.usage.check(&format!("{at}/usage"), errors);
    }
}

impl UsageAt {
    fn check(&self, at: &str, errors: &mut Vec<String>) {
        for (name, source) in [
            ("input_tokens", &self.input_tokens),
            ("output_tokens", &self.output_tokens),
        ] {
            match source {
                None => {}
                Some(Source::Tensor(tensor)) => {
                    named(&format!("{at}/{name}/tensor"), tensor, errors);
                }
                Some(Source::Pointer(text)) => {
                    pointer(&format!("{at}/{name}/pointer"), text, errors);
                }
            }
        }
    }

    /// The tensors that have to be asked for.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        let sources = [&self.input_tokens, &self.output_tokens];
        sources.into_iter().filter_map(|source| match source {
            Some(Source::Tensor(name)) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn named(at: &str, name: &str, errors: &mut Vec<String>) {
    if name.is_empty() {
        errors.push(format!("{at}: is empty; expected a name"));
    }
}

fn pointer(at: &str, text: &str, errors: &mut Vec<String>) {
    if !text.starts_with('/') {
        errors.push(format!(
            "{at}: expected a JSON pointer that starts with `/`, such as `/parameters/tokens`"
        ));
    }
}

fn bytes() -> Datatype {
    Datatype::Bytes
}

fn text_input() -> Input {
    Input {
        name: "text_input".to_owned(),
        datatype: Datatype::Bytes,
        shape: None,
        parameters: BTreeMap::new(),
    }
}

fn text_output() -> String {
    "text_output".to_owned()
}

fn finish_reason() -> String {
    "/details/finish_reason".to_owned()
}

fn parameters() -> BTreeMap<String, String> {
    const OWN: [&str; 6] = [
        "best_of",
        "frequency_penalty",
        "max_tokens",
        "stop",
        "temperature",
        "top_p",
    ];
    let own = OWN.into_iter();
    own.map(|name| (name.to_owned(), name.to_owned())).collect()
}
