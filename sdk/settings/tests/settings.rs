//! The types by example, and by their properties over anything.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/first_match.rs"]
mod first_match;
#[path = "it/instant.rs"]
mod instant;
#[path = "it/name.rs"]
mod name;
#[path = "it/pattern.rs"]
mod pattern;
#[path = "it/period.rs"]
mod period;
#[path = "it/words.rs"]
mod words;
