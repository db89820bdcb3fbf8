//! The policy from request to finish, natively, with the SDK's limits.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/concurrency.rs"]
mod concurrency;
#[path = "it/headers.rs"]
mod headers;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/rates.rs"]
mod rates;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/several.rs"]
mod several;

use rate_limit::RateLimit;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, Verdict,
    testing::{Decided, Exchange, Run, Session},
};

fn run(limits: Value) -> Run<RateLimit> {
    Run::new(json!({ "limits": limits }))
}

fn chat(caller: &str) -> Exchange {
    Exchange::chat().fact("caller", caller)
}

/// Asks, and keeps the exchange open if it may go on.
fn start(run: &Run<RateLimit>, exchange: Exchange) -> Option<Session<RateLimit>> {
    let mut session = run.open(exchange);
    session.request().is_next().then_some(session)
}

fn passes(run: &Run<RateLimit>, exchange: Exchange) -> bool {
    start(run, exchange).is_some()
}

/// How many of so many requests get through.
fn count(run: &Run<RateLimit>, exchange: &Exchange, tries: usize) -> usize {
    (0..tries).filter(|_| passes(run, exchange.clone())).count()
}

fn refused(run: &Run<RateLimit>, exchange: Exchange) -> Told {
    Told::of(&run.open(exchange).request())
}

/// What the client is told.
#[derive(Debug)]
struct Told {
    status: u16,
    code: String,
    message: String,
    answer: Answer,
}

impl Told {
    /// Of a refusal, however it is sent.
    fn of(decided: &Decided) -> Self {
        match &decided.verdict {
            Verdict::Refuse(refusal) => Self {
                status: refusal.status,
                code: refusal.code.clone(),
                message: refusal.message.clone(),
                answer: match refusal.retry_after_ms {
                    Some(ms) => Answer::new(refusal.status)
                        .header("retry-after", ms.div_ceil(1000).to_string()),
                    None => Answer::new(refusal.status),
                },
            },
            Verdict::Reply(answer) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap();
                let text = |field: &str| body["error"][field].as_str().unwrap().to_owned();
                assert_eq!(text("type"), "rate_limit_error");
                Self {
                    status: answer.status,
                    code: text("code"),
                    message: text("message"),
                    answer: answer.clone(),
                }
            }
            other => panic!("it was not refused: {other:?}"),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .answer
            .headers
            .iter()
            .find(|header| header.name == name)?;
        Some(std::str::from_utf8(&header.value).unwrap())
    }
}
