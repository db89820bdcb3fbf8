//! How fields and headers are written in the settings: parsed once, so that
//! what cannot work is refused at load and never met in an exchange.

mod header;
mod pointer;
mod value;

pub(crate) use header::{HeaderName, HeaderValue};
pub(crate) use pointer::{Pointer, covers};
pub(crate) use value::{Literal, SystemMessage};
