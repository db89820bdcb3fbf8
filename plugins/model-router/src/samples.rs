//! Exchanges that show that the settings work, made from the settings themselves.

use serde_json::{Map, Value as Json, json};
use tollgate_sdk::{Value, prelude::*};

use crate::{
    asked::{Asked, Source},
    case::Still,
    choice,
    demand::Demand,
    found::Found,
    rule::Rule,
    settings::Settings,
    subject::Subject,
    then::{Arm, Key},
};

/// Every one of them takes a moment of a swap.
const OF_RULES_MAX: usize = 32;
/// A name that nobody gives a model.
const STRANGER: &str = "no-such-model-in-any-sample";

/// One for each rule that a request can be made for, one for each version that can be pinned,
/// and one that asks for a model that is not there.
pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let mut samples = vec![Sample::chat("a streamed chat").events([
        RawEvent::text("hello"),
        RawEvent::finish("stop"),
        RawEvent::done(),
    ])];
    let aimed = settings.rules.iter().filter_map(|rule| {
        let sample = aimed_at(rule, None, settings);
        led_by(rule, &sample, settings).then(|| sample.expect_forwarded())
    });
    samples.extend(aimed.take(OF_RULES_MAX));
    let mark = settings.version_separator.is_some() || settings.version_header.is_some();
    let versions = settings.rules.iter().filter(|_| mark).flat_map(|rule| {
        let arms = rule.then.arms.iter();
        let pinned = arms.filter(|arm| arm.version.is_some());
        pinned.map(move |arm| (rule, arm))
    });
    let pinned = versions.filter_map(|(rule, arm)| {
        let sample = aimed_at(rule, Some(arm), settings);
        led_by(rule, &sample, settings).then(|| sample.expect_forwarded())
    });
    samples.extend(pinned.take(OF_RULES_MAX));
    let stranger = asking_for(STRANGER, "a model that is not there");
    if settings.known_models.is_some() && is_nobodys(&stranger, settings) {
        samples.push(stranger.expect_answer(404));
    }
    samples
}

fn asking_for(model: &str, name: &str) -> Sample {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    Sample::chat(name).body(&json!({ "model": model, "messages": messages }))
}

/// With all that the rule asks for, as far as it is plain to see, and what it splits by.
fn aimed_at(rule: &Rule, pinned: Option<&Arm>, settings: &Settings) -> Sample {
    let name = rule.name.as_str();
    let title = match pinned {
        Some(arm) => format!("the version of `{}` in `{name}`", arm.name),
        None => format!("a chat that `{name}` is for"),
    };
    let mut draft = Draft::new(title);
    for condition in &rule.when.conditions {
        draft.give(&condition.subject, &condition.demand, settings);
    }
    for key in rule
        .then
        .split
        .iter()
        .flat_map(|split| split.by.iter().flatten())
    {
        draft.give_key(key);
    }
    let version = pinned.and_then(|arm| arm.version.as_ref());
    draft.pin(version.map(|version| version.as_str().to_owned()), settings)
}

/// Whether it is this rule that leads it.
fn led_by(rule: &Rule, sample: &Sample, settings: &Settings) -> bool {
    let written = Written::of(sample);
    let Ok(mut asked) = Asked::new(settings, &written) else {
        return false;
    };
    let led = choice::choose(settings, &mut asked, &Still::at(0));
    led.is_ok_and(|choice| choice.by.is_some_and(|(by, _)| by.name == rule.name))
}

fn is_nobodys(sample: &Sample, settings: &Settings) -> bool {
    let written = Written::of(sample);
    let Ok(mut asked) = Asked::new(settings, &written) else {
        return false;
    };
    let mut rules = settings.rules.iter();
    let known = settings.known_models.iter().flatten();
    !rules.any(|rule| rule.when.holds(&mut asked))
        && !known.into_iter().any(|known| known.has(STRANGER))
}

/// A sample under way.
struct Draft {
    sample: Sample,
    body: Json,
    version: Option<String>,
}

impl Draft {
    fn new(title: String) -> Self {
        let messages = json!([{ "role": "user", "content": "hello" }]);
        Self {
            sample: Sample::chat(title),
            body: json!({ "model": "sample", "messages": messages }),
            version: None,
        }
    }

