//! What a misspelt word was probably meant to be.

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
        let most = plain.len().max(word.len()).div_ceil(3);
        let steps = steps(&word, &plain);
        (steps <= most && steps < plain.len()).then_some((steps, known))
    });
    close
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, known)| known)
}

fn plain(word: &str) -> Vec<char> {
    let plain = |c: char| match c {
        '-' | ' ' => '_',
        other => other.to_ascii_lowercase(),
    };
    word.chars().map(plain).collect()
}

/// How many letters have to be put in, taken away, changed, or swapped with the next.
fn steps(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = Vec::with_capacity(to.len() + 1);
        row.push(i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = ["upstream", "model", "weight", "policies", "on_error", "key"];

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
            &"model".repeat(100),
        ] {
            assert_eq!(nearest(word, KNOWN), None, "{word}");
        }
    }
}
