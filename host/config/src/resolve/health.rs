//! When an endpoint or an upstream is left alone.

use std::{ops::RangeInclusive, time::Duration};

use super::scope::Scope;
use crate::{
    defaults,
    file::{self, Period, PeriodOrOff, Switch},
    model::{
        Active, Circuit, Dialect, Health, IN_A_ROW_MAX, MIN_REQUESTS_MAX, PERCENT_MAX, PROBES_MAX,
        Passive,
    },
    place::{At, Place},
    spelling,
};

const REQUESTS: RangeInclusive<u32> = 1..=MIN_REQUESTS_MAX;
const PERCENT: RangeInclusive<u32> = 0..=PERCENT_MAX;
const PROBES: RangeInclusive<u32> = 1..=PROBES_MAX;
const IN_A_ROW: RangeInclusive<u32> = 1..=IN_A_ROW_MAX;
/// A window is counted in slots, so it cannot be shorter.
const WINDOW: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3600);

pub(super) fn health(scope: &Scope<'_>, written: file::Health, dialect: Dialect) -> Health {
    let base = Health::default();
    Health {
        passive: match written.passive {
            Some(Switch::Off) => None,
            Some(Switch::On(section)) => Some(passive(scope, &section)),
            None => base.passive,
        },
        active: match written.active {
            Some(At {
                value: Switch::On(section),
                place,
            }) => active(scope, place, &section, dialect),
            _ => None,
        },
        breaker: match written.breaker {
            None | Some(Switch::Off) => None,
            Some(Switch::On(section)) => Some(breaker(scope, section)),
        },
        max_out_percent: scope.count(written.max_out.as_ref(), base.max_out_percent, PERCENT),
        slow_start: period_or_off(scope, written.slow_start, base.slow_start),
        busy_max: period_or_off(scope, written.busy_max, base.busy_max),
    }
}

fn period_or_off(scope: &Scope<'_>, written: Option<At<PeriodOrOff>>, base: Duration) -> Duration {
    match written {
        Some(At { value, .. }) if value.0 == "off" => Duration::ZERO,
        Some(At { value, place }) => {
            let value = Period(value.0);
            scope.period(Some(&At { value, place }), base)
        }
        None => base,
    }
}

fn passive(scope: &Scope<'_>, section: &file::Passive) -> Passive {
    let base = Passive::default();
    let row = section.consecutive_errors.as_ref();
    Passive {
        consecutive_errors: scope.count(row, base.consecutive_errors, 0..=IN_A_ROW_MAX),
        circuit: Circuit {
            error_percent: scope.count(
                section.error_percent.as_ref(),
                base.circuit.error_percent,
                PERCENT,
            ),
            min_requests: scope.count(
                section.min_requests.as_ref(),
                base.circuit.min_requests,
                REQUESTS,
            ),
            window: scope.period_within(section.window.as_ref(), base.circuit.window, WINDOW),
            ..pauses(
                scope,
                (section.pause.as_ref(), section.pause_max.as_ref()),
                section.probes.as_ref(),
                &base.circuit,
            )
        },
    }
}

fn breaker(scope: &Scope<'_>, section: file::Breaker) -> Circuit {
    let base = Circuit::breaker();
    Circuit {
        error_percent: scope.count(
            section.error_percent.as_ref(),
            base.error_percent,
            1..=PERCENT_MAX,
        ),
        min_requests: scope.count(section.min_requests.as_ref(), base.min_requests, REQUESTS),
        window: scope.period_within(section.window.as_ref(), base.window, WINDOW),
        ..pauses(
            scope,
            (section.pause.as_ref(), section.pause_max.as_ref()),
            section.probes.as_ref(),
            &base,
        )
    }
}

fn pauses(
    scope: &Scope<'_>,
    (first, most): (Option<&At<Period>>, Option<&At<Period>>),
    probes: Option<&At<u64>>,
    base: &Circuit,
) -> Circuit {
    let pause = scope.period(first, base.pause);
    // One written longer than the default bound moves that along.
    let pause_max = scope.period(most, base.pause_max.max(pause));
    let is_less = pause_max < pause && !scope.is_refused(first);
    if let Some(most) = most.filter(|_| is_less) {
        let message = "the longest pause is shorter than the first";
        let expected = format!("at least {}", spelling::show_period(pause));
        scope.refuse_beside(most.place, message, expected);
    }
    Circuit {
        pause,
        pause_max,
        probes: scope.count(probes, base.probes, PROBES),
        ..base.clone()
    }
}

fn active(
    scope: &Scope<'_>,
    place: Place,
    section: &file::Active,
    dialect: Dialect,
) -> Option<Active> {
    let path = match (&section.path, defaults::check_path(dialect)) {
        (Some(path), _) => scope.read(path, spelling::asked_path)?,
        (None, Some(path)) => path.to_owned(),
        (None, None) => {
            let message = "nothing is known of what this dialect's endpoints answer to";
            scope.refuse_beside(place, message, "`path`, such as `path: /healthz`");
            return None;
        }
    };
    let interval = scope.period_within(
        section.interval.as_ref(),
        defaults::CHECK_INTERVAL,
        INTERVAL,
    );
    Some(Active {
        path,
        interval,
        jitter_percent: scope.count(section.jitter.as_ref(), defaults::CHECK_JITTER, PERCENT),
        timeout: scope.period(section.timeout.as_ref(), defaults::CHECK_TIMEOUT),
        down_after: scope.count(section.down_after.as_ref(), defaults::DOWN_AFTER, IN_A_ROW),
        up_after: scope.count(section.up_after.as_ref(), defaults::UP_AFTER, IN_A_ROW),
    })
}
