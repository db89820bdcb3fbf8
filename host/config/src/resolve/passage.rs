//! What a route lets pass besides requests and their answers: changes of protocol, and
//! copies for a mirror.

use super::scope::{Scope, one_of};
use crate::{
    defaults, file,
    model::{Mirror, Share},
    place::At,
    spelling::{self, quote},
};

pub(super) fn upgrades(scope: &Scope<'_>, written: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    let Some(written) = written else {
        return Vec::new();
    };
    scope.distinct(&written.value, "protocol");
    let protocols = written.value.iter();
    protocols
        .filter_map(|protocol| scope.read(protocol, spelling::protocol))
        .collect()
}

pub(super) fn mirror(scope: &Scope<'_>, written: &At<file::Mirror>) -> Option<Mirror> {
    let At {
        value: mirror,
        place,
    } = written;
    if mirror.model.is_none() && mirror.upstream.is_none() {
        scope.refuse(
            *place,
            "the mirror does not say where copies go",
            "`model`, a name of `models`, or `upstream`, a name of `upstreams`",
        );
    }
    has_target(scope, mirror);
    Some(Mirror {
        model: mirror.model.as_ref().map(|name| scope.model(name)),
        upstream: mirror.upstream.as_ref().map(|name| scope.upstream(name)),
        share: match &mirror.percent {
            None => Share::ALL,
            Some(percent) => {
                let text = At {
                    value: percent.value.0.clone(),
                    place: percent.place,
                };
                scope.read(&text, spelling::share)?
            }
        },
        timeout: scope.period(mirror.timeout.as_ref(), defaults::MIRROR_TIMEOUT),
    })
}

/// A model's target at an upstream has to be one.
fn has_target(scope: &Scope<'_>, mirror: &file::Mirror) {
    let (Some(model), Some(upstream)) = (&mirror.model, &mirror.upstream) else {
        return;
    };
    let Some(served_by) = scope.names.served_by.get(&model.value) else {
        return;
    };
    let is_known = scope.names.upstreams.names.contains(&upstream.value);
    if is_known && !served_by.is_empty() && !served_by.contains(&upstream.value) {
        let (model, name) = (quote(&model.value), quote(&upstream.value));
        let message = format!("the model {model} has no target at the upstream {name}");
        scope.refuse(upstream.place, message, one_of(served_by));
    }
}
