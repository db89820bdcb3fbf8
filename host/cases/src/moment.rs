//! Times of RFC 3339, in UTC.

/// Milliseconds since 1970 of `2026-01-31T12:00:00Z` or `2026-01-31T12:00:00.250Z`; `None`
/// for anything else.
pub(crate) fn read(text: &str) -> Option<u64> {
    let rest = text.strip_suffix('Z')?;
    let (date, time) = rest.split_once('T')?;
    let (year, month, day) = three(date, '-')?;
    let (time, millis) = match time.split_once('.') {
        Some((time, fraction)) if fraction.len() == 3 => (time, digits(fraction)?),
        Some(_) => return None,
        None => (time, 0),
    };
    let (hour, minute, second) = three(time, ':')?;
    if hour > 23 || minute > 59 || second > 59 || !(1970..=9999).contains(&year) {
        return None;
    }
    let days = days_before(year, month, day)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

fn three(text: &str, between: char) -> Option<(u64, u64, u64)> {
    let mut parts = text.split(between);
    let three = (
        digits(parts.next()?)?,
        digits(parts.next()?)?,
        digits(parts.next()?)?,
    );
    parts.next().is_none().then_some(three)
}

fn digits(text: &str) -> Option<u64> {
    let are = (2..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    are.then(|| text.parse().ok())?
}

fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(before)?;
    if !(1..=length).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    Some(years + lengths[..before].iter().sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2000-03-01T00:00:00Z"), Some(951_868_800_000));
        assert_eq!(read("2026-01-31T12:00:00.250Z"), Some(1_769_860_800_250));
    }

    #[test]
    fn what_is_no_time_of_the_calendar_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00+01:00",
            "2026-01-31T12:00:00.5Z",
            "1969-12-31T23:59:59Z",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
