//! What an operator writes, and what of it cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    case::Case,
    cover::{self, Covered},
    demand::Wanted,
    names::{Destination, Header, Name},
    pattern::Pattern,
    pointer::escape,
    rule::Rule,
    subject::Subject,
};

/// They are asked one after another, for each request.
const RULES_MAX: usize = 256;
const NAMES_MAX: usize = 1024;
const CASES_MAX: usize = 256;
/// Rules out of reach that are named at once.
const SHOWN_MAX: usize = 16;
/// Headers, fields and facts are each a call of the host.
const LOOKED_AT_MAX: usize = 64;

/// Where requests go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The rules, in order: the first whose `when` holds leads the request. Default: none.
    #[schemars(length(max = 256))]
    pub(crate) rules: Vec<Rule>,
    /// Other names of models: each is put in the place of the client's before any rule is
    /// asked. Default: none.
    aliases: BTreeMap<String, Destination>,
    /// Models that may be asked for besides those that the rules are for, exact or with `*`;
    /// all others do not exist (404). Default: what no rule is for goes where it would
    /// without this policy.
    pub(crate) known_models: Option<Vec<Pattern>>,
    /// Whether a client that asks for a model that does not exist is told `known_models`.
    /// Default: `false`.
    pub(crate) list_models: bool,
    /// What stands between a model and its version, such as `@`: with it, `chat@2` asks for
    /// the version 2 of `chat`. Default: names have no version.
    pub(crate) version_separator: Option<Separator>,
    /// A header that pins a version. Default: none.
    pub(crate) version_header: Option<Header>,
    /// The header that says the client's country, by two letters. Whatever is in front of the
    /// gateway has to set it: clients can send it too. It becomes the fact `country`.
    /// Default: the fact `country` of an earlier policy.
    pub(crate) country_header: Option<Header>,
    /// The same for the region, which becomes the fact `region`. Default: the fact `region`
    /// of an earlier policy.
    pub(crate) region_header: Option<Header>,
    /// Looks country and region of the client's address up, where no header and no fact of an
    /// earlier policy says them; they become those facts. Needs the feature `geo` and its
    /// grant. Default: `false`.
    pub(crate) locate: bool,
    /// Requests and where they must go; settings in which one goes elsewhere are refused.
    /// Default: none.
    #[schemars(length(max = 256))]
    cases: Vec<Case>,
    /// Found once, while settings are read.
    #[serde(skip)]
    goes_by_model: OnceLock<bool>,
}

/// One to four characters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Separator(String);

impl Separator {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Separator {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |char: char| !char.is_control() && !char.is_whitespace() && char != '*';
        if (1..=4).contains(&text.len()) && text.chars().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("expected 1 to 4 characters such as `@`, without `*` and spaces")
        }
    }
}

