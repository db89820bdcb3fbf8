//! How much is taken on at once, and what becomes of the rest.

use super::scope::Scope;
use crate::{
    file,
    model::{
        Bounded, CONCURRENCY_MAX, Concurrency, EXCHANGES_MAX, Overload, PRIORITIES_MAX,
        PRIORITY_WEIGHT_MAX, Priorities, QUEUE_MAX, Queue,
    },
    place::{At, Named},
    spelling::{self, quote},
};

pub(super) fn overload(scope: &Scope<'_>, written: &file::Overload) -> Overload {
    let base = Overload::default();
    let queue = queue(scope, written.queue.as_ref());
    let limit = limit(scope, written.concurrency.as_ref());
    if let (None, Some(queue)) = (limit, &written.queue) {
        let message = "nobody would ever wait in this queue";
        let expected = "`concurrency`, the number of requests at once, beside it";
        scope.refuse_beside(queue.place, message, expected);
    }
    Overload {
        exchanges: size(scope.count(
            written.exchanges.as_ref(),
            u32::try_from(base.exchanges).unwrap_or(EXCHANGES_MAX),
            1..=EXCHANGES_MAX,
        )),
        concurrency: limit.map(|limit| Bounded { limit, queue }),
        priorities: written
            .priorities
            .as_ref()
            .map_or(base.priorities, |priorities| {
                self::priorities(scope, &priorities.value)
            }),
    }
}

pub(super) fn concurrency(scope: &Scope<'_>, written: &At<file::Concurrency>) -> Concurrency {
    let At {
        value: written,
        place,
    } = written;
    let (total, endpoint) = (
        limit(scope, written.total.as_ref()),
        limit(scope, written.endpoint.as_ref()),
    );
    if total.is_none() && endpoint.is_none() {
        let expected = "`endpoint`, the number of requests at each, or `total`, or both";
        scope.refuse(*place, "this bounds nothing", expected);
    }
    Concurrency {
        total,
        endpoint,
        queue: queue(scope, written.queue.as_ref()),
    }
}

fn limit(scope: &Scope<'_>, written: Option<&At<u64>>) -> Option<usize> {
    written.map(|number| size(scope.count(Some(number), 1, 1..=CONCURRENCY_MAX)))
}

fn queue(scope: &Scope<'_>, written: Option<&At<file::Queue>>) -> Queue {
    let base = Queue::default();
    let Some(At { value: written, .. }) = written else {
        return base;
    };
    let length = u32::try_from(base.length).unwrap_or(QUEUE_MAX);
    Queue {
        length: size(scope.count(written.length.as_ref(), length, 0..=QUEUE_MAX)),
        timeout: scope.period(written.timeout.as_ref(), base.timeout),
    }
}

fn priorities(scope: &Scope<'_>, written: &file::Priorities) -> Priorities {
    let base = Priorities::default();
    let weights = match &written.weights {
        Some(weights) => self::weights(scope, weights),
        None => base.weights,
    };
    let default = match (&written.default, &written.weights) {
        (Some(name), _) => {
            let found = weights.iter().position(|(known, _)| *known == name.value);
            if found.is_none() && !weights.is_empty() {
                let message = format!("there is no priority {}", quote(&name.value));
                let names: Vec<_> = weights.iter().map(|(name, _)| quote(name)).collect();
                scope.refuse_beside(name.place, message, format!("one of {}", names.join(", ")));
            }
            found.unwrap_or(0)
        }
        (None, None) => base.default,
        (None, Some(weights)) => {
            let message = "`weights` does not say who has the priority of everybody else";
            scope.refuse_beside(weights.place, message, "`default: NAME` beside it");
            0
        }
    };
    let fact = written.fact.as_ref();
    Priorities {
        fact: fact
            .and_then(|fact| scope.read(fact, spelling::name))
            .unwrap_or(base.fact),
        weights,
        default,
    }
}

fn weights(scope: &Scope<'_>, written: &At<Named<At<u64>>>) -> Vec<(String, u32)> {
    let At {
        value: Named(written),
        place,
    } = written;
    if !(1..=PRIORITIES_MAX).contains(&written.len()) {
        let message = format!("there are {} priorities", written.len());
        scope.refuse(*place, message, format!("1 to {PRIORITIES_MAX}"));
    }
    let weights = written.iter().filter_map(|(name, weight)| {
        let weight = scope.count(Some(weight), 1, 1..=PRIORITY_WEIGHT_MAX);
        Some((scope.read(name, spelling::name)?, weight))
    });
    weights.collect()
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
