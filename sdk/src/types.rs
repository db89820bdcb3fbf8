//! The plain data of the contract, under the names that authors use; [`Head`](crate::Head) is
//! in `head`.

use crate::bindings::tollgate::policy::types;

/// The upstream that an attempt goes to, in [`Policy::on_attempt`](crate::Policy::on_attempt).
///
/// ```
/// use tollgate_sdk::Target;
///
/// fn is_retry(target: &Target) -> bool {
///     target.attempt > 1
/// }
/// ```
pub use types::Target;

/// How an exchange ended, in [`Policy::on_finish`](crate::Policy::on_finish).
///
/// ```
/// use tollgate_sdk::{Ending, Outcome};
///
/// fn tokens_to_bill(outcome: &Outcome) -> u64 {
///     match (outcome.ending, outcome.usage) {
///         (Ending::Complete, Some(usage)) => usage.input_tokens + usage.output_tokens,
///         _ => 0,
///     }
/// }
/// ```
pub use types::Outcome;

/// Why an exchange ended.
///
/// ```
/// use tollgate_sdk::Ending;
///
/// fn is_whole(ending: Ending) -> bool {
///     matches!(ending, Ending::Complete)
/// }
/// ```
pub use types::Ending;

/// Tokens, as the upstream counted them.
///
/// ```
/// use tollgate_sdk::Usage;
///
/// let usage = Usage { input_tokens: 10, output_tokens: 5, cached_tokens: 0 };
/// assert_eq!(usage.total(), 15);
/// ```
pub use types::Usage;

/// A header: a name in any case, and the bytes of its value.
///
/// ```
/// use tollgate_sdk::Header;
///
/// let header = Header { name: "x-tier".to_owned(), value: b"gold".to_vec() };
/// assert_eq!(header.value, b"gold");
/// ```
pub use types::Header;

/// An answer that a policy gives itself, without the upstream.
///
/// ```
/// use tollgate_sdk::{Answer, Verdict};
///
/// let answer = Answer::new(200).header("x-from", "cache").json(&serde_json::json!({ "ok": true }));
/// assert_eq!(answer.body, br#"{"ok":true}"#);
/// let verdict = Verdict::reply(answer);
/// # let _ = verdict;
/// ```
pub use types::Answer;

/// A refusal, shown in the error shape of the client's dialect.
///
/// ```
/// use tollgate_sdk::{Refusal, Verdict};
///
/// let refusal = Refusal::new(429, "too_many", "Slow down.").retry_after_ms(1500);
/// assert_eq!(Verdict::from(refusal.clone()), Verdict::Refuse(refusal));
/// ```
pub use types::Refusal;

/// Where a request goes: another model name, an upstream by its name, or both.
///
/// ```
/// use tollgate_sdk::{Destination, Verdict};
///
/// let verdict = Verdict::GoTo(Destination { model: Some("llama-3".to_owned()), upstream: None });
/// assert_eq!(verdict, Verdict::go_to_model("llama-3"));
/// ```
pub use types::Destination;

/// What happens to the message next.
///
/// ```
/// use tollgate_sdk::Verdict;
///
/// let verdict = Verdict::refuse(403, "not_for_you", "This model is not for you.");
/// assert_ne!(verdict, Verdict::next());
/// ```
pub use types::Verdict;

/// A JSON value; objects, arrays and numbers that no float can hold as their text.
///
/// ```
/// use tollgate_sdk::Value;
///
/// assert_eq!(Value::from(0.5), Value::Number(0.5));
/// assert_eq!(Value::from("x").parse::<String>(), Some("x".to_owned()));
/// assert_eq!(Value::of(&["a", "b"]), Value::Json(r#"["a","b"]"#.to_owned()));
/// ```
pub use types::Value;

/// An exchange that a plugin ships to show that it works; the gateway runs every one
/// before a new version goes live.
///
/// ```
/// use tollgate_sdk::Sample;
///
/// let sample = Sample::chat("no key").expect_answer(401);
/// assert_eq!(sample.name, "no key");
/// ```
pub use types::Sample;

/// What a [`Sample`] must come to.
///
/// ```
/// use tollgate_sdk::{Expectation, Sample};
///
/// assert_eq!(Sample::chat("plain").expect_forwarded().expect, Expectation::Forwarded);
/// ```
pub use types::Expectation;

impl Usage {
    /// Input and output together.
    ///
    /// ```
    /// use tollgate_sdk::Usage;
    ///
    /// assert_eq!(Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 1 }.total(), 3);
    /// ```
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// One event of a stream as it is: an optional name, and data in UTF-8.
///
/// ```
/// use tollgate_sdk::RawEvent;
///
/// assert_eq!(RawEvent::done().data, b"[DONE]");
/// ```
pub use types::Event as RawEvent;
