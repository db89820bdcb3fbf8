//! From OpenAI's words to Anthropic's: requests of OpenAI clients, answers and streams of
//! OpenAI upstreams.

pub(crate) mod answer;
mod content;
mod messages;
pub(crate) mod request;
pub(crate) mod stream;
mod tools;
