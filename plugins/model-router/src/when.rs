//! The conditions of a rule, as they are written and as they are asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    asked::{Asked, Source},
    demand::{Demand, FieldDemand, TextDemand},
    names::{Country, Fact, Header, Pointer},
    pattern::Pattern,
    subject::Subject,
};

/// All have to hold; without any, it holds for every request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(from = "Written")]
#[schemars(with = "Written")]
pub(crate) struct When {
    /// What costs least to look at comes first.
    pub(crate) conditions: Vec<Condition>,
}

/// What is looked at, and what it has to be.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) subject: Subject,
    pub(crate) demand: Demand,
}

/// Which requests a rule is for: all that is listed has to hold, and of each list one entry.
/// Default: every request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// Models as the client calls them, behind aliases and without the version; exact or
    /// with `*` for any text. Default: all, and requests without one.
    models: Option<Vec<Pattern>>,
    /// Versions that the client pins, exact or with `*`. Default: all, and none.
    versions: Option<Vec<Pattern>>,
    /// Names of routes, exact or with `*`. Default: all.
    routes: Option<Vec<Pattern>>,
    /// Values of the fact `caller`, exact or with `*`. Default: all, and unknown ones.
    callers: Option<Vec<Pattern>>,
    /// Values of the fact `tier`, exact or with `*`. Default: all, and those without one.
    tiers: Option<Vec<Pattern>>,
    /// Groups of which one is in the fact `groups` (several of them joined by commas), exact
    /// or with `*`. Default: all, and those without one.
    groups: Option<Vec<Pattern>>,
    /// Countries by their two letters, of `country_header` or else of the fact `country`.
    /// Default: all, and unknown ones.
    countries: Option<Vec<Country>>,
    /// Regions, exact or with `*`, of `region_header` or else of the fact `region`. Default:
    /// all, and unknown ones.
    regions: Option<Vec<Pattern>>,
    /// Whether the client asks for a stream. Default: either.
    streaming: Option<bool>,
    /// Headers by their names: a list of values, or `is`, `not` and `present`. Default: none
    /// is looked at.
    headers: BTreeMap<Header, TextDemand>,
    /// Facts of earlier policies by their names, as `headers`. Default: none is looked at.
    facts: BTreeMap<Fact, TextDemand>,
    /// Fields of the body by their JSON pointers, as `headers`, and with `min` and `max`.
    /// Default: none is looked at.
    json: BTreeMap<Pointer, FieldDemand>,
}

impl From<Written> for When {
    fn from(written: Written) -> Self {
        let countries = written.countries.map(|countries| {
            let letters = countries.iter().map(|country| country.as_str().to_owned());
            letters
                .filter_map(|country| Pattern::try_from(country).ok())
                .collect()
        });
        let lists = [
            (Subject::Model, written.models),
            (Subject::Version, written.versions),
            (Subject::Route, written.routes),
            (Subject::Caller, written.callers),
            (Subject::Tier, written.tiers),
            (Subject::Group, written.groups),
            (Subject::Country, countries),
            (Subject::Region, written.regions),
        ];
        let lists = lists
            .into_iter()
            .filter_map(|(subject, list)| Some((subject, Demand::one_of(list?))));
        let streaming = written.streaming.map(Demand::flag);
        let streaming = streaming.map(|demand| (Subject::Streaming, demand));
        let facts = written.facts.into_iter().map(|(name, demand)| {
            let subject = Subject::Fact(name.as_str().to_owned());
            (subject, demand.form.into())
        });
        let headers = written.headers.into_iter().map(|(name, demand)| {
            let subject = Subject::Header(name.as_str().to_owned());
            (subject, demand.form.into())
        });
        let fields = written.json.into_iter().map(|(pointer, demand)| {
            let subject = Subject::Json(pointer.as_str().to_owned());
            (subject, demand.form.into())
        });
        let all = streaming.into_iter().chain(lists);
        let all = all.chain(facts).chain(headers).chain(fields);
        let mut conditions: Vec<_> = all
            .map(|(subject, demand)| Condition { subject, demand })
            .collect();
        conditions.sort_by(|one, other| one.subject.cmp(&other.subject));
        Self { conditions }
    }
}

impl When {
    pub(crate) fn holds<'r, S: Source>(&'r self, asked: &mut Asked<'r, '_, S>) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|condition| asked.meets(&condition.subject, &condition.demand))
    }

    pub(crate) fn asks(&self, subject: &Subject) -> Option<&Demand> {
        let mut conditions = self.conditions.iter();
        let condition = conditions.find(|condition| condition.subject == *subject)?;
        Some(&condition.demand)
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let of_one = |condition: &Condition| {
            let path = condition.subject.path();
            let mistakes = condition.demand.mistakes().into_iter();
            mistakes
                .map(|mistake| format!("{path}{mistake}"))
                .collect::<Vec<_>>()
        };
        self.conditions.iter().flat_map(of_one).collect()
    }
}
