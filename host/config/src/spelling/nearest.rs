//! What a misspelt word was probably meant to be.

use strsim::osa_distance;

/// The one of `known` that `word` is closest to, if it is close.
///
/// Upper and lower case, and `-`, `_` and spaces, are taken as the same. A word is never meant
/// to be itself.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no slip of the finger, and would take their time.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let (written, word) = (word, plain(word));
    let others = known.into_iter().filter(|known| *known != written);
    let close = others.filter_map(|known| {
        let plain = plain(known);
        let longest = plain.chars().count().max(word.chars().count());
        let steps = osa_distance(&word, &plain);
        // Three letters in five are where they should be.
        (steps * 5 <= longest * 2).then_some((steps, known))
    });
    close
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, known)| known)
}

fn plain(word: &str) -> String {
    let plain = |c: char| match c {
        '-' | ' ' => '_',
        other => other.to_ascii_lowercase(),
    };
    word.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = [
        "upstream", "model", "weight", "policies", "on_error", "key", "cache", "queue",
    ];

    #[test]
    fn a_slip_of_the_finger_leads_to_the_known_word() {
        for (word, meant) in [
            ("upsteam", "upstream"),
            ("wieght", "weight"),
            ("policy", "policies"),
            ("on-error", "on_error"),
            ("onError", "on_error"),
            ("Model", "model"),
            ("keys", "key"),
            ("que", "queue"),
        ] {
            assert_eq!(nearest(word, KNOWN), Some(meant), "{word}");
        }
    }

    #[test]
    fn another_word_leads_nowhere() {
        for word in [
            "colour",
            "",
            "x",
            "retries",
            "endpoints",
            "weight",
            "machine",
            "mode_of",
            &"model".repeat(100),
        ] {
            assert_eq!(nearest(word, KNOWN), None, "{word}");
        }
    }
}
