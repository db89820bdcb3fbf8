//! Picks the target of a request, those in line behind it, and by which name each is to
//! know the model.

use std::sync::Arc;

use tollgate_config::Cause;
use tollgate_sandbox::{Policy, contract::Destination};

use super::{
    chance,
    errors::ServeError,
    generation::Generation,
    route::{Route, To},
    tries::Manner,
    upstream::Upstream,
};

/// The targets that serve one model.
pub(super) struct Model {
    targets: Vec<Target>,
    weight: u32,
    fallback: Vec<Target>,
    pub(super) fallback_on: Vec<Cause>,
    pub(super) manner: Manner,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    model: Option<Arc<str>>,
    weight: u32,
    /// Asked on every try of this target, those of its upstream last.
    pub(super) policies: Vec<Arc<Policy>>,
}

impl Target {
    /// An upstream with its own policies.
    pub(super) fn direct(upstream: Arc<Upstream>, policies: Vec<Arc<Policy>>) -> Self {
        Self {
            upstream,
            model: None,
            weight: 0,
            policies,
        }
    }

    /// The same upstream for a model, with policies before its own.
    pub(super) fn of_model(
        &self,
        model: Option<Arc<str>>,
        weight: u32,
        mut policies: Vec<Arc<Policy>>,
    ) -> Self {
        for own in &self.policies {
            if !policies.iter().any(|one| Arc::ptr_eq(one, own)) {
                policies.push(own.clone());
            }
        }
        Self {
            upstream: self.upstream.clone(),
            model,
            weight,
            policies,
        }
    }
}

impl Model {
    pub(super) fn new(
        targets: Vec<Target>,
        (fallback, fallback_on): (Vec<Target>, Vec<Cause>),
        manner: Manner,
    ) -> Self {
        let weight = targets
            .iter()
            .map(|target| target.weight)
            .fold(0, u32::saturating_add);
        Self {
            targets,
            weight,
            fallback,
            fallback_on,
            manner,
        }
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let targets = self.targets.iter().chain(&self.fallback);
        targets.flat_map(|target| &target.policies)
    }

    fn draw(&self) -> Option<&Target> {
        if let [only] = self.targets.as_slice() {
            return Some(only);
        }
        let mut drawn = chance::below(self.weight);
        self.targets
            .iter()
            .find(|target| match drawn.checked_sub(target.weight) {
                Some(left) => {
                    drawn = left;
                    false
                }
                None => true,
            })
    }

    fn at(&self, upstream: &str) -> Option<&Target> {
        self.targets
            .iter()
            .chain(&self.fallback)
            .find(|target| &*target.upstream.name == upstream)
    }
}

/// Where one try goes.
#[derive(Clone)]
pub(super) struct Choice<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    /// What the body has to call the model; `None`: what it says.
    pub(super) model: Option<Arc<str>>,
    pub(super) policies: &'a [Arc<Policy>],
}

/// The target of a request, and who is asked next when a try there has failed.
pub(super) struct Line<'a> {
    pub(super) first: Choice<'a>,
    pub(super) model: Option<&'a Model>,
    next: &'a [Target],
    /// The model that a policy asked for.
    asked: Option<String>,
}

impl<'a> Line<'a> {
    /// One target, and nobody behind it.
    fn of(first: Choice<'a>, model: Option<&'a Model>) -> Self {
        Self {
            first,
            model,
            next: &[],
            asked: None,
        }
    }

    pub(super) fn has_next(&self) -> bool {
        !self.next.is_empty()
    }

    /// The first of those in line, who is in line no more.
    pub(super) fn next(&mut self) -> Option<Choice<'a>> {
        let (next, behind) = self.next.split_first()?;
        self.next = behind;
        Some(by_target(next, self.asked.as_deref()))
    }
}

/// Follows a policy's wish before the route, and the route before the dice.
///
/// Nobody is in line behind an upstream that a policy has named: it may have had its reasons.
///
/// # Errors
/// The route goes by model, and there is none, or none of that name.
pub(super) fn choose<'a>(
    generation: &'a Generation,
    route: &'a Route,
    wish: Destination,
    model: Option<&str>,
) -> Result<Line<'a>, ServeError> {
    let asked = wish.model.as_deref();
    let named = asked
        .or(model)
        .and_then(|model| generation.models.get(model));
    if let Some(name) = &wish.upstream {
        let direct = generation
            .upstreams
            .get(name)
            .ok_or(ServeError::UpstreamUnreachable)?;
        let target = named.and_then(|model| model.at(name));
        let choice = by_target(target.unwrap_or(direct), asked);
        return Ok(Line::of(choice, named.filter(|_| target.is_some())));
    }
    if let (To::Upstream(direct), None) = (&route.to, asked) {
        return Ok(Line::of(by_target(direct, None), None));
    }
    let name = asked.or(model).ok_or(ServeError::ModelMissing)?;
    let drawn = named.and_then(|model| Some((model, model.draw()?)));
    let (model, target) = drawn.ok_or_else(|| ServeError::ModelUnknown(name.to_owned()))?;
    Ok(Line {
        first: by_target(target, asked),
        model: Some(model),
        next: &model.fallback,
        asked: wish.model,
    })
}

fn by_target<'a>(target: &'a Target, asked: Option<&str>) -> Choice<'a> {
    Choice {
        upstream: &target.upstream,
        model: target.model.clone().or_else(|| asked.map(Arc::from)),
        policies: &target.policies,
    }
}
