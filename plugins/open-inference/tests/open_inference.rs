//! The policy, as the gateway would run it: its hooks, natively.

#![allow(clippy::too_many_lines, reason = "a table of cases reads best whole")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/stage.rs"]
mod stage;

#[path = "it/completions.rs"]
mod completions;
#[path = "it/embeddings.rs"]
mod embeddings;
#[path = "it/errors.rs"]
mod errors;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/of_tensors.rs"]
mod of_tensors;
#[path = "it/passing.rs"]
mod passing;
#[path = "it/readme.rs"]
mod readme;
#[path = "it/round_trips.rs"]
mod round_trips;
#[path = "it/seldon.rs"]
mod seldon;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/streams.rs"]
mod streams;
