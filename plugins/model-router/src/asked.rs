//! A request as rules ask about it: each thing is looked up when a rule asks for it, and once.

use std::{borrow::Cow, cell::OnceCell};

use tollgate_sdk::{Head, Request, Value};

use crate::{
    called::Called,
    demand::Demand,
    found::Found,
    gateway,
    names::{Country, Header},
    refused::Refused,
    settings::Settings,
    subject::Subject,
};

/// Where a request is read from.
pub(crate) trait Source {
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    fn json(&self, pointer: &str) -> Option<Value>;
    fn fact(&self, name: &str) -> Option<String>;
    fn route(&self) -> &str;
    fn is_streaming(&self) -> bool;
    /// Country and region of the client's address.
    fn locate(&self) -> (Option<String>, Option<String>) {
        (None, None)
    }
}

/// What is known of a request by now.
pub(crate) struct Asked<'r, 's, S> {
    settings: &'r Settings,
    source: &'s S,
    pub(crate) called: Option<Called>,
    found: Vec<(Cow<'r, Subject>, Found)>,
    /// Country and region of the client's address, once one of them was asked for.
    located: OnceCell<(Option<String>, Option<String>)>,
}

impl<'r, 's, S: Source> Asked<'r, 's, S> {
    /// # Errors
    /// The request pins two versions.
    pub(crate) fn new(settings: &'r Settings, source: &'s S) -> Result<Self, Refused> {
        Ok(Self {
            settings,
            source,
            called: Called::of(settings, source)?,
            found: Vec::new(),
            located: OnceCell::new(),
        })
    }

    pub(crate) fn meets(&mut self, subject: &'r Subject, demand: &Demand) -> bool {
        let is_group = *subject == Subject::Group;
        match self.find(Cow::Borrowed(subject)) {
            Found::Text(groups) if is_group => groups
                .split(',')
                .map(|group| Found::Text(group.trim().to_owned()))
                .any(|group| demand.holds(&group)),
            found => demand.holds(found),
        }
    }

    pub(crate) fn find(&mut self, subject: Cow<'r, Subject>) -> &Found {
        let known = self.found.iter().position(|(known, _)| *known == subject);
        let at = known.unwrap_or_else(|| {
            let found = self.look_up(&subject);
            self.found.push((subject, found));
            self.found.len() - 1
        });
        &self.found[at].1
    }

    fn look_up(&self, subject: &Subject) -> Found {
        let fact = |name: &str| Found::text(self.source.fact(name));
        let said_or_located = |name: &str| match fact(name) {
            Found::Nothing if self.settings.locate => {
                let (country, region) = self.located.get_or_init(|| self.source.locate());
                Found::text(if name == "country" {
                    country.clone()
                } else {
                    region.clone()
                })
            }
            said => said,
        };
        let trusted = |header: &Option<Header>, read: fn(String) -> Option<String>, name: &str| {
            match header {
                Some(header) => match Found::bytes(self.source.header(header.as_str())) {
                    Found::Text(text) => Found::text(read(text)),
                    _ => Found::Nothing,
                },
                None => said_or_located(name),
            }
        };
        match subject {
            Subject::Streaming => Found::Flag(self.source.is_streaming()),
            Subject::Model | Subject::Version => Called::find(self.called.as_ref(), subject),
            Subject::Route => Found::Text(self.source.route().to_owned()),
            Subject::Caller => fact("caller"),
            Subject::Tier => fact("tier"),
            Subject::Group => fact("groups"),
            Subject::Country => trusted(&self.settings.country_header, country, "country"),
            Subject::Region => trusted(&self.settings.region_header, region, "region"),
            Subject::Fact(name) => fact(name),
            Subject::Header(name) => Found::bytes(self.source.header(name)),
            Subject::Json(pointer) => Found::field(self.source.json(pointer)),
        }
    }

    /// The facts that the trusted headers or the client's address make.
    pub(crate) fn place(&mut self) -> Vec<(&'static str, String)> {
        let of = [
            (Subject::Country, "country", &self.settings.country_header),
            (Subject::Region, "region", &self.settings.region_header),
        ];
        let located = self.settings.locate;
        let given = of
            .into_iter()
            .filter(|(_, _, header)| header.is_some() || located);
        given
            .filter_map(|(subject, name, _)| match self.find(Cow::Owned(subject)) {
                Found::Text(text) => Some((name, text.clone())),
                _ => None,
            })
            .collect()
    }
}

/// Two letters, in upper case.
fn country(text: String) -> Option<String> {
    let country = Country::try_from(text).ok()?;
    Some(country.as_str().to_owned())
}

/// Such as `DE-BY` or `eu-west-1`.
fn region(text: String) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_region = (1..=64).contains(&text.len()) && text.bytes().all(is_plain);
    is_region.then_some(text)
}

/// A request on its way through the gateway.
pub(crate) struct Live<'a, 'm> {
    pub(crate) known: &'a Known,
    pub(crate) request: &'a Request<'m>,
}

/// What the gateway says of a request without being asked.
pub(crate) struct Known {
    route: String,
    caller: Option<String>,
    tier: Option<String>,
    is_streaming: bool,
}

impl Known {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            route: head.route.clone(),
            caller: head.caller.clone(),
            tier: head.tier.clone(),
            is_streaming: head.streaming,
        }
    }
}

impl Source for Live<'_, '_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.request.header(name)
    }

    fn json(&self, pointer: &str) -> Option<Value> {
        self.request.json_value(pointer)
    }

    fn fact(&self, name: &str) -> Option<String> {
        match name {
            "caller" => self.known.caller.clone(),
            "tier" => self.known.tier.clone(),
            other => self.request.fact(other),
        }
    }

    fn route(&self) -> &str {
        &self.known.route
    }

    fn is_streaming(&self) -> bool {
        self.known.is_streaming
    }

    fn locate(&self) -> (Option<String>, Option<String>) {
        let address = self.request.fact("client_address");
        address.map_or((None, None), |address| gateway::locate(&address))
    }
}
