//! Which arm of a split a caller has: weighted rendezvous hashing.
//!
//! Each arm draws a number from the caller's key and its own name alone, and the arm with
//! the lowest `-ln(number) / weight` has the caller. So an arm has its share of all callers,
//! and a caller moves from one arm to another only if the other's weight has grown against
//! its own. Rendezvous hashing: Thaler and Ravishankar, 1998. With logarithms for weights:
//! Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005.
//!
//! All of it is arithmetic that IEEE 754 leaves no choice in, so that it is the same on
//! every machine and in every build.

use sha2::{Digest, Sha256};

/// The place of a key in a split: the first eight bytes of the SHA-256 of the seed, a NUL
/// and the key.
pub(crate) fn place(seed: &str, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed);
    hash.update([0]);
    hash.update(key);
    first(&hash.finalize().into())
}

/// What an arm adds of its own: the first eight bytes of the SHA-256 of its name.
pub(crate) fn salt(arm: &str) -> u64 {
    first(&Sha256::digest(arm).into())
}

/// The arm that has this place, of those with their salts and weights; `None`: none of them
/// has any weight.
pub(crate) fn draw(place: u64, arms: impl Iterator<Item = (u64, f64)>) -> Option<usize> {
    let scored = arms
        .enumerate()
        .filter(|(_, (_, weight))| *weight > 0.0)
        .map(|(nth, (salt, weight))| (nth, -ln(number(place ^ salt)) / weight));
    let lowest = scored.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    Some(lowest.0)
}

fn first(digest: &[u8; 32]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Between 0 and 1, and neither: the finaliser of `SplitMix64` (Steele, Lea and Flood, 2014),
/// of which 52 bits count.
fn number(bits: u64) -> f64 {
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ (mixed >> 31);
    ((mixed >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// The natural logarithm of a normal number, to the last bit or two. The library's own may
/// differ from machine to machine.
fn ln(number: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const ONE: u64 = 1023 << 52;
    const TERMS: i32 = 12;
    let bits = number.to_bits();
    let mut power = ((bits >> 52) & 0x7ff) as f64 - 1023.0;
    let mut rest = f64::from_bits(bits & FRACTION | ONE);
    if rest > std::f64::consts::SQRT_2 {
        rest /= 2.0;
        power += 1.0;
    }
    let ratio = (rest - 1.0) / (rest + 1.0);
    let square = ratio * ratio;
    // 1 + s/3 + s²/5 + …, from its last term.
    let series = (0..TERMS).rev().fold(0.0, |sum, term| {
        sum * square + 1.0 / f64::from(2 * term + 1)
    });
    power * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_the_librarys_to_the_last_bits() {
        for nth in 0..100_000_u64 {
            let number = number(nth);
            assert!(number > 0.0 && number < 1.0);
            let (ours, theirs) = (ln(number), number.ln());
            let off = ((ours - theirs) / theirs).abs();
            assert!(off < 4.0 * f64::EPSILON, "{number}: {ours} {theirs}");
        }
        for number in [f64::EPSILON / 2.0, 0.5, 1.0 - f64::EPSILON, 0.999_999] {
            let off = ((ln(number) - number.ln()) / number.ln()).abs();
            assert!(off < 4.0 * f64::EPSILON, "{number}");
        }
    }

    #[test]
    fn an_arm_without_weight_has_nobody() {
        for nth in 0..1000 {
            let place = place("x", &nth.to_string());
            let arms = [(salt("a"), 0.0), (salt("b"), 1e-9), (salt("c"), 0.0)];
            assert_eq!(draw(place, arms.into_iter()), Some(1));
        }
        assert_eq!(draw(7, [(1, 0.0), (2, 0.0)].into_iter()), None);
        assert_eq!(draw(7, std::iter::empty()), None);
    }
}
