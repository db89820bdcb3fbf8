//! The checks of one rule, and how they are run.

mod content;
mod number;
mod tools;

use tollgate_sdk::prelude::*;
use tollgate_settings::words;

use crate::{
    document,
    misfit::{self, Misfit},
    pointer::Place,
    rule::{Images, Prompt, Range, Rule, Tools},
    schema::Node,
};

/// Fields, and what is expected of them.
#[derive(Debug)]
pub(crate) struct Check {
    asks: Vec<String>,
    judge: Judge,
}

#[derive(Debug)]
pub(crate) enum Judge {
    /// Each that is there is a whole number in this range.
    Number(Range),
    /// It is there.
    Required,
    /// It is not there.
    Forbidden,
    /// So many messages at most: the one that would be beyond is not there.
    Messages(u32),
    /// Pairs of a format and its type, which is one of these.
    Formats(Vec<String>),
    Tools(Tools),
    Content(Option<Prompt>, Option<Images>),
    /// Of the whole body.
    Schema(Node),
}

/// One field that was asked for.
type Field<'a> = (&'a str, Option<&'a Value>);

/// # Errors
/// The first field that does not fit.
pub(crate) fn all(
    rule: &Rule,
    checks: &[Check],
    body_bytes: Option<u64>,
    request: &Request,
) -> Result<(), Misfit> {
    if let (Some(max), Some(bytes)) = (rule.bytes_max(), body_bytes)
        && bytes > max
    {
        let expected = format!("a body of at most {max} bytes");
        return Err(Misfit::new("/", expected, format!("{bytes} bytes")));
    }
    if checks.is_empty() {
        return Ok(());
    }
    let asks = checks.iter().flat_map(|check| &check.asks);
    let asks: Vec<&str> = asks.map(String::as_str).collect();
    let found = request.json_values(&asks);
    let mut found = found.as_slice();
    for check in checks {
        let (own, others) = found.split_at(check.asks.len().min(found.len()));
        found = others;
        check.run(own)?;
    }
    Ok(())
}

impl Check {
    pub(crate) fn new(asks: &[&str], judge: Judge) -> Self {
        let asks = asks.iter().map(|pointer| (*pointer).to_owned()).collect();
        Self { asks, judge }
    }

    /// `found`: one for each pointer, in order. `null` is as good as missing.
    fn run(&self, found: &[Option<Value>]) -> Result<(), Misfit> {
        let present = |value: &'_ Option<Value>| !matches!(value, None | Some(Value::Null));
        let values = found
            .iter()
            .map(|value| value.as_ref().filter(|_| present(value)));
        let fields: Vec<Field> = self.asks.iter().map(String::as_str).zip(values).collect();
        match &self.judge {
            Judge::Number(range) => number::check(*range, &fields),
            Judge::Required => each(&fields, |_, value| match value {
                Some(_) => Ok(()),
                None => Err(("this field", "nothing".to_owned())),
            }),
            Judge::Forbidden => each(&fields, |_, value| match value {
                Some(value) => Err(("no such field", misfit::shown(value))),
                None => Ok(()),
            }),
            Judge::Messages(max) => messages(*max, &fields),
            Judge::Formats(allowed) => formats(allowed, &fields),
            Judge::Tools(tools) => tools::check(tools, &fields),
            Judge::Content(prompt, images) => content::check(*prompt, *images, &fields),
            Judge::Schema(schema) => whole(schema, &fields),
        }
    }
}

fn each(
    fields: &[Field],
    judge: impl Fn(&str, Option<&Value>) -> Result<(), (&'static str, String)>,
) -> Result<(), Misfit> {
    fields.iter().try_for_each(|(pointer, value)| {
        judge(pointer, *value).map_err(|(expected, found)| Misfit::new(*pointer, expected, found))
    })
}

fn messages(max: u32, fields: &[Field]) -> Result<(), Misfit> {
    let beyond = fields.iter().find(|(_, value)| value.is_some());
    beyond.map_or(Ok(()), |(pointer, _)| {
        let list = pointer.rsplit_once('/').map_or("", |(list, _)| list);
        let expected = format!("at most {}", words::count(max.into(), "message"));
        Err(Misfit::new(list, expected, "more"))
    })
}

fn formats(allowed: &[String], fields: &[Field]) -> Result<(), Misfit> {
    for pair in fields.chunks(2) {
        let [(pointer, Some(format)), (type_pointer, kind)] = pair else {
            continue;
        };
        let names: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
        let expected = match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(" or "),
        };
        match kind {
            Some(Value::Text(kind)) if allowed.contains(kind) => {}
            Some(kind) => return Err(Misfit::new(*type_pointer, expected, misfit::shown(kind))),
            None => {
                let expected = format!("an object with the `type` {expected}");
                return Err(Misfit::new(*pointer, expected, misfit::shown(format)));
            }
        }
    }
    Ok(())
}

fn whole(schema: &Node, fields: &[Field]) -> Result<(), Misfit> {
    each(fields, |_, body| match body {
        Some(_) => Ok(()),
        None => Err(("JSON", "none".to_owned())),
    })?;
    for (pointer, value) in fields {
        if let Some(value) = value {
            schema.check(&tree(pointer, value)?, &mut Place::of(pointer))?;
        }
    }
    Ok(())
}

/// # Errors
/// It is not to be read, so nobody can say whether it fits.
fn tree(pointer: &str, value: &Value) -> Result<serde_json::Value, Misfit> {
    match value {
        Value::Json(text) => document::read(text).map_err(|found| unreadable(pointer, found)),
        scalar => Ok(scalar.to_json()),
    }
}

fn unreadable(pointer: &str, found: String) -> Misfit {
    let place = Place::of(pointer);
    Misfit::new(place.as_str(), "JSON that can be checked", found)
}
