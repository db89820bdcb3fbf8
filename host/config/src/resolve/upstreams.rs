//! Upstreams, and the models that they serve.

use super::{attempts, balance, endpoints, health, overload, scope::Scope};
use crate::{
    defaults, file,
    model::{
        Cause, Dialect, FALLBACK_MAX, FALLBACK_ON, HeaderValue, Model, TARGET_WEIGHT_MAX,
        TARGETS_MAX, Target, Upstream, UpstreamHeader,
    },
    place::{At, Named},
    spelling,
};

const MAX_HEADERS: usize = 64;

pub(super) fn upstream(scope: &Scope<'_>, written: file::Upstream) -> Upstream {
    let dialect = written.dialect.map_or_else(Dialect::default, Into::into);
    Upstream {
        dialect,
        endpoints: endpoints::endpoints(scope, written.endpoints),
        health: health::health(scope, written.health.unwrap_or_default(), dialect),
        concurrency: written
            .concurrency
            .map(|written| overload::concurrency(scope, &written)),
        balance: balance::balance(scope, written.balance.as_ref()),
        headers: headers(scope, &written.headers),
        policies: scope.policies(&written.policies),
        ca: written.ca.map(|path| scope.path(&path)),
        stream_end: written
            .stream_end
            .map_or_else(|| defaults::stream_end(dialect), Into::into),
    }
}

fn headers(scope: &Scope<'_>, written: &Named<At<String>>) -> Vec<UpstreamHeader> {
    let mut headers: Vec<UpstreamHeader> = Vec::new();
    if let Some((name, _)) = written.0.get(MAX_HEADERS) {
        scope.refuse(
            name.place,
            "too many headers",
            format!("at most {MAX_HEADERS}"),
        );
        return headers;
    }
    for (name, value) in &written.0 {
        let read = scope.read(name, spelling::sent_header_name);
        let value_read = scope.read(value, spelling::header_value);
        if let Some(HeaderValue::Secret { name, .. }) = &value_read {
            scope.secret(&At {
                value: name.clone(),
                place: value.place,
            });
        }
        let (Some(header), Some(value)) = (read, value_read) else {
            continue;
        };
        if headers.iter().any(|before| before.name == header) {
            scope.refuse(
                name.place,
                format!("the header `{header}` is set twice"),
                "each header once",
            );
        }
        headers.push(UpstreamHeader {
            name: header,
            value,
        });
    }
    headers
}

pub(super) fn model(scope: &Scope<'_>, written: file::Model) -> Model {
    let (fallback, fallback_on) = fallback(scope, &written);
    let retries = attempts::retries(scope, written.retries.as_ref());
    let hedge = attempts::hedge(scope, written.hedge.as_ref());
    let timeouts = attempts::waits(scope, written.timeouts.as_ref());
    let At {
        value: written,
        place,
    } = written.targets;
    if written.is_empty() || written.len() > TARGETS_MAX {
        let message = format!("the model has {} targets", written.len());
        scope.refuse(place, message, format!("1 to {TARGETS_MAX}"));
    }
    let targets: Vec<Target> = written
        .iter()
        .map(|written| target(scope, written))
        .collect();
    if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
        scope.refuse(
            place,
            "every target has weight 0, so none would ever serve",
            "a weight above 0 for one of them",
        );
    }
    Model {
        targets,
        fallback,
        fallback_on,
        retries,
        hedge,
        timeouts,
    }
}

/// Who is in line, and after which failures.
fn fallback(scope: &Scope<'_>, written: &file::Model) -> (Vec<Target>, Vec<Cause>) {
    let Some(line) = &written.fallback else {
        if let Some(on) = &written.fallback_on {
            let message = "`fallback_on` without `fallback`: nobody is in line";
            scope.refuse_beside(on.place, message, "`fallback`, a list of targets");
        }
        return (Vec::new(), Vec::new());
    };
    if line.value.is_empty() || line.value.len() > FALLBACK_MAX {
        let message = format!("{} targets are in line", line.value.len());
        scope.refuse(line.place, message, format!("1 to {FALLBACK_MAX}"));
    }
    let targets = line.value.iter().map(|written| Target {
        upstream: scope.upstream(&written.upstream),
        model: written
            .model
            .as_ref()
            .and_then(|model| scope.read(model, spelling::model_name)),
        weight: 0,
        policies: scope.policies(&written.policies),
    });
    let on = written.fallback_on.as_ref();
    let on = on.map_or_else(|| FALLBACK_ON.to_vec(), |on| attempts::causes(scope, on));
    (targets.collect(), on)
}

fn target(scope: &Scope<'_>, written: &file::Target) -> Target {
    Target {
        upstream: scope.upstream(&written.upstream),
        model: written
            .model
            .as_ref()
            .and_then(|model| scope.read(model, spelling::model_name)),
        weight: scope.count(
            written.weight.as_ref(),
            defaults::WEIGHT,
            0..=TARGET_WEIGHT_MAX,
        ),
        policies: scope.policies(&written.policies),
    }
}
