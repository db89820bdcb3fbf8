//! Writes values into a guest's memory.
//!
//! The host never calls the guest from within a host call, so it cannot allocate there.
//! A value is laid out on the host first, in blocks; the guest's own wrapper is asked
//! for all of them at once, or for one after the other if it cannot do that, and when all
//! have a place, everything is written.

use super::layout::{Layout, align_to};

/// Where a value's root goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// The slots that flat arguments are passed in.
    Slots,
    /// The guest's memory.
    Memory,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    start: usize,
    length: usize,
    align: usize,
    /// In the guest's memory, once it is known.
    at: u32,
}

/// A pointer that is written when its block has a place.
#[derive(Debug, Clone, Copy)]
struct Link {
    position: usize,
    block: usize,
}

/// One value on its way into a guest.
#[derive(Debug)]
pub(crate) struct Lowering {
    bytes: Vec<u8>,
    /// The first is the root.
    blocks: Vec<Block>,
    links: Vec<Link>,
    root: Root,
    /// The first block that has no place yet.
    next: usize,
    asked: Wanted,
    /// Where all but the root are, if they lie in a row in the guest as they do here.
    row: Option<u32>,
    /// The guest has no room for all of them in a row.
    has_no_row: bool,
}

/// The largest alignment that a value of the contract has.
const ALIGN_MAX: usize = 8;

/// What the guest is to allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    Block {
        align: u32,
        length: u32,
    },
    /// So many in a row, and how long they are together.
    Row {
        count: u32,
        length: u32,
    },
}

impl Default for Lowering {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            blocks: Vec::new(),
            links: Vec::new(),
            root: Root::Memory,
            next: 0,
            asked: Wanted::Nothing,
            row: None,
            has_no_row: false,
        }
    }
}

/// Buffers that grew beyond this are not kept for the next call.
const KEEP_BYTES: usize = 64 << 10;

impl Lowering {
    /// Forgets what was lowered before.
    fn clear(&mut self) {
        self.bytes.clear();
        self.blocks.clear();
        self.links.clear();
        self.next = 0;
        self.row = None;
        self.has_no_row = false;
    }

    /// Lays out a value that goes where the guest said.
    pub(crate) fn result<T: Lower + ?Sized>(&mut self, value: &T, at: u32) {
        self.clear();
        self.root = Root::Memory;
        let root = self.block(T::SIZE, T::ALIGN);
        self.blocks[root].at = at;
        self.next = 1;
        value.lower(self, 0);
    }

