//! Which template a request names, and the text of its variables.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_sdk::prelude::*;

use crate::{refusal::Refused, settings::Settings};

/// What a request names.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// An object as JSON, or nothing.
    pub(crate) variables: Option<Box<RawValue>>,
}

/// The field, as requests write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    variables: Option<Box<RawValue>>,
}

impl Asked {
    /// By field, by header, or by both: the header the name, the field the variables.
    pub(crate) fn of(settings: &Settings, request: &Request) -> Result<Option<Self>, Refused> {
        let by_header = Self::by_header(settings, request)?;
        let field = settings.field.name();
        let written = match request.json_value(settings.field.pointer()) {
            None | Some(Value::Null) => {
                // What is no object has no fields: there a prompt has no place to go to.
                let is_object = |body: Value| match body {
                    Value::Json(json) => json.trim_start().starts_with('{'),
                    _ => false,
                };
                return match by_header {
                    Some(_) if !request.json_value("").is_some_and(is_object) => {
                        Err(Refused::NoBody)
                    }
                    by_header => Ok(by_header),
                };
            }
            Some(Value::Json(json)) if json.trim_start().starts_with('{') => read(field, &json)?,
            Some(_) => return Err(Refused::malformed(field, "an object with a `name`")),
        };
        match (by_header, written) {
            (
                Some(named),
                Written {
                    name: None,
                    version: None,
                    variables,
                },
            ) => Ok(Some(Self { variables, ..named })),
            (Some(_), _) => Err(Refused::malformed(
                field,
                "nothing but `variables`, as the header names the template",
            )),
            (
                None,
                Written {
                    name: Some(name),
                    version,
                    variables,
                },
            ) => Ok(Some(Self {
                name,
                version,
                variables,
            })),
            (None, _) => Err(Refused::malformed(field, "a `name`")),
        }
    }

    /// `NAME` or `NAME@VERSION`.
    pub(crate) fn by_header(
        settings: &Settings,
        request: &Request,
    ) -> Result<Option<Self>, Refused> {
        let Some(header) = &settings.header else {
            return Ok(None);
        };
        let Some(value) = request.header(header.as_str()) else {
            return Ok(None);
        };
        let value = String::from_utf8(value).map_err(|_| {
            Refused::malformed(header.as_str(), "the name of a template, or `NAME@VERSION`")
        })?;
        let (name, version) = match value.trim().split_once('@') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (value.trim(), None),
        };
        Ok(Some(Self {
            name: name.to_owned(),
            version,
            variables: None,
        }))
    }
}

fn read(field: &str, json: &str) -> Result<Written, Refused> {
    serde_json::from_str(json).map_err(|_| {
        Refused::malformed(
            field,
            "an object with the texts `name` and `version` and the object `variables`, and \
             nothing else",
        )
    })
}
