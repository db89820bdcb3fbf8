//! What follows a try that failed or is late.

use super::scope::Scope;
use crate::{
    file::{self, OrOff},
    model::{Cause, Hedge, PERCENT_MAX, RETRIES_MAX, Retries, Waits},
    place::At,
    spelling::{self, quote},
};

pub(super) fn retries(
    scope: &Scope<'_>,
    written: Option<&At<OrOff<file::Retries>>>,
) -> Option<Retries> {
    let written = match &written?.value {
        OrOff::Off => return Some(Retries::off()),
        OrOff::On(written) => written,
    };
    let base = Retries::default();
    let percent = |number: &Option<_>, base| scope.count(number.as_ref(), base, 0..=PERCENT_MAX);
    let backoff = scope.period(written.backoff.as_ref(), base.backoff);
    let backoff_max = scope.period(written.max_backoff.as_ref(), base.backoff_max.max(backoff));
    if let Some(text) = written
        .max_backoff
        .as_ref()
        .filter(|_| backoff_max < backoff && !scope.is_refused(written.backoff.as_ref()))
    {
        let message = "`max_backoff` is shorter than `backoff`";
        scope.refuse_beside(text.place, message, "at least as long");
    }
    let on = match &written.on {
        None => base.on,
        Some(on) => {
            let on = causes(scope, on);
            let is_no_retry = |cause: &Cause| *cause == Cause::Unavailable;
            if on.iter().any(is_no_retry) {
                let place = written.on.as_ref().map(|on| on.place);
                let message = "where no endpoint can be asked, a retry finds none either";
                let expected = "`unavailable` in `fallback_on` alone";
                place.inspect(|place| scope.refuse(*place, message, expected));
            }
            on
        }
    };
    Some(Retries {
        count: scope.count(written.count.as_ref(), base.count, 0..=RETRIES_MAX),
        on,
        budget_percent: percent(&written.budget, base.budget_percent),
        backoff,
        backoff_max,
        same_endpoint: true,
    })
}

/// Each once, in one order.
pub(super) fn causes(scope: &Scope<'_>, written: &At<Vec<At<file::Cause>>>) -> Vec<Cause> {
    const EXPECTED: &str =
        "`connect`, `reset`, `timeout`, `unavailable`, or a status from 400 to 599";
    if written.value.is_empty() {
        scope.refuse(written.place, "this list is empty", EXPECTED);
    }
    let mut causes: Vec<Cause> = Vec::with_capacity(written.value.len());
    for At { value, place } in &written.value {
        let text = value.0.as_str();
        let cause = match text {
            "connect" => Cause::Connect,
            "reset" => Cause::Reset,
            "timeout" => Cause::Timeout,
            "unavailable" => Cause::Unavailable,
            _ => match text.parse() {
                Ok(status @ 400..=599) => Cause::Status(status),
                _ => {
                    scope.refuse(*place, format!("{} is no failure", quote(text)), EXPECTED);
                    continue;
                }
            },
        };
        if causes.contains(&cause) {
            let message = format!("{} stands in this list twice", quote(text));
            scope.refuse(*place, message, "each once");
        }
        causes.push(cause);
    }
    causes.sort_unstable();
    causes
}

pub(super) fn hedge(scope: &Scope<'_>, written: Option<&At<file::Hedge>>) -> Option<Hedge> {
    let written = &written?.value;
    let base = Hedge::default();
    let count = |number: &Option<_>, base, range| scope.count(number.as_ref(), base, range);
    Some(Hedge {
        percentile: count(&written.percentile, base.percentile, 50..=99),
        samples: count(&written.samples, base.samples, 1..=1_000),
        min_delay: scope.period(written.min_delay.as_ref(), base.min_delay),
        budget_percent: count(&written.budget, base.budget_percent, 0..=PERCENT_MAX),
    })
}

pub(super) fn waits(scope: &Scope<'_>, written: Option<&At<file::Waits>>) -> Waits {
    let Some(At { value: written, .. }) = written else {
        return Waits::default();
    };
    let period = |text: &Option<At<file::Period>>| {
        text.as_ref()
            .map(|text| scope.period(Some(text), std::time::Duration::default()))
    };
    let waits = Waits {
        connect: period(&written.connect),
        first_byte: period(&written.first_byte),
        first_token: period(&written.first_token),
        between_bytes: period(&written.between_bytes),
        total: period(&written.total),
        total_max: period(&written.max_total),
    };
    if let (Some(total), Some(most), Some(text)) =
        (waits.total, waits.total_max, &written.max_total)
        && most < total
        && !scope.is_refused(written.total.as_ref())
        && !scope.is_refused(Some(text))
    {
        let message = format!(
            "`max_total` is shorter than `total`, {}",
            spelling::show_period(total)
        );
        scope.refuse_beside(text.place, message, "at least as long");
    }
    waits
}