    /// Begins to lay out flat arguments.
    pub(crate) fn arguments(&mut self) -> Slots<'_> {
        self.clear();
        self.root = Root::Slots;
        self.block(SLOTS_MAX * 8, 8);
        self.next = 1;
        Slots {
            lowering: self,
            count: 0,
        }
    }

    fn block(&mut self, length: usize, align: usize) -> usize {
        // What is in a row behind the root begins where anything may begin.
        let begin = if self.blocks.len() == 1 {
            ALIGN_MAX
        } else {
            align
        };
        let start = align_to(self.bytes.len(), begin);
        self.bytes.resize(start + length, 0);
        self.blocks.push(Block {
            start,
            length,
            align,
            at: 0,
        });
        self.blocks.len() - 1
    }

    fn link(&mut self, position: usize, block: usize, count: usize) {
        self.links.push(Link { position, block });
        // The guest's memory is smaller than 4 GiB, and a list that is not cannot be placed.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.put(position + 4, &count.to_le_bytes());
    }

    fn put(&mut self, position: usize, bytes: &[u8]) {
        self.bytes[position..position + bytes.len()].copy_from_slice(bytes);
    }

    /// What to allocate next. `rows`: the guest may have room for all blocks in a row.
    pub(crate) fn wanted(&mut self, rows: bool) -> Wanted {
        self.asked = match self.row().filter(|_| rows && !self.has_no_row) {
            Some(row) => row,
            None => self.block_wanted(),
        };
        self.asked
    }

    /// All blocks but the root, if there is more than one and none has a place yet.
    fn row(&self) -> Option<Wanted> {
        let first = self.blocks.get(1).filter(|_| self.next == 1)?;
        let rest = self.blocks[1..].iter();
        let count = rest.filter(|block| block.length > 0).count();
        (count > 1).then(|| Wanted::Row {
            count: narrow(count),
            length: narrow(self.bytes.len() - first.start),
        })
    }

    fn block_wanted(&mut self) -> Wanted {
        while let Some(block) = self.blocks.get_mut(self.next) {
            if block.length > 0 {
                return Wanted::Block {
                    align: narrow(block.align),
                    length: narrow(block.length),
                };
            }
            block.at = of_nothing(block);
            self.next += 1;
        }
        Wanted::Nothing
    }

    /// Whether the guest is allocating for it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.next < self.blocks.len()
    }

    /// Says where is what was wanted last.
    pub(crate) fn place(&mut self, at: u32) {
        match self.asked {
            Wanted::Nothing => {}
            Wanted::Block { .. } => {
                if let Some(block) = self.blocks.get_mut(self.next) {
                    block.at = at;
                    self.next += 1;
                }
            }
            Wanted::Row { .. } if at == 0 => self.has_no_row = true,
            Wanted::Row { .. } => self.place_row(at),
        }
    }

    /// Where it leads out of the guest's memory is seen when it is written.
    fn place_row(&mut self, at: u32) {
        let Some(first) = self.blocks.get(1).map(|block| block.start) else {
            return;
        };
        for block in &mut self.blocks[1..] {
            block.at = match block.length {
                0 => of_nothing(block),
                _ => at.saturating_add(narrow(block.start - first)),
            };
        }
        self.row = Some(at);
        self.next = self.blocks.len();
    }

    /// All is written; what it took is given back, if it was much.
    pub(crate) fn done(&mut self) {
        if self.bytes.capacity() > KEEP_BYTES {
            *self = Self::default();
        }
    }

    /// Writes the pointers into the blocks.
    pub(crate) fn join(&mut self) {
        for nth in 0..self.links.len() {
            let Link { position, block } = self.links[nth];
            let at = self.blocks[block].at;
            self.put(position, &at.to_le_bytes());
        }
        self.links.clear();
    }

    /// The flat arguments.
    pub(crate) fn slots(&self) -> &[u8] {
        match (self.root, self.blocks.first()) {
            (Root::Slots, Some(root)) => &self.bytes[..root.length],
            _ => &[],
        }
    }

    /// What goes into the guest's memory: where, how it has to be aligned, and the bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u32, usize, &[u8])> {
        let first = usize::from(self.root == Root::Slots);
        let last = if self.row.is_some() {
            1
        } else {
            self.blocks.len()
        };
        let blocks = self.blocks.get(first..last).unwrap_or_default();
        let blocks = blocks.iter().map(|block| {
            let bytes = &self.bytes[block.start..block.start + block.length];
            (block.at, block.align, bytes)
        });
        let row = self.row.zip(self.blocks.get(1));
        blocks.chain(row.map(|(at, first)| (at, ALIGN_MAX, &self.bytes[first.start..])))
    }
}

/// A list of nothing lies anywhere but at 0.
fn of_nothing(block: &Block) -> u32 {
    narrow(block.align)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a block of 4 GiB or more is cut off, and refused when it is written beyond the memory"
)]
fn narrow(size: usize) -> u32 {
    if size > u32::MAX as usize {
        u32::MAX
    } else {
        size as u32
    }
}

/// The most flat arguments that a function takes; more are passed in memory.
pub(crate) const SLOTS_MAX: usize = 16;

/// Flat arguments, one after the other, each in a slot of eight bytes.
pub(crate) struct Slots<'a> {
    lowering: &'a mut Lowering,
    count: usize,
}

