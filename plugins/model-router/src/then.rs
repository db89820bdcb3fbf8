//! Where the requests of a rule go.

use schemars::JsonSchema;
use serde::Deserialize;

use tollgate_settings::Period;

use crate::{
    names::{Destination, Fact, Header, Name, Pointer},
    shadow::Shadow,
    share,
    shift::Shift,
};

mod mistakes;

/// One destination, or several that share the requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(from = "Written")]
#[schemars(with = "Written")]
pub(crate) struct Then {
    /// At least one, once it is checked.
    pub(crate) arms: Vec<Arm>,
    pub(crate) split: Option<Split>,
    pub(crate) shadow: Option<Shadow>,
    /// Settings of a split without one, and of one destination beside a split.
    stray: Vec<&'static str>,
}

/// How arms share requests.
#[derive(Debug)]
pub(crate) struct Split {
    /// `None`, until it is checked: it is missing.
    pub(crate) by: Option<Vec<Key>>,
    pub(crate) on_missing: OnMissing,
    pub(crate) seed: Option<Name>,
    pub(crate) shift: Option<Shift>,
    pub(crate) remember: Option<Period>,
}

/// One destination.
#[derive(Debug)]
pub(crate) struct Arm {
    /// What the log calls it, and what its share of the callers goes by.
    pub(crate) name: String,
    pub(crate) salt: u64,
    pub(crate) weight: u32,
    pub(crate) model: Option<Destination>,
    pub(crate) upstream: Option<Destination>,
    pub(crate) version: Option<Name>,
}

/// What a caller or a session is known by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Key {
    /// The value of a fact: `caller`, or another that an earlier policy sets.
    Fact(Fact),
    /// The value of a header.
    Header(Header),
    /// A text or number in the body.
    Json(Pointer),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnMissing {
    /// Each request anew.
    #[default]
    Random,
    /// With an error.
    Refuse,
}

/// Where requests go: a model, an upstream, or both; or a `split`. With none of them, to the
/// model that the client asks for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// A model of the configuration. Default: the one that the client asks for.
    model: Option<Destination>,
    /// An upstream of the configuration. Default: as the model's targets say.
    upstream: Option<Destination>,
    /// Which version of the model this is; a client that pins another one is told that there
    /// is none (404). Default: no version.
    version: Option<Name>,
    /// Several destinations that share the requests by their weights. Default: one, as above.
    #[schemars(length(min = 1, max = 32))]
    split: Option<Vec<WrittenArm>>,
    /// What a caller or a session is known by, so that it keeps its arm: the first of these
    /// that a request has. Required for a `split`; with `[]`, each request is drawn anew.
    by: Option<Vec<Key>>,
    /// Of a request that has nothing of `by`: it is drawn (`random`) or refused (`refuse`).
    /// Default: `random`.
    on_missing: Option<OnMissing>,
    /// What the shares are drawn by: splits of one seed and the same arms put a caller into
    /// the same arm. Default: the rule's name.
    seed: Option<Name>,
    /// Moves requests to one arm over time. Default: the weights as they are.
    shift: Option<Shift>,
    /// How long a session keeps the arm that it had first, from its last request on, also
    /// while weights change. Needs the feature `kv` and its grant. Default: it is not
    /// remembered.
    remember: Option<Period>,
    /// Where copies of these requests go besides, whose answers are recorded and given to
    /// nobody. Needs the feature `shadow` and its grant. Default: none are made.
    shadow: Option<Shadow>,
}

/// One of the destinations of a split.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenArm {
    /// What logs and metrics call it. Default: its version, model or upstream.
    #[serde(default)]
    name: Option<Name>,
    /// Its share against the others', 0 to 1,000,000; 0: only who pins its version.
    #[schemars(range(max = 1_000_000))]
    weight: u32,
    /// A model of the configuration. Default: the one that the client asks for.
    #[serde(default)]
    model: Option<Destination>,
    /// An upstream of the configuration. Default: as the model's targets say.
    #[serde(default)]
    upstream: Option<Destination>,
    /// Which version of the model this is: a client that pins it has this arm, whatever the
    /// weights. Default: no version.
    #[serde(default)]
    version: Option<Name>,
}

impl From<Written> for Then {
    fn from(written: Written) -> Self {
        let single = [
            ("model", written.model.is_some()),
            ("upstream", written.upstream.is_some()),
            ("version", written.version.is_some()),
        ];
        let of_split = [
            ("by", written.by.is_some()),
            ("on_missing", written.on_missing.is_some()),
            ("seed", written.seed.is_some()),
            ("shift", written.shift.is_some()),
            ("remember", written.remember.is_some()),
        ];
        let given = |named: &[(&'static str, bool)]| {
            let given = named.iter().filter(|(_, is_given)| *is_given);
            given.map(|(name, _)| *name).collect()
        };
        let Some(arms) = written.split else {
            let arm = WrittenArm {
                name: None,
                weight: 1,
                model: written.model,
                upstream: written.upstream,
                version: written.version,
            };
            return Self {
                arms: vec![arm.into()],
                split: None,
                shadow: written.shadow,
                stray: given(&of_split),
            };
        };
        Self {
            arms: arms.into_iter().map(Arm::from).collect(),
            split: Some(Split {
                by: written.by,
                on_missing: written.on_missing.unwrap_or_default(),
                seed: written.seed,
                shift: written.shift,
                remember: written.remember,
            }),
            shadow: written.shadow,
            stray: given(&single),
        }
    }
}

impl From<WrittenArm> for Arm {
    fn from(written: WrittenArm) -> Self {
        let WrittenArm {
            name,
            weight,
            model,
            upstream,
            version,
        } = written;
        let own = name.as_ref().or(version.as_ref()).map(Name::as_str);
        let led = model.as_ref().or(upstream.as_ref());
        let name = own.or(led.map(Destination::as_str)).unwrap_or("as-asked");
        Self {
            salt: share::salt(name),
            name: name.to_owned(),
            weight,
            model,
            upstream,
            version,
        }
    }
}

impl Then {
    /// The share of each arm at this time.
    pub(crate) fn shares(&self, now_ms: impl FnOnce() -> u64) -> Vec<f64> {
        let shift = self.split.as_ref().and_then(|split| split.shift.as_ref());
        match shift {
            Some(shift) => shift.shares(&self.arms, now_ms()),
            None => self.arms.iter().map(|arm| arm.weight.into()).collect(),
        }
    }

    pub(crate) fn has_versions(&self) -> bool {
        self.arms.iter().any(|arm| arm.version.is_some())
    }

    /// Whether the request's body has to be read for it.
    pub(crate) fn reads_the_body(&self) -> bool {
        let keys = self
            .split
            .iter()
            .flat_map(|split| split.by.iter().flatten());
        keys.into_iter().any(|key| matches!(key, Key::Json(_)))
    }
}
