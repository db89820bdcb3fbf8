//! What is looked for. Each kind tells of one place whether it stands there.

mod api_key;
mod card;
mod email;
mod iban;
mod pattern;
mod phone;

pub(crate) use api_key::{api_key, starts_api_key};
pub(crate) use card::card;
pub(crate) use email::{Email, NAME_MAX, next_email};
pub(crate) use iban::{iban, starts_iban};
pub(crate) use pattern::Pattern;
pub(crate) use phone::phone;

use crate::text::Undecided;

/// Something was found, up to here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) end: usize,
    /// It ends where the known text does, and whatever comes of these bytes is part of it.
    pub(crate) goes_on: Option<Bytes>,
}

/// A set of bytes.
pub(crate) type Bytes = fn(u8) -> bool;

/// What a kind says of a place: something starts there, nothing does, or what comes decides.
pub(crate) type Finding = Result<Option<Hit>, Undecided>;

impl Hit {
    fn to(end: usize) -> Self {
        Self { end, goes_on: None }
    }
}
