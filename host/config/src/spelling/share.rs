//! Shares of requests.

use super::{Misspelt, misspelt, quote};
use crate::model::Share;

/// `10`, `0.5`, `0.01`: percent, to the hundredth.
pub(crate) fn share(text: &str) -> Result<Share, Misspelt> {
    const EXPECTED: &str = "a number of percent from 0.01 to 100, such as `10` or `0.5`";
    match hundredths(text).and_then(Share::new) {
        Some(share) => Ok(share),
        None => misspelt(format!("{} is no percentage", quote(text)), EXPECTED),
    }
}

fn hundredths(text: &str) -> Option<u32> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_to_the_hundredth_of_a_percent() {
        for (text, hundredths) in [
            ("100", 10_000),
            ("10", 1_000),
            ("0.5", 50),
            ("0.05", 5),
            ("12.34", 1_234),
        ] {
            assert_eq!(share(text), Ok(Share::new(hundredths).unwrap()), "{text}");
        }
    }

    #[test]
    fn nothing_and_more_than_everything_are_no_shares() {
        for text in [
            "",
            ".",
            "0",
            "0.00",
            "100.01",
            "101",
            "10%",
            "10 ",
            "-1",
            "+1",
            "1.",
            ".5",
            "0.001",
            "1e2",
            "42949673",
            "99999999999",
        ] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
