//! Text that is still being written.
//!
//! Whatever is looked for reads through [`Text::at`], which says whether more may come.
//! So an answer that was once given holds however the text goes on, and it makes no
//! difference in how many pieces the text came.

/// The text goes on, and what comes decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecided;

/// What is known of a text: its end, or all that is not yet settled.
pub(crate) struct Text<'a> {
    bytes: &'a [u8],
    is_whole: bool,
    #[cfg(test)]
    steps: std::cell::Cell<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(bytes: &'a [u8], is_whole: bool) -> Self {
        Self {
            bytes,
            is_whole,
            #[cfg(test)]
            steps: std::cell::Cell::new(0),
        }
    }

    /// A byte; `None` behind the end of the whole text.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Result<Option<u8>, Undecided> {
        self.count(1);
        match self.bytes.get(place) {
            Some(byte) => Ok(Some(*byte)),
            None if self.is_whole => Ok(None),
            None => Err(Undecided),
        }
    }

    /// The byte before a place, if there is one.
    #[inline]
    pub(crate) fn before(&self, place: usize) -> Option<u8> {
        self.bytes.get(place.checked_sub(1)?).copied()
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Counts work, so that tests can tell that it grows no faster than the text.
    #[inline]
    pub(crate) fn count(&self, steps: usize) {
        #[cfg(test)]
        self.steps.set(self.steps.get() + steps);
        let _ = steps;
    }

    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.steps.get()
    }
}

/// Whether a number or word that starts here is torn out of a longer one, such as the
/// digits behind a decimal point.
pub(crate) fn is_inside_a_word(text: &Text, start: usize) -> bool {
    match text.before(start) {
        Some(b'.' | b',') => text
            .before(start - 1)
            .is_some_and(|byte| byte.is_ascii_digit()),
        Some(byte) => byte.is_ascii_alphanumeric(),
        None => false,
    }
}

/// How many bytes the one space or dash at a place has that may stand between groups of
/// digits; 0 if there is none.
pub(crate) fn gap(text: &Text, place: usize) -> Result<usize, Undecided> {
    Ok(match text.at(place)? {
        Some(b' ' | b'-') => 1,
        // A space that does not break the line (U+00A0).
        Some(0xC2) if text.at(place + 1)? == Some(0xA0) => 2,
        // The narrow one (U+202F).
        Some(0xE2) if text.at(place + 1)? == Some(0x80) && text.at(place + 2)? == Some(0xAF) => 3,
        _ => 0,
    })
}
