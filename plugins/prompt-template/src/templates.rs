//! All templates, made ready to be filled when the settings are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use tollgate_settings::words;

use crate::{
    asked::Asked,
    refusal::Refused,
    settings::Field,
    template::Template,
    text::{Piece, Text},
    value::escaped,
    variable::Fallback,
};

/// Templates in their order, found by name.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Template>")]
pub(crate) struct Templates {
    list: Vec<(Template, Form)>,
    by_name: BTreeMap<String, Vec<usize>>,
}

/// A template as JSON text with gaps.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) parts: Vec<Part>,
    /// What each variable is if it is not given, in the order of the variables.
    pub(crate) fallbacks: Vec<Fallback>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Json(String),
    /// Where a variable goes, within a text; which one, in the order of the variables.
    Gap(usize),
}

/// A template that a request named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) template: &'a Template,
    pub(crate) form: &'a Form,
}

impl Templates {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Template> {
        self.list.iter().map(|(template, _)| template)
    }

    /// The version that is asked for, or else the first of that name.
    pub(crate) fn find(&self, asked: &Asked) -> Result<Known<'_>, Refused> {
        let unknown = |version: Option<&str>| Refused::Unknown {
            name: words::shown(&asked.name),
            version: version.map(words::shown),
        };
        let versions = self.by_name.get(&asked.name).ok_or_else(|| unknown(None))?;
        let mut known = versions.iter().filter_map(|place| self.list.get(*place));
        let found = match asked.version.as_deref() {
            None => known.next(),
            Some(version) => known.find(|(template, _)| template.version() == Some(version)),
        };
        let (template, form) = found.ok_or_else(|| unknown(asked.version.as_deref()))?;
        Ok(Known { template, form })
    }

    /// Each with its pointer.
    pub(crate) fn mistakes(&self, own: &Field) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.list.is_empty() {
            mistakes.push("/templates: expected at least one template".to_owned());
        }
        let mut seen = BTreeMap::new();
        for (place, template) in self.iter().enumerate() {
            let label = template.label();
            if let Some(first) = seen.insert(label.clone(), place) {
                mistakes.push(format!(
                    "/templates/{place}/name: `{label}` is /templates/{first} already"
                ));
            }
            let is_one_of_many = self
                .by_name
                .get(template.name())
                .is_some_and(|of| of.len() > 1);
            if template.version().is_none() && is_one_of_many {
                let name = template.name();
                mistakes.push(format!(
                    "/templates/{place}/version: is missing: there are several `{name}`"
                ));
            }
            let of_template = template.mistakes(own).into_iter();
            mistakes.extend(of_template.map(|mistake| format!("/templates/{place}{mistake}")));
        }
        mistakes
    }
}

impl From<Vec<Template>> for Templates {
    fn from(list: Vec<Template>) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, template) in list.iter().enumerate() {
            let places = by_name.entry(template.name().to_owned()).or_default();
            places.push(place);
        }
        let with_form = |template: Template| {
            let form = Form::of(&template);
            (template, form)
        };
        let list = list.into_iter().map(with_form).collect();
        Self { list, by_name }
    }
}

impl Form {
    fn of(template: &Template) -> Self {
        let names: Vec<&str> = template.variables.keys().map(String::as_str).collect();
        let mut writing = Writing {
            names: &names,
            parts: Vec::new(),
            json: String::new(),
        };
        match &template.prompt {
            Some(text) => writing.text(text),
            None => {
                for (nth, message) in template.messages.iter().enumerate() {
                    let before = if nth == 0 { "[" } else { "," };
                    let role = message.role.as_str();
                    writing.json(&format!(r#"{before}{{"role":"{role}","content":"#));
                    writing.text(&message.content);
                    writing.json("}");
                }
                writing.json("]");
            }
        }
        let variables = template.variables.values();
        Self {
            parts: writing.finish(),
            fallbacks: variables.map(|variable| variable.fallback()).collect(),
        }
    }
}

struct Writing<'a> {
    names: &'a [&'a str],
    parts: Vec<Part>,
    json: String,
}

impl Writing<'_> {
    fn json(&mut self, json: &str) {
        self.json.push_str(json);
    }

    /// A place of an unknown variable is a mistake of the settings, and empty here.
    fn text(&mut self, text: &Text) {
        self.json.push('"');
        for piece in text.pieces() {
            match piece {
                Piece::Text(text) => self.json.push_str(&escaped(text)),
                Piece::Place(name) => {
                    if let Ok(variable) = self.names.binary_search(&name.as_str()) {
                        self.flush();
                        self.parts.push(Part::Gap(variable));
                    }
                }
            }
        }
        self.json.push('"');
    }

    fn flush(&mut self) {
        if !self.json.is_empty() {
            self.parts.push(Part::Json(std::mem::take(&mut self.json)));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.flush();
        self.parts
    }
}
