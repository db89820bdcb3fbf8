//! One text that comes in pieces: what may be sent of it, and what is held back.

mod window;

use crate::{
    find::{Match, find},
    kinds::{Bytes, NAME_MAX},
    rules::Rules,
    text::Text,
};
use window::Window;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As it is.
    Plain,
    /// As JSON, such as the arguments of a tool call: what its strings say counts.
    Json,
}

/// What was not sent yet of a text, and the little before it that still counts.
pub(crate) struct Held {
    window: Window,
    /// Where in the window that begins which was not sent yet.
    sent: usize,
    /// What was found last goes on for as long as these bytes come.
    goes_on: Option<Bytes>,
}

impl Held {
    /// So much stays of what was sent: no kind looks further back from where it starts.
    const KEPT: usize = NAME_MAX;
    /// The most bytes that are taken at once.
    const STEP: usize = 4 << 10;

    pub(crate) fn new(spelling: Spelling) -> Self {
        Self {
            window: Window::new(spelling),
            sent: 0,
            goes_on: None,
        }
    }

    /// Takes the next piece; gives what can be sent, and tells of each match by `found`.
    /// A long piece is taken in steps, so that what is looked at stays small.
    pub(crate) fn push(
        &mut self,
        rules: &Rules,
        piece: &str,
        is_last: bool,
        found: &mut impl FnMut(&Match),
    ) -> String {
        let mut out = String::with_capacity(piece.len());
        let mut rest = piece;
        while rest.len() > Self::STEP {
            let (step, behind) = rest.split_at(rest.floor_char_boundary(Self::STEP));
            self.step(rules, step, false, &mut out, found);
            rest = behind;
        }
        self.step(rules, rest, is_last, &mut out, found);
        out
    }

    fn step(
        &mut self,
        rules: &Rules,
        piece: &str,
        is_last: bool,
        out: &mut String,
        found: &mut impl FnMut(&Match),
    ) {
        self.window.push(piece);
        let text = Text::new(self.window.bytes(), is_last);
        let from = self.skip(&text);
        let all = find(rules, &text, from);
        let mut place = from;
        for one in &all.matches {
            self.window.copy(place..one.start, out);
            let replacement = &rules.of(one).replacement;
            self.window.replace(one.start..one.end, replacement, out);
            place = one.end;
            found(one);
        }
        self.window.copy(place..all.settled, out);
        if is_last {
            self.window.copy_rest(out);
        }
        if from < self.window.bytes().len() {
            self.goes_on = all.goes_on;
        }
        let settled = all.settled;
        self.sent = settled - self.window.forget(settled.saturating_sub(Self::KEPT));
    }

    /// Whether anything waits.
    pub(crate) fn is_holding(&self) -> bool {
        self.window.has_rest(self.sent)
    }

    /// Leaves out what still belongs to the last match.
    fn skip(&self, text: &Text) -> usize {
        let new = &text.bytes()[self.sent..];
        let rest = self.goes_on.map_or(0, |belongs| {
            new.iter().take_while(|byte| belongs(**byte)).count()
        });
        self.sent + rest
    }
}