impl Settings {
    pub(crate) fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(Destination::as_str)
    }

    /// Whether it matters what the client calls the model.
    pub(crate) fn goes_by_model(&self) -> bool {
        let asks = |rule: &Rule| {
            rule.when.asks(&Subject::Model).is_some()
                || rule.when.asks(&Subject::Version).is_some()
                || rule.then.has_versions()
        };
        *self.goes_by_model.get_or_init(|| {
            !self.aliases.is_empty() || self.known_models.is_some() || self.rules.iter().any(asks)
        })
    }

    /// Whether the body has to be read.
    pub(crate) fn reads_the_body(&self) -> bool {
        let reads = |rule: &Rule| {
            let mut conditions = rule.when.conditions.iter();
            conditions.any(|condition| condition.subject.is_in_the_body())
                || rule.then.reads_the_body()
        };
        self.goes_by_model() || self.rules.iter().any(reads)
    }

    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        // So that it is found before exchanges come.
        let _ = self.goes_by_model();
        let mut mistakes = self.mistakes_of_rules();
        mistakes.extend(self.mistakes_of_models());
        // Whether a rule is reached means nothing before it is right in itself.
        if mistakes.is_empty() {
            mistakes.extend(self.rules_out_of_reach());
        }
        if mistakes.is_empty() {
            mistakes.extend(self.cases_that_fail());
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    fn mistakes_of_rules(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let found = self.rules.len();
        if found > RULES_MAX {
            mistakes.push(format!(
                "/rules: expected at most {RULES_MAX} rules, found {found}"
            ));
        }
        let places = self.country_header.is_some() || self.region_header.is_some() || self.locate;
        if self.locate && !cfg!(any(feature = "geo", not(target_arch = "wasm32"))) {
            mistakes.push(
                "/locate: this plugin was built without it: expected the feature `geo`".to_owned(),
            );
        }
        if found == 0 && self.aliases.is_empty() && self.known_models.is_none() && !places {
            mistakes
                .push("/: does nothing: expected `rules`, `aliases` or `known_models`".to_owned());
        }
        let mut seen: BTreeMap<&Name, usize> = BTreeMap::new();
        let mut looked_at = BTreeSet::new();
        for (place, rule) in self.rules.iter().enumerate() {
            if let Some(first) = seen.insert(&rule.name, place) {
                let name = rule.name.as_str();
                mistakes.push(format!(
                    "/rules/{place}/name: `{name}` is the name of /rules/{first} already"
                ));
            }
            let at_rule = rule.mistakes().into_iter();
            mistakes.extend(at_rule.map(|mistake| format!("/rules/{place}{mistake}")));
            looked_at.extend(
                rule.when
                    .conditions
                    .iter()
                    .map(|condition| &condition.subject),
            );
        }
        if looked_at.len() > LOOKED_AT_MAX {
            let found = looked_at.len();
            mistakes.push(format!(
                "/rules: look at {found} things of a request: expected at most {LOOKED_AT_MAX}"
            ));
        }
        mistakes
    }

    fn mistakes_of_models(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let known = self.known_models.as_deref();
        if self.aliases.len() > NAMES_MAX {
            mistakes.push(format!("/aliases: expected at most {NAMES_MAX}"));
        }
        if known.is_some_and(|known| known.len() > NAMES_MAX) {
            mistakes.push(format!("/known_models: expected at most {NAMES_MAX}"));
        }
        if known.is_none() && self.list_models {
            mistakes.push("/list_models: expected `known_models` beside it".to_owned());
        }
        for (alias, name) in &self.aliases {
            let at = format!("/aliases/{}", escape(alias));
            if alias.is_empty() || alias.len() > 256 || alias.contains('*') {
                mistakes.push(format!("{at}: expected the name of a model, without `*`"));
            }
            if self.alias(name.as_str()).is_some() {
                let name = name.as_str();
                mistakes.push(format!(
                    "{at}: `{name}` is an alias itself: expected a model"
                ));
            }
        }
        let has_versions = self.version_separator.is_some() || self.version_header.is_some();
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.when.asks(&Subject::Version).is_some() && !has_versions {
                mistakes.push(format!(
                    "/rules/{place}/when/versions: expected `version_separator` or \
                     `version_header` in the settings: without them, nothing pins a version"
                ));
            }
            let models = rule.when.asks(&Subject::Model);
            let models = models.and_then(|demand| demand.is.as_deref());
            for (nth, wanted) in models.unwrap_or_default().iter().enumerate() {
                if let Wanted::Text(model) = wanted
                    && let Some(mistake) = self.never_called(model)
                {
                    mistakes.push(format!("/rules/{place}/when/models/{nth}: {mistake}"));
                }
            }
        }
        mistakes
    }

    /// Why no model that a rule is asked about is called so.
    fn never_called(&self, model: &Pattern) -> Option<String> {
        let name = model.as_str();
        if !model.is_exact() {
            return None;
        }
        if let Some(other) = self.alias(name) {
            return Some(format!(
                "`{name}` is an alias and never comes here: expected `{other}`"
            ));
        }
        let mark = self.version_separator.as_ref()?.as_str();
        let (model, version) = name.rsplit_once(mark)?;
        (!model.is_empty() && !version.is_empty())
            .then(|| format!("expected the model without its version: `{model}`, and `versions`"))
    }

    fn cases_that_fail(&self) -> Vec<String> {
        if self.cases.len() > CASES_MAX {
            return vec![format!("/cases: expected at most {CASES_MAX}")];
        }
        let mistakes = self.cases.iter().map(|case| case.mistake(self)).enumerate();
        mistakes
            .filter_map(|(place, mistake)| Some(format!("/cases/{place}: {}", mistake?)))
            .collect()
    }

    fn rules_out_of_reach(&self) -> Vec<String> {
        let covered = |place: usize| {
            let name = |place: usize| self.rules[place].name.as_str();
            match cover::covered(&self.rules, place)? {
                Covered::By(first) => Some(format!(
                    "/rules/{place}: `{}` can never match: /rules/{first} (`{}`) always does before",
                    name(place),
                    name(first)
                )),
                Covered::ByAll => Some(format!(
                    "/rules/{place}: `{}` can never match: one of the rules before always does",
                    name(place)
                )),
            }
        };
        let places = 0..self.rules.len();
        places.filter_map(covered).take(SHOWN_MAX).collect()
    }
}
