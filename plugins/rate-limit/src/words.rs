//! Times as people say them, and as the headers of OpenAI's clients have them.

const UNITS: [(u64, &str); 5] = [
    (86_400_000, "day"),
    (3_600_000, "hour"),
    (60_000, "minute"),
    (1000, "second"),
    (1, "millisecond"),
];

/// Rounded up, in the largest unit that there are two of, or that it is a multiple of.
pub(crate) fn time(ms: u64) -> String {
    let ms = if ms > 1000 {
        ms.div_ceil(1000).saturating_mul(1000)
    } else {
        ms.max(1)
    };
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| ms / unit >= 2 || (ms >= *unit && ms % unit == 0))
        .unwrap_or((1, "millisecond"));
    let count = ms.div_ceil(unit);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

/// `120ms`, `1s`, `1.5s`, `6m0s`, `24h0m0s`: the form of Go's durations.
pub(crate) fn duration(ms: u64) -> String {
    if (1..1000).contains(&ms) {
        return format!("{ms}ms");
    }
    let (seconds, fraction) = (ms / 1000, ms % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match fraction {
        0 => String::new(),
        fraction => format!(".{fraction:03}").trim_end_matches('0').to_owned(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, minutes) => format!("{minutes}m{seconds}{fraction}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// So many of these.
pub(crate) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_natural_unit() {
        let cases = [
            (0, "1 millisecond"),
            (999, "999 milliseconds"),
            (1000, "1 second"),
            (1500, "2 seconds"),
            (61_000, "61 seconds"),
            (3_600_000, "1 hour"),
            (5_400_000, "90 minutes"),
            (7_200_001, "3 hours"),
            (u64::MAX, "213503982335 days"),
        ];
        for (ms, expected) in cases {
            assert_eq!(time(ms), expected);
        }
    }

    #[test]
    fn a_header_has_the_form_that_clients_read() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (120, "120ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (1050, "1.05s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
            (u64::MAX, "5124095576030h25m51.615s"),
        ];
        for (ms, expected) in cases {
            assert_eq!(duration(ms), expected);
        }
    }
}
