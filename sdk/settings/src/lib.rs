//! Types that the settings of a policy are made of, parsed once so that a mistake is
//! refused at load.
//!
//! | type | is |
//! |---|---|
//! | [`Pattern`] | a name, or a glob: `llama-3`, `gpt-*` |
//! | [`FirstMatch`] | which entry of a list is the first that has a name, of thousands as of a few |
//! | [`Name`] | a plain name that clients are shown |
//! | [`Instant`] | a point in time: `2027-01-31T18:00:00Z` |
//! | [`Period`] | a time: `500ms`, `30s`, `15m`, `1h`, `30d` |
//! | [`words`] | the same said back to a client in plain words |
//!
//! They read with serde and describe themselves with schemars. An error says what was
//! expected and what was found; `tollgate-sdk` puts the JSON pointer of the field in front
//! of it. Nothing here knows of hosts, hooks or messages.
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use tollgate_settings::{Pattern, Period};
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// The models that it is about, by exact name or with `*` for any text.
//!     models: Vec<Pattern>,
//!     /// How long an answer is kept.
//!     keep: Period,
//! }
//!
//! let settings: Settings =
//!     serde_json::from_value(serde_json::json!({ "models": ["gpt-*"], "keep": "15m" })).unwrap();
//! assert!(settings.models[0].has("gpt-4o"));
//! assert_eq!(settings.keep.ms(), 900_000);
//! ```

#![warn(missing_docs)]

mod first_match;
mod instant;
mod name;
mod pattern;
mod period;
pub mod words;

pub use first_match::{FirstMatch, Repeat, repeats};
pub use instant::{BadInstant, Instant};
pub use name::{BadName, Name};
pub use pattern::{BadPattern, Pattern};
pub use period::{BadPeriod, Period};
