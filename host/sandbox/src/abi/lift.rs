//! Reads values out of a guest's memory.

use super::layout::{Layout, align_to};

/// Beyond what any capability takes as a name or a key.
pub(crate) const NAME_BYTES_MAX: usize = 4096;

/// What a guest said does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("a pointer leads out of the plugin's memory")]
    OutOfBounds,
    #[error("a pointer is not aligned")]
    Misaligned,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a value has a case that its type does not have")]
    NoSuchCase,
    #[error("lists and texts are larger together than the plugin's memory")]
    TooMuch,
    #[error("unknown handle")]
    NoSuchHandle,
    #[error("an import is called while the host hands over arguments or takes a result")]
    CalledBetween,
}

/// A guest's memory, and how much may still be taken from it: lists may overlap there,
/// and would not on the host.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    budget: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], budget: usize) -> Self {
        Self { bytes, budget }
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Broken> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(Broken::OutOfBounds)
    }

    fn slice(&mut self, at: usize, length: usize) -> Result<&'a [u8], Broken> {
        let end = at.checked_add(length).ok_or(Broken::OutOfBounds)?;
        let bytes = self.bytes.get(at..end).ok_or(Broken::OutOfBounds)?;
        self.charge(length)?;
        Ok(bytes)
    }

    fn text(&mut self, at: usize, length: usize) -> Result<&'a str, Broken> {
        str::from_utf8(self.slice(at, length)?).map_err(|_| Broken::NotUtf8)
    }

    fn list<T: Lift>(&mut self, at: usize, length: usize) -> Result<Vec<T>, Broken> {
        if !at.is_multiple_of(T::ALIGN) {
            return Err(Broken::Misaligned);
        }
        let bytes = length.checked_mul(T::SIZE).ok_or(Broken::OutOfBounds)?;
        self.slice(at, bytes)?;
        // On the host an item may be larger than in the guest.
        self.charge(length.saturating_mul(size_of::<T>()).saturating_sub(bytes))?;
        let mut items = Vec::with_capacity(length);
        for nth in 0..length {
            items.push(T::lift(self, at + nth * T::SIZE)?);
        }
        Ok(items)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Broken> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Broken::TooMuch)?;
        Ok(())
    }
}

/// A value that can be read from a guest's memory.
pub(crate) trait Lift: Layout + Sized {
    /// Reads it where it lies.
    ///
    /// # Errors
    /// See [`Broken`].
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken>;

    /// Reads it where the guest says that it lies.
    ///
    /// # Errors
    /// See [`Broken`].
    fn lift_at(from: &mut Reader<'_>, pointer: u32) -> Result<Self, Broken> {
        let at = pointer as usize;
        if !at.is_multiple_of(Self::ALIGN) {
            return Err(Broken::Misaligned);
        }
        Self::lift(from, at)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Lift for $type {
            fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
                Ok(Self::from_le_bytes(from.array(at)?))
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, f64);

impl Lift for () {
    fn lift(_: &mut Reader<'_>, _: usize) -> Result<Self, Broken> {
        Ok(())
    }
}

impl Lift for bool {
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
        Ok(u8::lift(from, at)? != 0)
    }
}

fn pointer_and_length(from: &mut Reader<'_>, at: usize) -> Result<(usize, usize), Broken> {
    let (pointer, length) = (u32::lift(from, at)?, u32::lift(from, at + 4)?);
    Ok((pointer as usize, length as usize))
}

impl Lift for String {
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
        let (at, length) = pointer_and_length(from, at)?;
        from.text(at, length).map(str::to_owned)
    }
}

impl<T: LiftList> Lift for Vec<T> {
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
        let (at, length) = pointer_and_length(from, at)?;
        T::lift_list(from, at, length)
    }
}

/// An item of lists; those of bytes are copied whole.
pub(crate) trait LiftList: Lift {
    fn lift_list(from: &mut Reader<'_>, at: usize, length: usize) -> Result<Vec<Self>, Broken> {
        from.list(at, length)
    }
}

impl LiftList for u8 {
    fn lift_list(from: &mut Reader<'_>, at: usize, length: usize) -> Result<Vec<Self>, Broken> {
        from.slice(at, length).map(<[u8]>::to_vec)
    }
}
impl LiftList for f64 {}
impl LiftList for String {}
impl<A: Lift, B: Lift> LiftList for (A, B) {}

impl<T: Lift> Lift for Option<T> {
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
        match u8::lift(from, at)? {
            0 => Ok(None),
            1 => T::lift(from, at + align_to(1, T::ALIGN)).map(Some),
            _ => Err(Broken::NoSuchCase),
        }
    }
}

impl<A: Lift, B: Lift> Lift for (A, B) {
    fn lift(from: &mut Reader<'_>, at: usize) -> Result<Self, Broken> {
        let a = A::lift(from, at)?;
        let b = B::lift(from, at + align_to(A::SIZE, B::ALIGN))?;
        Ok((a, b))
    }
}

/// The flat arguments of a host call, one after the other.
pub(crate) struct Args<'a> {
    slots: &'a [u64],
    /// The handle of the message that is lent; 0 if none is.
    lent: u32,
    pub(crate) memory: Reader<'a>,
}

impl<'a> Args<'a> {
    pub(crate) fn new(slots: &'a [u64], lent: u32, memory: Reader<'a>) -> Self {
        Self {
            slots,
            lent,
            memory,
        }
    }

