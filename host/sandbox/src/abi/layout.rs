//! How large values are and where their parts lie.

/// Size and alignment of a type in a guest's memory.
pub(crate) trait Layout {
    /// In bytes, a multiple of `ALIGN`.
    const SIZE: usize;
    /// A power of two.
    const ALIGN: usize;
}

/// The next multiple of a power of two.
pub(crate) const fn align_to(offset: usize, align: usize) -> usize {
    (offset + align - 1) & !(align - 1)
}

pub(crate) const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Size of a variant of at most 256 cases, of the largest payload and alignment.
pub(crate) const fn variant_size(payload: usize, align: usize) -> usize {
    align_to(align_to(1, align) + payload, align)
}

macro_rules! scalar {
    ($($type:ty),*) => {$(
        impl Layout for $type {
            const SIZE: usize = size_of::<$type>();
            const ALIGN: usize = size_of::<$type>();
        }
    )*};
}
scalar!(u8, u16, u32, u64, f64);

impl Layout for () {
    const SIZE: usize = 0;
    const ALIGN: usize = 1;
}

impl Layout for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
}

macro_rules! pointer_and_length {
    ($([$($generic:tt)*] $type:ty),*) => {$(
        impl<$($generic)*> Layout for $type {
            const SIZE: usize = 8;
            const ALIGN: usize = 4;
        }
    )*};
}
pointer_and_length!([] str, [] String, [T] Vec<T>, [T] [T]);

impl<T: Layout + ?Sized> Layout for &T {
    const SIZE: usize = T::SIZE;
    const ALIGN: usize = T::ALIGN;
}

impl<T: Layout> Layout for Option<T> {
    const SIZE: usize = variant_size(T::SIZE, T::ALIGN);
    const ALIGN: usize = T::ALIGN;
}

impl<T: Layout, E: Layout> Layout for Result<T, E> {
    const SIZE: usize = variant_size(larger(T::SIZE, E::SIZE), Self::ALIGN);
    const ALIGN: usize = larger(T::ALIGN, E::ALIGN);
}

impl<A: Layout, B: Layout> Layout for (A, B) {
    const SIZE: usize = align_to(align_to(A::SIZE, B::ALIGN) + B::SIZE, Self::ALIGN);
    const ALIGN: usize = larger(A::ALIGN, B::ALIGN);
}
