//! What one bucket remembers: what was charged, and how that is forgotten.
//!
//! The token bucket is exact: its level is kept in units of amount × milliseconds.
//! The sliding window counts charges in slots of 1/16 of the period and drops whole
//! slots, never early: a charge counts for at least the period, at most 17/16 of it.
//! (Counters of a fraction of the window: "An alternative approach to rate limiting",
//! Figma, 2017; here the oldest fraction counts in full, so no window is exceeded.)

use super::{Algorithm, Exceeded, Limit};

/// A slot is this part of the period.
const PARTS: u64 = 16;
/// A window reaches into so many slots at most.
const SLOTS: usize = PARTS as usize + 1;
/// The longest pause advised where only a settlement makes room, in milliseconds.
const SETTLE_GUESS_MS: u64 = 1000;

/// One bucket: its limit as last seen, what is charged and what is held.
pub(super) struct Bucket {
    limit: Limit,
    held: u64,
    /// How many reservations hold it; each may still charge, even one of 0.
    holders: usize,
    charged: Charged,
}

enum Charged {
    Tokens(Tokens),
    Window(Box<Window>),
}

impl Bucket {
    pub(super) fn new(limit: Limit, now_us: u64) -> Self {
        let charged = match limit.algorithm {
            Algorithm::TokenBucket => Charged::Tokens(Tokens {
                level: 0,
                at_ms: now_us / 1000,
            }),
            Algorithm::SlidingWindow => Charged::Window(Box::new(Window::new(limit.period_ms))),
        };
        Self {
            limit,
            held: 0,
            holders: 0,
            charged,
        }
    }

    pub(super) fn is_for(&self, limit: Limit) -> bool {
        self.limit.algorithm == limit.algorithm && self.limit.period_ms == limit.period_ms
    }

    /// Brings it to this moment, then to this amount: what was charged stays, and
    /// from here on is forgotten at the new amount's pace.
    // Not inlined, as `Shard::named`.
    #[inline(never)]
    pub(super) fn bring_to(&mut self, amount: u64, now_us: u64) {
        match &mut self.charged {
            Charged::Tokens(tokens) => tokens.drain(self.limit.amount, now_us),
            Charged::Window(window) => window.advance(now_us),
        }
        self.limit.amount = amount;
    }

    /// Brings it to this moment; the amount stays.
    pub(super) fn bring_to_now(&mut self, now_us: u64) {
        self.bring_to(self.limit.amount, now_us);
    }

    pub(super) fn remaining(&self) -> u64 {
        let gone = self.gone(0);
        u64::try_from(u128::from(self.limit.amount).saturating_sub(gone)).unwrap_or(0)
    }

    /// Nothing would be lost with it.
    pub(super) fn is_idle(&self) -> bool {
        self.holders == 0 && self.gone(0) == 0
    }

    pub(super) fn take(&mut self, amount: u64, now_us: u64) -> Result<u64, Exceeded> {
        self.admit(amount, now_us)?;
        self.charge(amount);
        Ok(self.remaining())
    }

    pub(super) fn hold(&mut self, amount: u64, now_us: u64) -> Result<(), Exceeded> {
        self.admit(amount, now_us)?;
        self.held += amount;
        self.holders += 1;
        Ok(())
    }

    pub(super) fn settle(&mut self, held: u64, used: u64) -> u64 {
        self.held = self.held.saturating_sub(held);
        self.holders = self.holders.saturating_sub(1);
        self.charge(used);
        self.remaining()
    }

    fn charge(&mut self, amount: u64) {
        match &mut self.charged {
            Charged::Tokens(tokens) => {
                let charge = u128::from(amount) * u128::from(self.limit.period_ms);
                tokens.level = tokens.level.saturating_add(charge);
            }
            Charged::Window(window) => window.charge(amount),
        }
    }

