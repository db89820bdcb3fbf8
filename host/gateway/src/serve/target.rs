//! Picks the upstream of one try, and by which name it is to know the model.

use std::sync::Arc;

use tollgate_sandbox::{Policy, contract::Destination};

use super::{
    chance,
    errors::ServeError,
    generation::Generation,
    route::{Route, To},
    upstream::Upstream,
};

/// The targets that serve one model.
pub(super) struct Model {
    targets: Vec<Target>,
    weight: u32,
}

/// One of them.
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) model: Option<Arc<str>>,
    pub(super) weight: u32,
    /// Asked on every try of this target.
    pub(super) policies: Vec<Arc<Policy>>,
}

impl Model {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let weight = targets
            .iter()
            .map(|target| target.weight)
            .fold(0, u32::saturating_add);
        Self { targets, weight }
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.targets.iter().flat_map(|target| &target.policies)
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
            .find(|target| &*target.upstream.name == upstream)
    }
}

/// Where one try goes.
pub(super) struct Choice<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    /// What the body has to call the model; `None`: what it says.
    pub(super) model: Option<Arc<str>>,
    pub(super) policies: &'a [Arc<Policy>],
}

/// Follows a policy's wish before the route, and the route before the dice.
///
/// # Errors
/// The route goes by model, and there is none, or none of that name.
pub(super) fn choose<'a>(
    generation: &'a Generation,
    route: &'a Route,
    wish: Destination,
    model: Option<&str>,
) -> Result<Choice<'a>, ServeError> {
    let asked = wish.model.as_deref();
    let named = asked
        .or(model)
        .and_then(|model| generation.models.get(model));
    if let Some(name) = &wish.upstream {
        let upstream = generation
            .upstreams
            .get(name)
            .ok_or(ServeError::UpstreamUnreachable)?;
        return Ok(match named.and_then(|model| model.at(name)) {
            Some(target) => by_target(target, asked),
            None => Choice {
                upstream,
                model: asked.map(Arc::from),
                policies: &[],
            },
        });
    }
    if let (To::Upstream(upstream), None) = (&route.to, asked) {
        return Ok(Choice {
            upstream,
            model: None,
            policies: &[],
        });
    }
    let name = asked.or(model).ok_or(ServeError::ModelMissing)?;
    let target = named
        .and_then(Model::draw)
        .ok_or_else(|| ServeError::ModelUnknown(name.to_owned()))?;
    Ok(by_target(target, asked))
}

fn by_target<'a>(target: &'a Target, asked: Option<&str>) -> Choice<'a> {
    Choice {
        upstream: &target.upstream,
        model: target.model.clone().or_else(|| asked.map(Arc::from)),
        policies: &target.policies,
    }
}
