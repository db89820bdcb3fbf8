//! The files of a folder as one: maps and lists joined, everything else said once.

use std::collections::HashMap;

use crate::{
    error::{ConfigError, Problems},
    file::{
        Compile, File, Geo, Limits, Model, Overload, Policy, Route, Sandbox, Secret, Timeouts, Tls,
        Upstream,
    },
    form::Form,
    lost::Lost,
    one_key::OneKey,
    place::{At, Named, Place},
    source::Source,
    spelling::quote,
};

/// A value, and which of the sources it stands in.
#[derive(Debug)]
pub(crate) struct In<T> {
    pub(crate) source: usize,
    pub(crate) value: T,
}

/// An entry of a map whose keys the operator chose.
pub(crate) type Entry<T> = In<(At<String>, T)>;

#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) listen: Option<In<At<String>>>,
    pub(crate) tls: Option<In<At<Tls>>>,
    pub(crate) admin: Option<In<At<String>>>,
    pub(crate) admin_token: Option<In<At<String>>>,
    pub(crate) plugins: Option<In<At<String>>>,
    pub(crate) cache: Option<In<At<String>>>,
    pub(crate) secrets: Vec<Entry<OneKey<Secret>>>,
    pub(crate) geo: Option<In<At<Geo>>>,
    pub(crate) trusted_proxies: Vec<In<At<String>>>,
    pub(crate) policies: Vec<Entry<Policy>>,
    pub(crate) upstreams: Vec<Entry<Upstream>>,
    pub(crate) models: Vec<Entry<Model>>,
    pub(crate) routes: Vec<In<At<Route>>>,
    pub(crate) limits: Option<In<At<Limits>>>,
    pub(crate) timeouts: Option<In<At<Timeouts>>>,
    pub(crate) overload: Option<In<At<Overload>>>,
    pub(crate) sandbox: Option<In<At<Sandbox>>>,
    pub(crate) compile: Option<In<At<Compile>>>,
    /// What is missing of each source.
    pub(crate) lost: Vec<Lost>,
}

/// Joins what each source says, and what is wrong with it. Anything that is said twice is
/// a problem. Where a source could not be read at all, nothing can be judged further.
pub(crate) fn merge(
    forms: Vec<Form<File>>,
    sources: &[Source],
) -> Result<(Merged, Problems), ConfigError> {
    let mut merged = Merged::default();
    let mut problems = Problems::default();
    let mut is_whole = true;
    for (source, form) in forms.into_iter().enumerate() {
        for problem in form.problems {
            problems.add(|| problem);
        }
        if form.is_cut {
            problems.cut();
        }
        merged.lost.push(form.lost);
        let Some(file) = form.file else {
            is_whole = false;
            continue;
        };
        Merger {
            source,
            sources,
            problems: &mut problems,
        }
        .add(&mut merged, file);
    }
    match is_whole {
        true => Ok((merged, problems)),
        false => Err(problems.into_error()),
    }
}

/// Adds one source to those before it.
struct Merger<'a> {
    source: usize,
    sources: &'a [Source],
    problems: &'a mut Problems,
}

impl Merger<'_> {
    fn add(&mut self, merged: &mut Merged, file: File) {
        self.once("listen", &mut merged.listen, file.listen);
        self.once("tls", &mut merged.tls, file.tls);
        self.once("admin", &mut merged.admin, file.admin);
        self.once("admin_token", &mut merged.admin_token, file.admin_token);
        self.once("plugins", &mut merged.plugins, file.plugins);
        self.once("cache", &mut merged.cache, file.cache);
        self.join("secret", &mut merged.secrets, file.secrets);
        self.once("geo", &mut merged.geo, file.geo);
        self.join("policy", &mut merged.policies, file.policies);
        self.join("upstream", &mut merged.upstreams, file.upstreams);
        self.join("model", &mut merged.models, file.models);
        let source = self.source;
        let proxies = file.trusted_proxies.into_iter();
        merged
            .trusted_proxies
            .extend(proxies.map(|value| In { source, value }));
        merged
            .routes
            .extend(file.routes.into_iter().map(|value| In { source, value }));
        self.once("limits", &mut merged.limits, file.limits);
        self.once("timeouts", &mut merged.timeouts, file.timeouts);
        self.once("overload", &mut merged.overload, file.overload);
        self.once("sandbox", &mut merged.sandbox, file.sandbox);
        self.once("compile", &mut merged.compile, file.compile);
    }

    fn once<T>(&mut self, key: &str, slot: &mut Option<In<At<T>>>, found: Option<At<T>>) {
        let Some(value) = found else { return };
        if let Some(first) = slot {
            let first = In {
                source: first.source,
                value: first.value.place,
            };
            self.twice(&format!("`{key}`"), &first, value.place);
            return;
        }
        *slot = Some(In {
            source: self.source,
            value,
        });
    }

    fn join<T>(&mut self, noun: &str, entries: &mut Vec<Entry<T>>, found: Named<T>) {
        let place = |entry: &Entry<T>| In {
            source: entry.source,
            value: entry.value.0.place,
        };
        let known: HashMap<String, In<Place>> = entries
            .iter()
            .map(|entry| (entry.value.0.value.clone(), place(entry)))
            .collect();
        for (name, value) in found.0 {
            match known.get(&name.value) {
                Some(first) => {
                    self.twice(&format!("{noun} {}", quote(&name.value)), first, name.place)
                }
                None => entries.push(In {
                    source: self.source,
                    value: (name, value),
                }),
            }
        }
    }

    fn twice(&mut self, what: &str, first: &In<Place>, second: Place) {
        let before = self.sources[first.source].location(first.value);
        let message = format!(
            "{what} is defined twice: first at {}:{}:{}",
            before.file.display(),
            before.line,
            before.column
        );
        let source = &self.sources[self.source];
        self.problems.add(|| source.problem(second, message, None));
    }
}
