//! Who waits within one class: a line for each caller, and the callers in turn.
//!
//! Every waiter has a round in which it is served: the next one that its caller is not yet
//! in line for. So a caller with a thousand waiters and one with one take turns, and the
//! last of the longest line is found at once when a place has to be made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Tells waiters apart, in the order in which they came.
pub(super) type Number = u64;

/// Where a waiter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) class: usize,
    pub(super) caller: u64,
    pub(super) number: Number,
}

/// The lines of one class.
#[derive(Debug)]
pub(super) struct Lines<W> {
    lines: HashMap<u64, Line<W>>,
    /// By the round of each line's first, and when that line began.
    firsts: BTreeSet<(u64, Number, u64)>,
    /// By the round of each line's last.
    lasts: BTreeSet<(u64, Number, u64)>,
    round: u64,
    count: usize,
}

#[derive(Debug)]
struct Line<W> {
    /// The round in which its first is served; the others follow, one a round.
    first: u64,
    /// The number of the waiter that it began with: settles who is first in a round.
    began: Number,
    waiters: BTreeMap<Number, W>,
}

impl<W> Line<W> {
    fn last(&self) -> u64 {
        self.first + self.waiters.len() as u64 - 1
    }
}

impl<W> Default for Lines<W> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            firsts: BTreeSet::new(),
            lasts: BTreeSet::new(),
            round: 0,
            count: 0,
        }
    }
}

impl<W> Lines<W> {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of one caller wait.
    pub(super) fn count_of(&self, caller: u64) -> usize {
        self.lines.get(&caller).map_or(0, |line| line.waiters.len())
    }

    pub(super) fn push(&mut self, caller: u64, number: Number, waiter: W) {
        let mut line = self.take_out(caller).unwrap_or_else(|| Line {
            first: self.round + 1,
            began: number,
            waiters: BTreeMap::new(),
        });
        line.waiters.insert(number, waiter);
        self.put_in(caller, line);
        self.count += 1;
    }

    /// The next whose turn it is.
    pub(super) fn pop(&mut self) -> Option<W> {
        let (round, _, caller) = *self.firsts.first()?;
        let mut line = self.take_out(caller)?;
        self.round = round;
        let (_, waiter) = line.waiters.pop_first()?;
        line.first += 1;
        self.put_in(caller, line);
        self.count -= 1;
        Some(waiter)
    }

    /// One that no longer waits; `None`: it did not.
    pub(super) fn remove(&mut self, caller: u64, number: Number) -> Option<W> {
        let mut line = self.take_out(caller)?;
        let removed = line.waiters.remove(&number);
        self.put_in(caller, line);
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// The caller of who is served last of all, and the round of it.
    pub(super) fn longest(&self) -> Option<(u64, u64)> {
        let (round, _, caller) = *self.lasts.last()?;
        Some((caller, round))
    }

    /// The round in which one more of this caller would be served.
    pub(super) fn next_round(&self, caller: u64) -> u64 {
        let line = self.lines.get(&caller);
        line.map_or(self.round, Line::last) + 1
    }

    /// The newest of a caller.
    pub(super) fn pop_newest(&mut self, caller: u64) -> Option<W> {
        let line = self.lines.get(&caller)?;
        let (number, _) = line.waiters.last_key_value()?;
        self.remove(caller, *number)
    }

    fn take_out(&mut self, caller: u64) -> Option<Line<W>> {
        let line = self.lines.remove(&caller)?;
        self.firsts.remove(&(line.first, line.began, caller));
        self.lasts.remove(&(line.last(), line.began, caller));
        Some(line)
    }

    fn put_in(&mut self, caller: u64, line: Line<W>) {
        if line.waiters.is_empty() {
            return;
        }
        self.firsts.insert((line.first, line.began, caller));
        self.lasts.insert((line.last(), line.began, caller));
        self.lines.insert(caller, line);
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.count == 0 && self.lines.is_empty() && self.firsts.is_empty() && self.lasts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(order: &str) -> Lines<(char, usize)> {
        let mut lines = Lines::default();
        for (number, caller) in order.chars().enumerate() {
            lines.push(u64::from(caller), number as Number, (caller, number));
        }
        lines
    }

    fn served(mut lines: Lines<(char, usize)>) -> String {
        let served = std::iter::from_fn(|| lines.pop().map(|(caller, _)| caller)).collect();
        assert!(lines.is_clear());
        served
    }

    #[test]
    fn callers_take_turns_in_the_order_in_which_they_came() {
        assert_eq!(served(lines("aaaabbc")), "abcabaa");
        assert_eq!(served(lines("cba")), "cba");
    }

    #[test]
    fn a_callers_own_are_served_in_order() {
        let mut lines = lines("aaa");
        let order: Vec<_> = std::iter::from_fn(|| lines.pop().map(|(_, number)| number)).collect();
        assert_eq!(order, [0, 1, 2]);
    }

    #[test]
    fn one_that_comes_late_waits_one_turn_and_not_a_whole_line() {
        let mut lines = lines("aaaaaaaa");
        assert_eq!(lines.pop(), Some(('a', 0)));
        lines.push(u64::from('b'), 8, ('b', 8));
        assert_eq!(served(lines), "abaaaaaa");
    }

    #[test]
    fn who_was_served_and_comes_again_is_behind_the_others() {
        let mut lines = lines("abc");
        assert_eq!(lines.pop(), Some(('a', 0)));
        lines.push(u64::from('a'), 3, ('a', 3));
        assert_eq!(served(lines), "bca");
    }

    #[test]
    fn who_left_leaves_its_turn_to_its_own_callers_next() {
        let mut lines = lines("aaab");
        for number in [0, 1] {
            assert!(lines.remove(u64::from('a'), number).is_some());
            assert!(lines.remove(u64::from('a'), number).is_none());
        }
        assert_eq!(lines.count_of(u64::from('a')), 1);
        assert_eq!(served(lines), "ab");
    }

    #[test]
    fn the_last_of_the_longest_line_is_known() {
        let mut lines = lines("abbbaac");
        assert_eq!(lines.longest(), Some((u64::from('b'), 3)));
        assert_eq!(lines.pop_newest(u64::from('b')), Some(('b', 3)));
        assert_eq!(lines.longest(), Some((u64::from('a'), 3)));
        assert_eq!(lines.next_round(u64::from('a')), 4);
        assert_eq!(lines.next_round(u64::from('d')), 1);
        assert_eq!(lines.count(), 6);
        assert_eq!(served(lines), "abcaba");
    }
}
