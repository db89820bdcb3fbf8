//! What an operator writes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::Period;

use crate::{
    carrier::Carrier,
    key::{Algorithm, Jwk, Key},
};

const SKEW_MAX_MS: u64 = 600_000;
/// A time to live in the store is at most so long.
const KEEP_MAX_MS: u64 = 30 * 86_400_000;
const FACTS_MAX: usize = 32;

/// Whose tokens are let in, and what becomes of their claims. The keys come from exactly one
/// of `keys`, `secret` and `jwks_url`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The public keys themselves, as a JWKS lists them. Default: none.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Jwk>>")]
    pub(crate) keys: Option<Vec<Key>>,
    /// The name of a granted secret that holds a JWKS, or public keys in PEM. Default: none.
    #[serde(default)]
    pub(crate) secret: Option<String>,
    /// The address of a JWKS, `https` (or `http` to `localhost`). Default: none.
    #[serde(default)]
    pub(crate) jwks_url: Option<String>,
    /// How old the keys of `jwks_url` get before they are fetched again, in the background; at
    /// least a second counts. Default: `10m`.
    #[serde(default = "refresh")]
    pub(crate) refresh: Period,
    /// The least time between two fetches, whatever tokens ask for. Default: `30s`.
    #[serde(default = "pause")]
    pub(crate) pause: Period,
    /// How long keys are used while `jwks_url` gives no new ones, at most `30d`. Default:
    /// `1d`.
    #[serde(default = "keep")]
    pub(crate) keep: Period,
    /// The `iss` of the tokens, to the letter.
    pub(crate) issuer: String,
    /// The `aud` of the tokens: one of these has to be there.
    pub(crate) audience: Audience,
    /// The signatures that are accepted. Default: all three, `RS256`, `ES256`, `EdDSA`.
    #[serde(default = "algorithms")]
    pub(crate) algorithms: Vec<Algorithm>,
    /// How far clocks may be apart, at most `10m`. Default: `1m`.
    #[serde(default = "skew")]
    pub(crate) clock_skew: Period,
    /// The header that carries the token: `authorization` (as `Bearer TOKEN`), or another one
    /// with nothing but the token in it. Default: `authorization`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(crate) header: Carrier,
    /// Whether the header is removed from what goes to the upstream. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) strip: bool,
    /// Facts by their names, each with the JSON pointer of its claim. A token without the
    /// claim of `caller` is refused. Default: `caller` from `/sub`.
    #[serde(default = "facts")]
    pub(crate) facts: BTreeMap<String, Pointer>,
    /// How long it is remembered, at most, that a signature was good, so that it is not
    /// checked again. Default: it is not remembered.
    #[serde(default)]
    pub(crate) remember: Option<Period>,
}

/// One name, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(from = "OneOrMore")]
pub(crate) struct Audience(#[schemars(with = "OneOrMore")] Vec<String>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Audience {
    fn from(written: OneOrMore) -> Self {
        Self(match written {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        })
    }
}

impl Audience {
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Pointer(#[schemars(regex(pattern = "^/"))] String);

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') && text.len() <= 256 {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is no JSON pointer: expected one such as `/sub`"
            ))
        }
    }
}

/// Where keys come from.
#[derive(Debug)]
pub(crate) enum Source {
    Inline(&'static [Key]),
    Secret(&'static str),
    Url(&'static str),
}

impl Settings {
    /// Once they are checked, there is exactly one.
    pub(crate) fn source(&'static self) -> Option<Source> {
        let inline = self.keys.as_deref().map(Source::Inline);
        inline
            .or_else(|| self.secret.as_deref().map(Source::Secret))
            .or_else(|| self.jwks_url.as_deref().map(Source::Url))
    }

    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = self.mistakes_of_source();
        mistakes.extend(self.mistakes_of_claims());
        let bounds = [
            ("clock_skew", self.clock_skew.ms(), SKEW_MAX_MS, "10m"),
            ("keep", self.keep.ms(), KEEP_MAX_MS, "30d"),
        ];
        let long = bounds.iter().filter(|(_, ms, max, _)| ms > max);
        mistakes
            .extend(long.map(|(name, _, _, most)| format!("/{name}: expected at most `{most}`")));
        if self.refresh.ms() >= self.keep.ms() {
            mistakes.push("/refresh: expected less than `keep`".to_owned());
        }
        if self.pause.ms() > self.refresh.ms() {
            mistakes.push("/pause: expected at most `refresh`".to_owned());
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    fn mistakes_of_source(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let given = [
            self.keys.is_some(),
            self.secret.is_some(),
            self.jwks_url.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            mistakes.push("/: expected exactly one of `keys`, `secret` and `jwks_url`".to_owned());
        }
        if self.keys.as_ref().is_some_and(Vec::is_empty) {
            mistakes.push("/keys: expected at least one key".to_owned());
        }
        if self.jwks_url.as_deref().is_some_and(|url| !is_address(url)) {
            mistakes.push("/jwks_url: expected an address of `https://`".to_owned());
        }
        let absent = [
            (
                "secret",
                self.secret.is_some(),
                cfg!(feature = "secret"),
                "secret",
            ),
            (
                "jwks_url",
                self.jwks_url.is_some(),
                cfg!(feature = "url"),
                "url",
            ),
            (
                "remember",
                self.remember.is_some(),
                cfg!(feature = "url"),
                "url",
            ),
        ];
        let absent = absent
            .iter()
            .filter(|(_, given, built, _)| *given && !built);
        mistakes.extend(absent.map(|(name, _, _, feature)| {
            format!("/{name}: this plugin was built without it: expected the feature `{feature}`")
        }));
        mistakes
    }

    fn mistakes_of_claims(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.issuer.is_empty() {
            mistakes.push("/issuer: expected the `iss` of the tokens".to_owned());
        }
        if self.audience.0.is_empty() || self.audience.0.iter().any(String::is_empty) {
            mistakes.push("/audience: expected the `aud` of the tokens, one or more".to_owned());
        }
        if self.algorithms.is_empty() {
            mistakes.push("/algorithms: expected at least one".to_owned());
        }
        if self.facts.is_empty() || self.facts.len() > FACTS_MAX {
            mistakes.push(format!("/facts: expected 1 to {FACTS_MAX} facts"));
        }
        let is_name =
            |name: &str| (1..=64).contains(&name.len()) && !name.contains(char::is_control);
        let odd = self.facts.keys().filter(|name| !is_name(name));
        mistakes.extend(odd.map(|name| format!("/facts/{name}: expected a name of 1 to 64 bytes")));
        mistakes
    }
}

/// What the grant allows is the host's to say; here, that keys do not come in the clear.
fn is_address(url: &str) -> bool {
    ["https://", "http://localhost:", "http://localhost/"]
        .iter()
        .any(|start| url.len() > start.len() && url.starts_with(start))
}

fn refresh() -> Period {
    Period::of_ms(600_000)
}

fn pause() -> Period {
    Period::of_ms(30_000)
}

fn keep() -> Period {
    Period::of_ms(86_400_000)
}

fn skew() -> Period {
    Period::of_ms(60_000)
}

fn yes() -> bool {
    true
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
}

fn facts() -> BTreeMap<String, Pointer> {
    BTreeMap::from([("caller".to_owned(), Pointer("/sub".to_owned()))])
}
