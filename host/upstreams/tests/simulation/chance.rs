//! Numbers drawn from a seed: SplitMix64.

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.bits() % (most - least + 1)
    }

    /// How long until the next of events that come at this rate a second, in microseconds.
    pub(crate) fn wait(&mut self, rate: f64) -> u64 {
        (-(1.0 - self.unit()).ln() / rate * 1e6) as u64
    }

    /// An index, the nth with a weight of 1/n.
    pub(crate) fn zipf(&mut self, count: usize) -> usize {
        let total: f64 = (1..=count).map(|n| 1.0 / n as f64).sum();
        let mut left = self.unit() * total;
        for n in 1..=count {
            left -= 1.0 / n as f64;
            if left <= 0.0 {
                return n - 1;
            }
        }
        count - 1
    }

    pub(crate) fn text(&mut self, tokens: u64) -> Vec<u8> {
        let words = (0..tokens * super::traffic::TOKEN_BYTES / 8 + 1).map(|_| self.bits());
        let mut text: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        text.truncate((tokens * super::traffic::TOKEN_BYTES) as usize);
        text
    }
}
