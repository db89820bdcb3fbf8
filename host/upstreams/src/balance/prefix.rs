//! The beginning of a prompt, as hashes of its blocks.
//!
//! Each block's hash takes in all before it, so one hash stands for the whole text up to there,
//! and two prompts share a prefix for as long as their hashes are equal. The hash is XXH3, which
//! is specified: every gateway, of every version, finds the same. It is no secret and guards
//! nothing: who makes prompts collide gets a worse cache.

use twox_hash::XxHash3_64;

/// Of prompt text in one block: some 128 tokens.
pub const BLOCK_BYTES: usize = 512;
/// No more blocks of a prompt are told apart.
pub const BLOCKS_MAX: usize = 128;

/// The hash of a key, an address or a name.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The blocks of one prompt.
#[derive(Debug, Clone)]
pub struct Prefix {
    /// Of the first [`BLOCKS_MAX`].
    hashes: Vec<u64>,
    /// Of the whole prompt, however long.
    blocks: u32,
}

impl Prefix {
    /// Of a prompt that nothing is known of.
    pub const UNKNOWN: &'static Self = &Self {
        hashes: Vec::new(),
        blocks: 0,
    };

    /// Of a prompt in its pieces, in order, for this model. A block never reaches over the end of
    /// a piece, so a few long pieces, such as instructions and messages, are better than many.
    pub fn of<'a>(model: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::read(model, |add| pieces.into_iter().for_each(add))
    }

    /// The same, of pieces that are given one after the other.
    pub fn read(model: &str, give: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Self {
        let mut prefix = Self::UNKNOWN.clone();
        let mut before = hash(model.as_bytes());
        give(&mut |piece| {
            for block in piece
                .chunks(BLOCK_BYTES)
                .take(BLOCKS_MAX - prefix.hashes.len())
            {
                before = XxHash3_64::oneshot_with_seed(before, block);
                // 0 stands for nothing where hashes are remembered.
                prefix.hashes.push(before.max(1));
            }
            let blocks = u32::try_from(piece.len().div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
            prefix.blocks = prefix.blocks.saturating_add(blocks);
        });
        prefix
    }

    /// The first of them, each standing for all before it.
    #[must_use]
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// How many blocks the whole prompt has.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_share_hashes_for_as_long_as_they_share_text() {
        let text: Vec<u8> = (0..4 * BLOCK_BYTES).map(|i| (i % 251) as u8).collect();
        let mut other = text.clone();
        other[2 * BLOCK_BYTES + 7] ^= 1;
        let (one, two) = (Prefix::of("m", [&*text]), Prefix::of("m", [&*other]));
        let shared = one.hashes().iter().zip(two.hashes());
        let equal: Vec<bool> = shared.map(|(a, b)| a == b).collect();
        assert_eq!(equal, [true, true, false, false]);
        let longer = [&*text, b"more"].concat();
        assert_eq!(Prefix::of("m", [&*longer]).hashes()[..4], *one.hashes());
        assert_ne!(Prefix::of("n", [&*text]).hashes()[0], one.hashes()[0]);
    }

    #[test]
    fn a_long_prompt_is_told_apart_to_a_bound_and_measured_whole() {
        let text = vec![b'a'; 10 * BLOCKS_MAX * BLOCK_BYTES];
        let prefix = Prefix::of("m", [&*text, b"more"]);
        assert_eq!(prefix.hashes().len(), BLOCKS_MAX);
        assert_eq!(prefix.blocks() as usize, 10 * BLOCKS_MAX + 1);
    }

    #[test]
    fn hashes_are_the_same_in_every_version() {
        assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2);
    }
}
