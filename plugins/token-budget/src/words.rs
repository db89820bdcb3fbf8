//! Times as people say them.

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
            (30 * 86_400_000, "30 days"),
        ];
        for (ms, expected) in cases {
            assert_eq!(time(ms), expected);
        }
    }
}
