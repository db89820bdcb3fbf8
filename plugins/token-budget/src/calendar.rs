//! Days and months of UTC.

const DAY_MS: u64 = 86_400_000;

/// A day or a month, by its name, and the time to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// `2026-11-26`, `2026-11`.
    pub(crate) name: String,
    pub(crate) left_ms: u64,
}

/// The day that the time is in; times are in milliseconds since 1970.
pub(crate) fn day(now_ms: u64) -> Span {
    let (year, month, day) = date(now_ms / DAY_MS);
    Span {
        name: format!("{year:04}-{month:02}-{day:02}"),
        left_ms: DAY_MS - now_ms % DAY_MS,
    }
}

/// The month that the time is in.
pub(crate) fn month(now_ms: u64) -> Span {
    let (year, month, day) = date(now_ms / DAY_MS);
    let days_left = length(year, month) - day;
    Span {
        name: format!("{year:04}-{month:02}"),
        left_ms: days_left * DAY_MS + DAY_MS - now_ms % DAY_MS,
    }
}

/// Year, month and day of the month of a day since 1970, in the Gregorian calendar.
///
/// Years are taken to begin with March, so that the odd day is the last of one
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn length(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_comes_after_the_one_before() {
        let (mut year, mut month, mut dom) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(date(days), (year, month, dom));
            dom += 1;
            if dom > length(year, month) {
                (dom, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_day_and_a_month_end_at_midnight_of_utc() {
        let noon = 1_767_225_600_000 + DAY_MS / 2;
        let span = |name: &str, left_ms| Span {
            name: name.to_owned(),
            left_ms,
        };
        assert_eq!(day(noon), span("2026-01-01", DAY_MS / 2));
        assert_eq!(month(noon), span("2026-01", DAY_MS / 2 + 30 * DAY_MS));
        let last = 1_767_225_600_000 + 31 * DAY_MS - 1;
        assert_eq!(day(last), span("2026-01-31", 1));
        assert_eq!(month(last), span("2026-01", 1));
        assert_eq!(month(last + 1), span("2026-02", 28 * DAY_MS));
        assert_eq!(day(1_709_164_800_000), span("2024-02-29", DAY_MS));
        assert_eq!(month(1_709_164_800_000), span("2024-02", DAY_MS));
    }
}
