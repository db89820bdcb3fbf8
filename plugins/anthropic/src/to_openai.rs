//! From Anthropic's words to OpenAI's: requests of Anthropic clients, answers and streams
//! of Anthropic upstreams.

pub(crate) mod answer;
mod content;
mod messages;
pub(crate) mod request;
pub(crate) mod stream;
mod tools;
