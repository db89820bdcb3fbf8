//! What the file says into what the gateway uses.
//!
//! Every mistake is reported and the work goes on, so that all come out together.
//! What stands in for a mistaken value never leaves this module: one problem, and
//! there is no [`Config`].

mod attempts;
mod balance;
mod endpoints;
mod health;
mod overload;
mod passage;
mod policies;
mod routes;
mod scope;
mod tuning;
mod upstreams;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use scope::Scope;

use crate::{
    defaults,
    error::{ConfigError, Problems},
    file,
    lost::Lost,
    merge::{Entry, In, Merged},
    model::{ClientCertificates, Config, SandboxLimits, SecretSource, Tls},
    place::{At, Place},
    source::Source,
    spelling,
};

/// The names that others may be resolved to.
#[derive(Debug)]
struct Names {
    secrets: Known,
    policies: Known,
    upstreams: Known,
    models: Known,
    /// The upstreams that each model is served by, of those models that are whole.
    served_by: BTreeMap<String, BTreeSet<String>>,
    /// Whether there is a file of places.
    geo: bool,
}

/// The names of a section.
#[derive(Debug)]
struct Known {
    /// Those that could not be read included.
    names: BTreeSet<String>,
    /// Whether these are all of them: the section could be read.
    is_all: bool,
}

impl Names {
    fn of(merged: &Merged) -> Self {
        fn known<T>(section: &str, entries: &[Entry<T>], lost: &[Lost]) -> Known {
            let read = entries.iter().map(|entry| &entry.value.0.value);
            let lost_names = lost.iter().flat_map(|lost| lost.names(section));
            let is_lost = |lost: &Lost| {
                lost.all_of(section) || (entries.is_empty() && lost.has_unknown_section())
            };
            Known {
                names: read.chain(lost_names).cloned().collect(),
                is_all: !lost.iter().any(is_lost),
            }
        }
        let lost = &merged.lost;
        let mut served: BTreeMap<_, _> = merged.models.iter().map(served_by).collect();
        for name in lost.iter().flat_map(|lost| lost.names("models")) {
            served.remove(name);
        }
        Self {
            secrets: known("secrets", &merged.secrets, lost),
            policies: known("policies", &merged.policies, lost),
            upstreams: known("upstreams", &merged.upstreams, lost),
            models: known("models", &merged.models, lost),
            served_by: served,
            geo: merged.geo.is_some() || lost.iter().any(|lost| lost.may_have("geo")),
        }
    }
}

/// A model, and the upstreams of all its targets.
fn served_by(entry: &Entry<file::Model>) -> (String, BTreeSet<String>) {
    let (name, model) = &entry.value;
    let targets = model.targets.value.iter();
    let targets = targets.map(|target| &target.upstream);
    let next = model.fallback.iter().flat_map(|line| &line.value);
    let all = targets.chain(next.map(|target| &target.upstream));
    let upstreams = all.map(|upstream| upstream.value.clone());
    (name.value.clone(), upstreams.collect())
}

/// All sources, the problems so far, and what is known of the whole.
struct Resolver<'a> {
    sources: &'a [Source],
    base: &'a Path,
    names: Names,
    lost: Vec<Lost>,
    problems: RefCell<Problems>,
}

/// `problems` are those of what is not in `merged`.
pub(crate) fn resolve(
    mut merged: Merged,
    problems: Problems,
    sources: &[Source],
    base: &Path,
) -> Result<Config, ConfigError> {
    let resolver = Resolver {
        sources,
        base,
        names: Names::of(&merged),
        lost: std::mem::take(&mut merged.lost),
        problems: RefCell::new(problems),
    };
    let config = resolver.config(merged);
    resolver.problems.into_inner().none_or(config)
}