    /// The handle of a message.
    ///
    /// # Errors
    /// It is none, or the guest let go of it.
    pub(crate) fn message(&mut self) -> Result<(), Broken> {
        match self.u32() {
            0 => Err(Broken::NoSuchHandle),
            handle if handle == self.lent => Ok(()),
            _ => Err(Broken::NoSuchHandle),
        }
    }

    fn slot(&mut self) -> u64 {
        let (first, rest) = self.slots.split_first().unwrap_or((&0, &[]));
        self.slots = rest;
        *first
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a slot of 64 bits holds an argument of 32"
    )]
    pub(crate) fn u32(&mut self) -> u32 {
        self.slot() as u32
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.slot()
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.u32() != 0
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn optional_u64(&mut self) -> Result<Option<u64>, Broken> {
        let (case, value) = (self.u32(), self.u64());
        match case {
            0 => Ok(None),
            1 => Ok(Some(value)),
            _ => Err(Broken::NoSuchCase),
        }
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>, Broken> {
        match self.u32() {
            0 => {
                // There, and without a meaning.
                self.pointer_and_length();
                Ok(None)
            }
            1 => self.text().map(Some),
            _ => Err(Broken::NoSuchCase),
        }
    }

    /// What takes so many slots, of which those are there, and without a meaning, where it is
    /// missing.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) fn optional<T>(
        &mut self,
        slots: usize,
        read: impl FnOnce(&mut Self) -> Result<T, Broken>,
    ) -> Result<Option<T>, Broken> {
        match self.u32() {
            0 => {
                self.slots = self.slots.get(slots..).unwrap_or_default();
                Ok(None)
            }
            1 => read(self).map(Some),
            _ => Err(Broken::NoSuchCase),
        }
    }

    pub(crate) fn f64(&mut self) -> f64 {
        f64::from_bits(self.slot())
    }

    fn pointer_and_length(&mut self) -> (usize, usize) {
        (self.u32() as usize, self.u32() as usize)
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn text(&mut self) -> Result<&'a str, Broken> {
        let (at, length) = self.pointer_and_length();
        self.memory.text(at, length)
    }

    /// The name of something that a capability keeps, or its key. Of one that is longer than
    /// any that is taken, no more is copied than shows it.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) fn name(&mut self) -> Result<String, Broken> {
        let text = self.text()?;
        Ok(text[..text.ceil_char_boundary(NAME_BYTES_MAX + 1)].to_owned())
    }

    /// As many bytes as these, of a list that may be longer.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) fn bytes_to(&mut self, most: usize) -> Result<&'a [u8], Broken> {
        let bytes = self.bytes()?;
        Ok(&bytes[..bytes.len().min(most)])
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let (at, length) = self.pointer_and_length();
        self.memory.slice(at, length)
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn optional_bytes(&mut self) -> Result<Option<&'a [u8]>, Broken> {
        let case = self.u32();
        let (at, length) = self.pointer_and_length();
        match case {
            0 => Ok(None),
            1 => self.memory.slice(at, length).map(Some),
            _ => Err(Broken::NoSuchCase),
        }
    }

    /// How long the list is that comes next.
    pub(crate) fn next_length(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a slot of 64 bits holds an argument of 32"
        )]
        self.slots.get(1).map_or(0, |slot| *slot as u32 as usize)
    }

    /// A list of texts, none of them copied.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) fn texts(&mut self) -> Result<Vec<&'a str>, Broken> {
        let (at, length) = self.pointer_and_length();
        if !at.is_multiple_of(String::ALIGN) {
            return Err(Broken::Misaligned);
        }
        let bytes = length
            .checked_mul(String::SIZE)
            .ok_or(Broken::OutOfBounds)?;
        self.memory.slice(at, bytes)?;
        self.memory
            .charge(length.saturating_mul(size_of::<&str>()))?;
        let mut texts = Vec::with_capacity(length);
        for nth in 0..length {
            let (at, length) = pointer_and_length(&mut self.memory, at + nth * String::SIZE)?;
            texts.push(self.memory.text(at, length)?);
        }
        Ok(texts)
    }

    /// # Errors
    /// See [`Broken`].
    pub(crate) fn list<T: Lift>(&mut self) -> Result<Vec<T>, Broken> {
        let (at, length) = self.pointer_and_length();
        self.memory.list(at, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_copied_no_further_than_shows_that_it_is_too_long() {
        let name = |memory: &[u8], length: usize| {
            let slots = [0, length as u64];
            Args::new(&slots, 0, Reader::new(memory, memory.len())).name()
        };
        assert_eq!(name(b"caller=bob", 6), Ok("caller".to_owned()));
        let long = "é".repeat(1 << 20);
        let copied = name(long.as_bytes(), long.len()).unwrap();
        assert!(copied.len() > NAME_BYTES_MAX && copied.len() < NAME_BYTES_MAX + 8);
        // Whatever is wrong beyond that is still wrong.
        assert_eq!(
            name(long.as_bytes(), long.len() + 1),
            Err(Broken::OutOfBounds)
        );
        assert_eq!(name(long.as_bytes(), long.len() - 1), Err(Broken::NotUtf8));
    }

    #[test]
    fn what_is_cut_is_longer_than_any_store_takes() {
        use tollgate_capabilities::EmbeddedOptions;
        let options = EmbeddedOptions::default();
        assert!(options.kv.key_bytes_max < NAME_BYTES_MAX);
        assert!(options.limits.name_bytes_max < NAME_BYTES_MAX);
    }
}
