//! Which way a request goes.
//!
//! The first rule that holds leads it. A version that the client pins goes before weights,
//! an arm that was remembered before one that is drawn. Decides by what it is given alone:
//! time, chance and memory come from a [`World`].

use std::borrow::Cow;

use tollgate_settings::Period;

use crate::{
    asked::{Asked, Source},
    called::Called,
    names::{Destination, Name},
    refused::Refused,
    rule::Rule,
    settings::Settings,
    share,
    subject::Subject,
    then::{Arm, Key, OnMissing, Split},
};

/// What a decision needs besides the request.
pub(crate) trait World {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    fn random(&self) -> u64;
    /// The arm that a session had, if it is remembered; it is for so long again.
    fn recall(&self, session: &Session<'_>, lives: Period) -> Option<String>;
    fn remember(&self, session: &Session<'_>, arm: &str, lives: Period);
}

/// One session in one split.
pub(crate) struct Session<'a> {
    pub(crate) seed: &'a str,
    pub(crate) key: &'a str,
}

/// Where a request goes.
#[derive(Debug, Default)]
pub(crate) struct Choice<'r> {
    /// The rule that led it, and its arm.
    pub(crate) by: Option<(&'r Rule, &'r Arm)>,
    /// `None`: the model that the request names.
    pub(crate) model: Option<String>,
    pub(crate) upstream: Option<&'r str>,
}

/// # Errors
/// There is no such model or version, or the rule needs to know more.
pub(crate) fn choose<'r, S: Source>(
    settings: &'r Settings,
    asked: &mut Asked<'r, '_, S>,
    world: &impl World,
) -> Result<Choice<'r>, Refused> {
    match settings.rules.iter().find(|rule| rule.when.holds(asked)) {
        Some(rule) => by_rule(rule, asked, world),
        None => unled(settings, asked.called.as_ref()),
    }
}

fn unled<'r>(settings: &Settings, called: Option<&Called>) -> Result<Choice<'r>, Refused> {
    if let Some(known) = &settings.known_models {
        let called = called.ok_or(Refused::NoModel)?;
        if !known.iter().any(|known| known.has(&called.model)) {
            let names = known.iter().map(|known| known.as_str().to_owned());
            return Err(Refused::Unknown {
                model: called.name.clone(),
                known: names.filter(|_| settings.list_models).collect(),
            });
        }
    }
    Ok(Choice {
        model: as_asked(called)?,
        ..Choice::default()
    })
}

/// Nothing, unless an alias stood for it.
fn as_asked(called: Option<&Called>) -> Result<Option<String>, Refused> {
    let renamed = called.filter(|called| called.is_renamed);
    renamed.map(Called::destination).transpose()
}

fn by_rule<'r, S: Source>(
    rule: &'r Rule,
    asked: &mut Asked<'r, '_, S>,
    world: &impl World,
) -> Result<Choice<'r>, Refused> {
    let arms = candidates(rule, asked.called.as_ref())?;
    let arm = match arms.as_slice() {
        [only] => only.arm,
        arms => among(rule, arms, asked, world)?,
    };
    let model = match &arm.model {
        Some(model) => Some(model.as_str().to_owned()),
        None => as_asked(asked.called.as_ref())?,
    };
    Ok(Choice {
        by: Some((rule, arm)),
        model,
        upstream: arm.upstream.as_ref().map(Destination::as_str),
    })
}

/// An arm that a request may have.
struct Candidate<'r> {
    arm: &'r Arm,
    nth: usize,
}

/// All arms, or those of the version that the client pins.
fn candidates<'r>(rule: &'r Rule, called: Option<&Called>) -> Result<Vec<Candidate<'r>>, Refused> {
    let all = rule.then.arms.iter().enumerate();
    let all = all.map(|(nth, arm)| Candidate { arm, nth });
    let Some((called, version)) =
        called.and_then(|called| Some((called, called.version.as_ref()?)))
    else {
        return Ok(all.collect());
    };
    let no_version = || Refused::NoVersion {
        model: called.model.clone(),
        version: version.clone(),
    };
    if rule.then.has_versions() {
        let is_pinned = |arm: &Arm| arm.version.as_ref().map(Name::as_str) == Some(version);
        let pinned: Vec<_> = all.filter(|one| is_pinned(one.arm)).collect();
        return match pinned.is_empty() {
            true => Err(no_version()),
            false => Ok(pinned),
        };
    }
    // A pin is never dropped: the rule asked for it, or the name goes on as it came.
    let all: Vec<_> = all.collect();
    let drops_it = all.iter().any(|one| one.arm.model.is_some());
    match drops_it && rule.when.asks(&Subject::Version).is_none() {
        true => Err(no_version()),
        false => Ok(all),
    }
}

fn among<'r, S: Source>(
    rule: &'r Rule,
    candidates: &[Candidate<'r>],
    asked: &mut Asked<'r, '_, S>,
    world: &impl World,
) -> Result<&'r Arm, Refused> {
    let all = rule.then.shares(|| world.now_ms());
    let mut shares: Vec<f64> = candidates.iter().map(|one| all[one.nth]).collect();
    if shares.iter().all(|share| *share <= 0.0) {
        // They were asked for by their version, whatever their weights.
        shares.fill(1.0);
    }
    let split = rule.then.split.as_ref();
    let key = split.and_then(|split| key(split, asked));
    let Some(key) = key else {
        if split.is_some_and(|split| split.on_missing == OnMissing::Refuse) {
            let rule = rule.name.as_str().to_owned();
            return Err(Refused::NoKey { rule });
        }
        return Ok(draw(candidates, &shares, world.random()));
    };
    let session = Session {
        seed: rule.seed(),
        key: &key,
    };
    let Some(lives) = split.and_then(|split| split.remember) else {
        return Ok(draw(
            candidates,
            &shares,
            share::place(session.seed, session.key),
        ));
    };
    let recalled = world.recall(&session, lives);
    let kept = candidates
        .iter()
        .zip(&shares)
        .find(|(one, share)| **share > 0.0 && recalled.as_deref() == Some(one.arm.name.as_str()));
    if let Some((one, _)) = kept {
        return Ok(one.arm);
    }
    let arm = draw(candidates, &shares, share::place(session.seed, session.key));
    world.remember(&session, &arm.name, lives);
    Ok(arm)
}

fn draw<'r>(candidates: &[Candidate<'r>], shares: &[f64], place: u64) -> &'r Arm {
    let arms = candidates.iter().zip(shares);
    let drawn = share::draw(place, arms.map(|(one, share)| (one.arm.salt, *share)));
    // Some share is more than 0, so there is one.
    candidates[drawn.unwrap_or_default()].arm
}

/// What the caller is known by: the first that the request has.
fn key<'r, S: Source>(split: &'r Split, asked: &mut Asked<'r, '_, S>) -> Option<String> {
    let subject = |key: &Key| match key {
        Key::Fact(fact) => Subject::Fact(fact.as_str().to_owned()),
        Key::Header(header) => Subject::Header(header.as_str().to_owned()),
        Key::Json(pointer) => Subject::Json(pointer.as_str().to_owned()),
    };
    let mut keys = split.by.iter().flatten();
    keys.find_map(|key| asked.find(Cow::Owned(subject(key))).key())
}
