//! The settings as an operator writes them.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::Pattern;

use crate::{expiry::Expiry, hash::KeyHash, settings::Carrier};

/// Who may call, with which keys and models.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Settings")]
pub(crate) struct Written {
    /// The keys that are let in, one at a time. Default: none.
    #[serde(default)]
    pub(crate) keys: Vec<LoneKey>,
    /// Callers with all of their keys. Default: none. One key at least is needed, here or in
    /// `keys`.
    #[serde(default)]
    pub(crate) callers: Vec<Caller>,
    /// The header that carries the key: `authorization` (as `Bearer KEY`), or another one,
    /// such as `x-api-key`, with nothing but the key in it. Default: `authorization`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(crate) header: Carrier,
    /// Whether the header is removed from what goes to the upstream. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) strip: bool,
}

/// One key and whose it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoneKey {
    /// The SHA-256 of the key, as 64 hex digits: `printf %s "$KEY" | sha256sum`.
    #[schemars(with = "String", regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    #[serde(alias = "hash")]
    pub(crate) sha256: KeyHash,
    /// Who calls with this key; the fact `caller`.
    pub(crate) caller: String,
    /// The fact `tier`. Default: the fact is not set.
    #[serde(default)]
    pub(crate) tier: Option<String>,
    /// The models that this key may ask for, by name or with `*` for any text. Default: all.
    #[serde(default)]
    pub(crate) models: Option<Vec<Pattern>>,
    /// When the key stops working: a time, or a date, through whose end it still works.
    /// Default: never.
    #[serde(default)]
    pub(crate) expires: Option<Expiry>,
}

/// One caller and the keys that are good for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    /// The fact `caller`.
    pub(crate) caller: String,
    /// The fact `tier`. Default: the fact is not set.
    #[serde(default)]
    pub(crate) tier: Option<String>,
    /// The models that this caller may ask for, by name or with `*` for any text.
    /// Default: all.
    #[serde(default)]
    pub(crate) models: Option<Vec<Pattern>>,
    /// Its keys, several for the time in which one takes over from another.
    pub(crate) keys: Vec<CallersKey>,
}

/// One of a caller's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallersKey {
    /// The SHA-256 of the key, as 64 hex digits: `printf %s "$KEY" | sha256sum`.
    #[schemars(with = "String", regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    #[serde(alias = "hash")]
    pub(crate) sha256: KeyHash,
    /// The models that this key may ask for, of those that its caller may. Default: all of
    /// them.
    #[serde(default)]
    pub(crate) models: Option<Vec<Pattern>>,
    /// When the key stops working: a time, or a date, through whose end it still works.
    /// Default: never.
    #[serde(default)]
    pub(crate) expires: Option<Expiry>,
}

fn yes() -> bool {
    true
}
