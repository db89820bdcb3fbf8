//! How an upstream picks an endpoint.

use std::ops::RangeInclusive;

use super::scope::Scope;
use crate::{
    defaults,
    file::{self, BalanceOptions, BalanceWord},
    model::{BOUND_MAX, BOUND_MIN, Balance, ConsistentHash, HashOn, ModelAware, PeakEwma, Scrape},
    one_key::OneKey,
    place::{At, Place},
    spelling,
};

/// Long enough to tell prompts apart, short enough to be read at no cost.
const PROMPT_BYTES: RangeInclusive<u64> = 16..=64 << 10;
const PREFIX_CACHE_BYTES: RangeInclusive<u64> = 64 << 10..=1 << 30;

pub(super) fn balance(scope: &Scope<'_>, written: Option<&At<file::Balance>>) -> Balance {
    let Some(At { value, place }) = written else {
        return Balance::default();
    };
    match value {
        file::Balance::Word(BalanceWord::RoundRobin) => Balance::RoundRobin,
        file::Balance::Word(BalanceWord::LeastRequests) => Balance::LeastRequests,
        file::Balance::Word(BalanceWord::PeakEwma) => Balance::PeakEwma(PeakEwma::default()),
        file::Balance::Word(BalanceWord::ModelAware) => Balance::ModelAware(ModelAware::default()),
        file::Balance::Options(options) => one_way(scope, *place, options),
        file::Balance::Unknown(word) => {
            let message = format!("unknown value {}", spelling::quote(word));
            scope.refuse(*place, message, expected_word(word));
            Balance::default()
        }
    }
}

fn one_way(scope: &Scope<'_>, place: Place, written: &BalanceOptions) -> Balance {
    let ways = (
        &written.peak_ewma,
        &written.consistent_hash,
        &written.model_aware,
    );
    match ways {
        (Some(options), None, None) => Balance::PeakEwma(peak_ewma(scope, &options.value)),
        (None, Some(options), None) => consistent_hash(scope, &options.value),
        (None, None, Some(options)) => Balance::ModelAware(model_aware(scope, &options.value)),
        _ => {
            let expected = "one of `peak-ewma`, `consistent-hash` and `model-aware`";
            scope.refuse(place, "this is not one way to balance", expected);
            Balance::default()
        }
    }
}

fn expected_word(word: &str) -> &'static str {
    match word {
        "consistent-hash" => "what to hash: `{ consistent-hash: { on: { fact: caller } } }`",
        _ => {
            "`round-robin`, `least-requests`, `peak-ewma`, `model-aware`, or a map such as \
             `{ consistent-hash: { on: { fact: caller } } }`"
        }
    }
}

fn peak_ewma(scope: &Scope<'_>, written: &file::PeakEwma) -> PeakEwma {
    PeakEwma {
        decay: scope.period(written.decay.as_ref(), PeakEwma::default().decay),
    }
}

fn consistent_hash(scope: &Scope<'_>, written: &file::ConsistentHash) -> Balance {
    let OneKey(on) = &written.on;
    let on = match on {
        file::HashOn::Fact(name) => scope.read(name, spelling::name).map(HashOn::Fact),
        file::HashOn::Header(name) => scope.read(name, spelling::header_name).map(HashOn::Header),
        file::HashOn::Prompt(size) => {
            Some(HashOn::Prompt(scope.memory(Some(size), 0, PROMPT_BYTES)))
        }
    };
    let bound = scope.count(
        written.bound.as_ref(),
        defaults::BOUND,
        BOUND_MIN..=BOUND_MAX,
    );
    on.map_or_else(Balance::default, |on| {
        Balance::ConsistentHash(ConsistentHash { on, bound })
    })
}

fn model_aware(scope: &Scope<'_>, written: &file::ModelAware) -> ModelAware {
    let default = ModelAware::default();
    ModelAware {
        scrape: written
            .scrape
            .as_ref()
            .map_or(default.scrape, |written| scrape(scope, written)),
        prefix_cache_bytes: scope.memory(
            written.prefix_cache.as_ref(),
            default.prefix_cache_bytes,
            PREFIX_CACHE_BYTES,
        ),
    }
}

fn scrape(scope: &Scope<'_>, written: &file::Scrape) -> Scrape {
    let default = Scrape::default();
    let interval = scope.period(written.interval.as_ref(), default.interval);
    let stale = scope.period(written.stale.as_ref(), default.stale.max(interval * 3));
    if let Some(place) = written.stale.as_ref().map(|stale| stale.place)
        && stale <= interval
        && !scope.is_refused(written.interval.as_ref())
    {
        let message = "figures would be stale before the next are asked for";
        let expected = "a time longer than `interval`, best three of it";
        scope.refuse_beside(place, message, expected);
    }
    Scrape {
        path: written
            .path
            .as_ref()
            .and_then(|path| scope.read(path, spelling::asked_path))
            .unwrap_or(default.path),
        port: written.port.as_ref().and_then(|port| {
            let port = scope.count(Some(port), 1, 1..=u32::from(u16::MAX));
            u16::try_from(port).ok()
        }),
        interval,
        stale,
    }
}