impl Resolver<'_> {
    fn scope(&self, source: usize) -> Scope<'_> {
        Scope {
            source: &self.sources[source],
            base: self.base,
            names: &self.names,
            lost: &self.lost[source],
            problems: &self.problems,
        }
    }

    fn config(&self, merged: Merged) -> Config {
        let sandbox = self.section(merged.sandbox, |scope, section| {
            tuning::sandbox(scope, Some(&section), &SandboxLimits::default())
        });
        if merged.routes.is_empty() && !self.lost.iter().any(|lost| lost.may_have("routes")) {
            let expected = "`routes:` with at least one route";
            self.scope(0).refuse(
                Place::START,
                "there are no routes, so nothing would be served",
                expected,
            );
        }
        self.two_addresses(merged.listen.as_ref(), merged.admin.as_ref());
        Config {
            listen: self.address(merged.listen.as_ref(), defaults::LISTEN),
            admin: self.address(merged.admin.as_ref(), defaults::ADMIN),
            admin_token: merged.admin_token.map(|name| {
                let scope = self.scope(name.source);
                scope.secret(&name.value)
            }),
            tls: merged.tls.map(|tls| self.tls(&tls)),
            plugins: self.path(merged.plugins.as_ref(), defaults::PLUGINS),
            cache: match &merged.cache {
                Some(written) if written.value.value == "off" => None,
                written => Some(self.path(written.as_ref(), defaults::CACHE)),
            },
            secrets: self.named(merged.secrets, |scope, _, secret| {
                Some(secret_source(scope, &secret.0))
            }),
            geo: merged.geo.map(|geo| {
                let scope = self.scope(geo.source);
                scope.path(&geo.value.value.file)
            }),
            trusted_proxies: self.networks(&merged.trusted_proxies),
            policies: self.named(merged.policies, |scope, name, policy| {
                policies::policy(scope, name, policy, &sandbox)
            }),
            upstreams: self.named(merged.upstreams, |scope, _, upstream| {
                Some(upstreams::upstream(scope, upstream))
            }),
            models: self.named(merged.models, |scope, _, model| {
                Some(upstreams::model(scope, model))
            }),
            routes: routes::routes(self, merged.routes),
            limits: self.section(merged.limits, |scope, section| {
                tuning::limits(scope, &section)
            }),
            timeouts: self.section(merged.timeouts, |scope, section| {
                tuning::timeouts(scope, &section)
            }),
            overload: self.section(merged.overload, |scope, section| {
                overload::overload(scope, &section)
            }),
            compile: self.section(merged.compile, |scope, section| {
                tuning::compile(scope, &section)
            }),
        }
    }

    fn section<F, T: Default>(
        &self,
        section: Option<In<At<F>>>,
        read: impl FnOnce(&Scope<'_>, F) -> T,
    ) -> T {
        section.map_or_else(T::default, |section| {
            read(&self.scope(section.source), section.value.value)
        })
    }

    fn named<F, T>(
        &self,
        entries: Vec<Entry<F>>,
        read: impl Fn(&Scope<'_>, &At<String>, F) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let resolved = entries.into_iter().filter_map(
            |In {
                 source,
                 value: (name, value),
             }| {
                let scope = self.scope(source);
                let value = read(&scope, &name, value);
                Some((scope.read(&name, spelling::name)?, value?))
            },
        );
        resolved.collect()
    }

    fn address(&self, written: Option<&In<At<String>>>, default: SocketAddr) -> SocketAddr {
        written
            .and_then(|text| self.scope(text.source).read(&text.value, spelling::address))
            .unwrap_or(default)
    }

    fn networks(&self, written: &[In<At<String>>]) -> Vec<IpNet> {
        let networks = written.iter();
        networks
            .filter_map(|text| self.scope(text.source).read(&text.value, spelling::network))
            .collect()
    }

    /// The listener and the admin port must differ, or the second to start would fail.
    fn two_addresses(&self, listen: Option<&In<At<String>>>, admin: Option<&In<At<String>>>) {
        let parse = |text: Option<&In<At<String>>>, default| {
            text.map_or(Some(default), |text| {
                spelling::address(&text.value.value).ok()
            })
        };
        let (one, other) = (
            parse(listen, defaults::LISTEN),
            parse(admin, defaults::ADMIN),
        );
        let Some(same) = one.filter(|address| other == Some(*address) && address.port() != 0)
        else {
            return;
        };
        if let Some(text) = admin.or(listen) {
            let message = format!("`listen` and `admin` are both {same}");
            self.scope(text.source)
                .refuse_beside(text.value.place, message, "two addresses");
        }
    }

    fn path(&self, written: Option<&In<At<String>>>, default: &str) -> PathBuf {
        match written {
            Some(text) => self.scope(text.source).path(&text.value),
            None => self.base.join(default),
        }
    }

    fn tls(&self, tls: &In<At<file::Tls>>) -> Tls {
        let scope = self.scope(tls.source);
        let written = &tls.value.value;
        let path = |file: &Option<At<String>>, key, what| match file {
            Some(path) => scope.path(path),
            None => {
                scope.refuse(tls.value.place, format!("`{key}` is missing here"), what);
                PathBuf::new()
            }
        };
        Tls {
            certificate: path(
                &written.certificate,
                "certificate",
                "a PEM file: the certificate, and those between it and its CA",
            ),
            key: path(
                &written.key,
                "key",
                "a PEM file: the private key of the certificate",
            ),
            clients: client_certificates(&scope, &tls.value),
        }
    }
}

/// Whether a client may come without a certificate is for the operator to say.
fn client_certificates(scope: &Scope<'_>, tls: &At<file::Tls>) -> Option<ClientCertificates> {
    const AUTH: &str = "`client_auth: required` or `client_auth: optional`; there is no default";
    match (&tls.value.client_ca, tls.value.client_auth) {
        (Some(ca), Some(auth)) => Some(ClientCertificates {
            ca: scope.path(ca),
            auth: auth.into(),
        }),
        (Some(ca), None) => {
            let message = "`client_ca` does not say whether a client has to show a certificate";
            scope.refuse_beside(ca.place, message, AUTH);
            None
        }
        (None, Some(_)) => {
            let message = "`client_auth` does not say whose certificates hold";
            scope.refuse_beside(tls.place, message, "`client_ca`, a PEM file of CAs");
            None
        }
        (None, None) => None,
    }
}

fn secret_source(scope: &Scope<'_>, secret: &file::Secret) -> SecretSource {
    match secret {
        file::Secret::Env(At { value: name, place }) => {
            if name.is_empty() || name.contains(['=', '\0']) {
                scope.refuse(
                    *place,
                    "this is no environment variable",
                    "a name such as `OPENAI_API_KEY`",
                );
            }
            SecretSource::Env(name.clone())
        }
        file::Secret::File(path) => SecretSource::File(scope.path(path)),
    }
}
