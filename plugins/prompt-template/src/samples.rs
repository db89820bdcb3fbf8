//! Exchanges that show that the settings work, made from the settings themselves.

use serde_json::{Map, Value as Json, json};
use tollgate_sdk::prelude::*;

use crate::{
    settings::{Settings, WithoutTemplate},
    template::Template,
    variable::Source,
};

/// Every one of them takes a moment of a swap.
const TEMPLATES_MAX: usize = 64;

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let templates = settings.templates.iter().take(TEMPLATES_MAX);
    let mut samples: Vec<Sample> = templates
        .map(|template| filled(settings, template))
        .collect();
    let plain = Sample::chat("a chat that names no template");
    samples.push(match settings.without_template {
        WithoutTemplate::Pass => plain.expect_forwarded(),
        WithoutTemplate::Refuse => plain.expect_answer(400),
    });
    let asked = json!({ "name": "no such template, by its spaces" });
    samples.push(
        Sample::chat("a template that is not there")
            .body(&asking(settings, asked))
            .expect_answer(404),
    );
    samples
}

fn asking(settings: &Settings, asked: Json) -> Json {
    let mut body = Map::new();
    body.insert("model".to_owned(), "sample".into());
    body.insert(settings.field.name().to_owned(), asked);
    body.into()
}

/// With an example for each variable that has to be given.
fn filled(settings: &Settings, template: &Template) -> Sample {
    let mut sample = Sample::chat(format!("the template {}", template.label()));
    let mut variables = Map::new();
    for (name, variable) in &template.variables {
        let example = variable.shape().example();
        match &variable.from {
            None => drop(variables.insert(name.clone(), example)),
            Some(Source::Fact(fact)) => sample = sample.fact(fact, plain(&example)),
            Some(Source::Header(header)) => {
                sample = sample.header(header.as_str(), plain(&example));
            }
        }
    }
    let mut asked = json!({ "name": template.name(), "variables": variables });
    if let Some(version) = template.version() {
        asked["version"] = version.into();
    }
    let sample = sample.body(&asking(settings, asked));
    sample.expect_forwarded()
}

/// As a header or a fact says it.
fn plain(example: &Json) -> String {
    match example {
        Json::String(text) => text.clone(),
        Json::Array(texts) => texts.iter().filter_map(Json::as_str).collect(),
        other => other.to_string(),
    }
}