    /// Charged and held, and this much more.
    fn gone(&self, more: u64) -> u128 {
        let charged = match &self.charged {
            // Most are short, and the division of long numbers is not.
            Charged::Tokens(tokens) => match u64::try_from(tokens.level) {
                Ok(level) => level.div_ceil(self.limit.period_ms).into(),
                Err(_) => tokens.level.div_ceil(self.limit.period_ms.into()),
            },
            Charged::Window(window) => window.total(),
        };
        charged.saturating_add(u128::from(self.held) + u128::from(more))
    }

    /// Whether this much more fits. `held` so never exceeds an amount, and fits `u64`.
    fn admit(&self, amount: u64, now_us: u64) -> Result<(), Exceeded> {
        if self.gone(amount) <= u128::from(self.limit.amount) {
            return Ok(());
        }
        Err(Exceeded {
            retry_after_ms: self.retry_after_ms(amount, now_us),
            remaining: self.remaining(),
        })
    }

    fn retry_after_ms(&self, amount: u64, now_us: u64) -> u64 {
        let Some(without_held) = self.limit.amount.checked_sub(amount) else {
            return u64::MAX;
        };
        let Some(room) = without_held.checked_sub(self.held) else {
            return self.limit.period_ms.min(SETTLE_GUESS_MS);
        };
        match &self.charged {
            Charged::Tokens(tokens) => {
                let room = u128::from(room) * u128::from(self.limit.period_ms);
                let wait = tokens
                    .level
                    .saturating_sub(room)
                    .div_ceil(self.limit.amount.into());
                u64::try_from(wait).unwrap_or(u64::MAX)
            }
            Charged::Window(window) => window.until_at_most(room, now_us).div_ceil(1000),
        }
    }
}

/// The level falls by `amount` each millisecond; one charged unit is `period_ms` high.
struct Tokens {
    level: u128,
    at_ms: u64,
}

impl Tokens {
    fn drain(&mut self, amount: u64, now_us: u64) {
        let now_ms = now_us / 1000;
        let elapsed = now_ms.saturating_sub(self.at_ms);
        self.level = self
            .level
            .saturating_sub(u128::from(amount) * u128::from(elapsed));
        self.at_ms = self.at_ms.max(now_ms);
    }
}

struct Window {
    slot_us: u64,
    /// The slot that time is in, counted from the clock's start.
    newest: u64,
    /// Slot `n` is at `n % SLOTS`.
    slots: [u64; SLOTS],
}

impl Window {
    fn new(period_ms: u64) -> Self {
        let slot_us = (u128::from(period_ms) * 1000).div_ceil(u128::from(PARTS));
        let slot_us = u64::try_from(slot_us).unwrap_or(u64::MAX);
        Self {
            slot_us,
            newest: 0,
            slots: [0; SLOTS],
        }
    }

    fn advance(&mut self, now_us: u64) {
        let now = now_us / self.slot_us;
        if now.saturating_sub(self.newest) >= SLOTS as u64 {
            self.slots = [0; SLOTS];
            self.newest = now;
        }
        while self.newest < now {
            self.newest += 1;
            *self.slot(self.newest) = 0;
        }
    }

    fn slot(&mut self, number: u64) -> &mut u64 {
        &mut self.slots[place(number)]
    }

    fn charge(&mut self, amount: u64) {
        let slot = self.slot(self.newest);
        *slot = slot.saturating_add(amount);
    }

    fn total(&self) -> u128 {
        self.slots.iter().map(|slot| u128::from(*slot)).sum()
    }

    /// Microseconds until no more than `room` is left of what is charged now.
    fn until_at_most(&self, room: u64, now_us: u64) -> u64 {
        let mut left = self.total();
        for age in (0..SLOTS as u64).rev() {
            let Some(number) = self.newest.checked_sub(age) else {
                continue;
            };
            left -= u128::from(self.slots[place(number)]);
            if left <= u128::from(room) {
                let gone_at = (number + SLOTS as u64).saturating_mul(self.slot_us);
                return gone_at.saturating_sub(now_us);
            }
        }
        0
    }
}

fn place(number: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than SLOTS")]
    let place = (number % SLOTS as u64) as usize;
    place
}
