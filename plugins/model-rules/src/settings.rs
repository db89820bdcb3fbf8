//! What an operator writes, and what of it cannot be.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::repeats;

use crate::{
    case::Case,
    ordered::Ordered,
    rules::{Rule, Rules},
    spelling::{HeaderName, HeaderValue, Literal, Pointer, SystemMessage, covers},
};

/// Rules for models, and cases that show what they do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rules. The first that has the model is applied, and no other.
    pub(crate) rules: Rules,
    /// Exchanges with what must come of them. If one comes out otherwise, the settings
    /// are refused. Default: none.
    #[serde(default)]
    pub(crate) cases: Vec<Case>,
}

/// Changes to the request, in the order of these fields. Body fields are changed only if
/// the body is a JSON object.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestRule {
    /// What the model is called from here on: sets `/model`. Default: as it came.
    pub(crate) alias: Option<String>,
    /// Fields that move, from pointer to pointer; what was there is replaced. Default: none.
    pub(crate) rename: Ordered<Pointer, Pointer>,
    /// Fields that are removed. Default: none.
    pub(crate) remove: Vec<Pointer>,
    /// Fields that are set, whatever the client sent. Default: none.
    pub(crate) set: Ordered<Pointer, Literal>,
    /// Fields that are set if the client left them out or sent `null`. Default: none.
    pub(crate) default: Ordered<Pointer, Literal>,
    /// Numbers that are kept within bounds. One that is there and no number is refused
    /// with status 400. Default: none.
    pub(crate) clamp: Ordered<Pointer, Bounds>,
    /// A system message that is put in front of `/messages`. Default: none.
    pub(crate) prepend_system: Option<SystemMessage>,
    /// Changes to the headers. Default: none.
    pub(crate) headers: HeaderRule,
}

/// Changes to the response. Its body is changed only if it is a JSON object, no stream,
/// and the status is 2xx; its headers always.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResponseRule {
    /// Fields that are removed. Default: none.
    pub(crate) remove: Vec<Pointer>,
    /// Fields that are set. Default: none.
    pub(crate) set: Ordered<Pointer, Literal>,
    /// Changes to the headers. Default: none.
    pub(crate) headers: HeaderRule,
}

impl ResponseRule {
    pub(crate) fn is_empty(&self) -> bool {
        !self.changes_body() && self.headers.is_empty()
    }

    pub(crate) fn changes_body(&self) -> bool {
        !self.remove.is_empty() || !self.set.is_empty()
    }
}

/// Changes to each event of a stream. `[DONE]` is never touched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EventRule {
    /// Events that are not sent, by the most telling thing that they say. Default: none.
    pub(crate) drop_kinds: Vec<EventKind>,
    /// Text that is replaced, within one event: what is spread over two is not found.
    /// Default: none.
    pub(crate) replace_text: Vec<Replacement>,
    /// Fields that are removed from events whose data is a JSON object. Default: none.
    pub(crate) remove: Vec<Pointer>,
    /// Fields that are set in events whose data is a JSON object and no error. Default: none.
    pub(crate) set: Ordered<Pointer, Literal>,
}

impl EventRule {
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            drop_kinds,
            replace_text,
            remove,
            set,
        } = self;
        drop_kinds.is_empty() && replace_text.is_empty() && remove.is_empty() && set.is_empty()
    }
}

/// Changes to headers, in the order of these fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HeaderRule {
    /// Headers that are removed with all their values. Default: none.
    pub(crate) remove: Vec<HeaderName>,
    /// Headers that are set in place of all their values. Default: none.
    pub(crate) set: Ordered<HeaderName, HeaderValue>,
    /// Headers that get one more value. Default: none.
    pub(crate) append: Ordered<HeaderName, HeaderValue>,
}

impl HeaderRule {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.append.is_empty()
    }
}

/// The smallest and the largest number; at least one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// Default: no lower bound.
    pub(crate) min: Option<serde_json::Number>,
    /// Default: no upper bound.
    pub(crate) max: Option<serde_json::Number>,
}

/// What an event of a stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// The role of who answers, once at the start.
    Role,
    /// A piece of text.
    Text,
    /// A piece of a tool call.
    ToolCall,
    /// Why the answer is finished.
    Finish,
    /// What the answer cost, and nothing else.
    Usage,
    /// Anything else, but never `[DONE]`.
    Other,
}

/// Text, and what stands for it; letter by letter, no patterns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacement {
    /// What is looked for.
    pub(crate) from: String,
    /// What is sent instead.
    pub(crate) to: String,
}

impl Settings {
    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let mut say = |what: &str| mistakes.push(format!("/rules/{place}{what}"));
            check_rule(rule, &mut say);
        }
        let models = self.rules.iter().map(|rule| &rule.models);
        mistakes.extend(repeats(models).iter().map(|repeat| repeat.says("rules")));
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }
}

fn check_rule(rule: &Rule, say: &mut impl FnMut(&str)) {
    if rule.models.is_empty() {
        say("/models: a rule has at least one model; `*` stands for all");
    }
    if rule.request.alias.as_deref() == Some("") {
        say("/request/alias: must not be empty");
    }
    for (from, to) in rule.request.rename.iter() {
        if covers(from.as_str(), to.as_str()) || covers(to.as_str(), from.as_str()) {
            let key = token(from);
            say(&format!(
                "/request/rename/{key}: a field cannot move into itself or what it lies in"
            ));
        }
    }
    for (pointer, bounds) in rule.request.clamp.iter() {
        if let Some(what) = bounds.mistake() {
            say(&format!("/request/clamp/{}: {what}", token(pointer)));
        }
    }
    for (at, replacement) in rule.events.replace_text.iter().enumerate() {
        if replacement.from.is_empty() {
            say(&format!(
                "/events/replace_text/{at}/from: must not be empty"
            ));
        }
    }
}

/// A pointer as one token of another.
fn token(pointer: &Pointer) -> String {
    pointer.as_str().replace('~', "~0").replace('/', "~1")
}

impl Bounds {
    fn mistake(&self) -> Option<&'static str> {
        let number =
            |bound: &Option<serde_json::Number>| bound.as_ref().map(serde_json::Number::as_f64);
        match (number(&self.min), number(&self.max)) {
            (None, None) => Some("needs `min`, `max` or both"),
            (Some(min), Some(max)) if min > max => Some("`min` is larger than `max`"),
            _ => None,
        }
    }
}