    fn give(&mut self, subject: &Subject, demand: &Demand, settings: &Settings) {
        let found = demand.example();
        let text = match &found {
            Found::Text(text) => Some(text.as_str()),
            _ => None,
        };
        match (subject, text) {
            (Subject::Json(pointer), _) => self.set(pointer, &found),
            (Subject::Streaming, _) => self.set("/stream", &found),
            (_, None) => {}
            (Subject::Model, Some(_)) => self.set("/model", &found),
            (Subject::Version, Some(version)) => self.version = Some(version.to_owned()),
            (Subject::Caller, Some(text)) => self.fact("caller", text),
            (Subject::Tier, Some(text)) => self.fact("tier", text),
            (Subject::Group, Some(text)) => self.fact("groups", text),
            (Subject::Fact(name), Some(text)) => self.fact(name, text),
            (Subject::Header(name), Some(text)) => self.header(name, text),
            (Subject::Country, Some(text)) => match &settings.country_header {
                Some(header) => self.header(header.as_str(), text),
                None => self.fact("country", text),
            },
            (Subject::Region, Some(text)) => match &settings.region_header {
                Some(header) => self.header(header.as_str(), text),
                None => self.fact("region", text),
            },
            // Its route is the gateway's to give.
            (Subject::Route, Some(_)) => {}
        }
    }

    fn give_key(&mut self, key: &Key) {
        match key {
            Key::Fact(fact) if !self.has_fact(fact.as_str()) => self.fact(fact.as_str(), "sample"),
            Key::Header(header) if !self.has_header(header.as_str()) => {
                self.header(header.as_str(), "sample");
            }
            Key::Json(pointer) if self.body.pointer(pointer.as_str()).is_none() => {
                self.set(pointer.as_str(), &Found::Text("sample".to_owned()));
            }
            _ => {}
        }
    }

    /// The version that a rule asks for goes before one that is to be pinned.
    fn pin(mut self, version: Option<String>, settings: &Settings) -> Sample {
        let version = self.version.take().or(version);
        match (
            version,
            &settings.version_header,
            &settings.version_separator,
        ) {
            (Some(version), Some(header), _) => self.header(header.as_str(), &version),
            (Some(version), None, Some(mark)) => {
                let model = self.body["model"].as_str().unwrap_or("sample");
                self.body["model"] = format!("{model}{}{version}", mark.as_str()).into();
            }
            _ => {}
        }
        self.sample.body(&self.body)
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.sample.facts.push((name.to_owned(), value.to_owned()));
    }

    fn has_fact(&self, name: &str) -> bool {
        self.sample.facts.iter().any(|(there, _)| there == name)
    }

    fn header(&mut self, name: &str, value: &str) {
        self.sample.headers.push(tollgate_sdk::Header {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        });
    }

    fn has_header(&self, name: &str) -> bool {
        let mut headers = self.sample.headers.iter();
        headers.any(|header| header.name.eq_ignore_ascii_case(name))
    }

    /// Below objects alone: what leads elsewhere is left out.
    fn set(&mut self, pointer: &str, found: &Found) {
        let value = match found {
            Found::Text(text) => json!(text),
            Found::Number(number) => json!(number),
            Found::Flag(flag) => json!(flag),
            Found::Nothing | Found::Other => return,
        };
        let mut place = &mut self.body;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            if place.is_null() {
                *place = Json::Object(Map::new());
            }
            let Some(object) = place.as_object_mut() else {
                return;
            };
            place = object.entry(step).or_insert(Json::Null);
        }
        *place = value;
    }
}

/// A sample, read as the gateway will have it read.
struct Written<'a> {
    sample: &'a Sample,
    body: Json,
}

impl<'a> Written<'a> {
    fn of(sample: &'a Sample) -> Self {
        Self {
            sample,
            body: serde_json::from_str(&sample.body).unwrap_or_default(),
        }
    }
}

impl Source for Written<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut headers = self.sample.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(header.value.clone())
    }

    fn json(&self, pointer: &str) -> Option<Value> {
        self.body.pointer(pointer).cloned().map(Value::from)
    }

    fn fact(&self, name: &str) -> Option<String> {
        let mut facts = self.sample.facts.iter();
        let (_, value) = facts.find(|(there, _)| there == name)?;
        Some(value.clone())
    }

    fn route(&self) -> &str {
        "sample"
    }

    fn is_streaming(&self) -> bool {
        !self.sample.events.is_empty()
    }
}