impl Slots<'_> {
    fn slot(&mut self) -> usize {
        let position = self.count * 8;
        debug_assert!(self.count < SLOTS_MAX, "the contract has no such function");
        self.count += 1;
        position
    }

    pub(crate) fn number(mut self, number: impl Into<u64>) -> Self {
        let position = self.slot();
        self.lowering.put(position, &number.into().to_le_bytes());
        self
    }

    pub(crate) fn optional(self, number: Option<u64>) -> Self {
        self.number(number.is_some()).number(number.unwrap_or(0))
    }

    /// A list or text, as a pointer and a length.
    pub(crate) fn list<T: Lower>(mut self, items: &[T]) -> Self {
        let (pointer, length) = (self.slot(), self.slot());
        let block = T::lower_list(self.lowering, items);
        self.lowering.links.push(Link {
            position: pointer,
            block,
        });
        self.lowering
            .put(length, &(items.len() as u64).to_le_bytes());
        self
    }

    pub(crate) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.number(1_u32).list(text.as_bytes()),
            None => self.number(0_u32).number(0_u32).number(0_u32),
        }
    }

    /// More than fits the slots: a pointer to it.
    pub(crate) fn boxed<T: Lower>(mut self, value: &T) {
        let position = self.slot();
        let block = self.lowering.block(T::SIZE, T::ALIGN);
        let start = self.lowering.blocks[block].start;
        value.lower(self.lowering, start);
        self.lowering.links.push(Link { position, block });
    }
}

/// A value that can be written into a guest's memory.
pub(crate) trait Lower: Layout {
    /// Writes it at a position of the lowering's bytes; what it points to becomes
    /// blocks of their own.
    fn lower(&self, into: &mut Lowering, position: usize);

    /// Lays out a list in a block of its own.
    fn lower_list(into: &mut Lowering, items: &[Self]) -> usize
    where
        Self: Sized,
    {
        let block = into.block(items.len() * Self::SIZE, Self::ALIGN);
        let start = into.blocks[block].start;
        for (nth, item) in items.iter().enumerate() {
            item.lower(into, start + nth * Self::SIZE);
        }
        block
    }
}

impl Lower for u8 {
    fn lower(&self, into: &mut Lowering, position: usize) {
        into.put(position, &[*self]);
    }

    fn lower_list(into: &mut Lowering, items: &[Self]) -> usize {
        let block = into.block(0, 1);
        into.bytes.extend_from_slice(items);
        into.blocks[block].length = items.len();
        block
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Lower for $type {
            fn lower(&self, into: &mut Lowering, position: usize) {
                into.put(position, &self.to_le_bytes());
            }
        }
    )*};
}
numbers!(u16, u32, u64, f64);

impl Lower for () {
    fn lower(&self, _: &mut Lowering, _: usize) {}
}

impl Lower for bool {
    fn lower(&self, into: &mut Lowering, position: usize) {
        into.put(position, &[u8::from(*self)]);
    }
}

impl Lower for str {
    fn lower(&self, into: &mut Lowering, position: usize) {
        let block = u8::lower_list(into, self.as_bytes());
        into.link(position, block, self.len());
    }
}

impl Lower for String {
    fn lower(&self, into: &mut Lowering, position: usize) {
        self.as_str().lower(into, position);
    }
}

impl<T: Lower> Lower for [T] {
    fn lower(&self, into: &mut Lowering, position: usize) {
        let block = T::lower_list(into, self);
        into.link(position, block, self.len());
    }
}

impl<T: Lower> Lower for Vec<T> {
    fn lower(&self, into: &mut Lowering, position: usize) {
        self.as_slice().lower(into, position);
    }
}

impl<T: Lower + ?Sized> Lower for &T {
    fn lower(&self, into: &mut Lowering, position: usize) {
        (**self).lower(into, position);
    }
}

impl<T: Lower> Lower for Option<T> {
    fn lower(&self, into: &mut Lowering, position: usize) {
        into.put(position, &[u8::from(self.is_some())]);
        if let Some(value) = self {
            value.lower(into, position + align_to(1, T::ALIGN));
        }
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    fn lower(&self, into: &mut Lowering, position: usize) {
        into.put(position, &[u8::from(self.is_err())]);
        let payload = position + align_to(1, Self::ALIGN);
        match self {
            Ok(value) => value.lower(into, payload),
            Err(error) => error.lower(into, payload),
        }
    }
}

impl<A: Lower, B: Lower> Lower for (A, B) {
    fn lower(&self, into: &mut Lowering, position: usize) {
        self.0.lower(into, position);
        self.1.lower(into, position + align_to(A::SIZE, B::ALIGN));
    }
}

impl Lowering {
    /// Writes which case of a variant it is.
    pub(super) fn case(&mut self, position: usize, case: u8) {
        self.put(position, &[case]);
    }
}
