//! The policy, as the gateway would run it: its hooks, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/said_by_anthropic.rs"]
mod said_by_anthropic;
#[path = "it/said_by_openai.rs"]
mod said_by_openai;
#[path = "it/stage.rs"]
mod stage;
#[path = "it/words.rs"]
mod words;

#[path = "it/answers.rs"]
mod answers;
#[path = "it/errors.rs"]
mod errors;
#[path = "it/headers.rs"]
mod headers;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/readme.rs"]
mod readme;
#[path = "it/requests_to_anthropic.rs"]
mod requests_to_anthropic;
#[path = "it/requests_to_openai.rs"]
mod requests_to_openai;
#[path = "it/round_trips.rs"]
mod round_trips;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/streams_to_anthropic.rs"]
mod streams_to_anthropic;
#[path = "it/streams_to_openai.rs"]
mod streams_to_openai;
#[path = "it/tallied.rs"]
mod tallied;
