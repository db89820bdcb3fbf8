//! One line of JSON for every exchange: what was asked, what was decided, what it cost.
//!
//! Written by hand into a buffer that each thread keeps, since it is written for
//! every exchange. Holds no body, no header, no query; whatever comes from outside
//! is escaped and bounded.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tollgate_sandbox::{
    Failure,
    contract::{Ending, Usage},
};

use super::{
    escape::{self, without_query},
    lines::Lines,
};
use crate::serve::{Decided, PolicyRecord, Reason, Record, TryOutcome};

/// Facts of an exchange that a line holds.
const FACTS_MAX: usize = 16;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes the line of an exchange.
pub(crate) fn log(lines: &Lines, record: &Record) {
    LINE.with_borrow_mut(|line| {
        line.clear();
        write_line(line, record);
        lines.append(line);
    });
}

/// A field's name with what is around it.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

fn write_line(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(b"{\"time\":\"");
    write_time(
        out,
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    );
    out.extend_from_slice(b"\",\"event\":\"exchange\"");
    text(out, key!("id"), record.id.as_str());
    number(out, key!("generation"), record.generation);
    optional(out, key!("route"), record.route.as_deref());
    text(out, key!("method"), record.method.as_str());
    text(out, key!("path"), without_query(record.uri.path()));
    optional(out, key!("model"), record.model.as_deref());
    optional(out, key!("target_model"), record.target_model.as_deref());
    optional(out, key!("upstream"), record.upstream.as_deref());
    optional(out, key!("endpoint"), record.endpoint.as_deref());
    number(out, key!("attempts"), record.attempts.into());
    tries(out, record);
    number(out, key!("status"), record.status.into());
    word(out, key!("ending"), ending(record.ending));
    optional(out, key!("error"), record.error.as_deref());
    if let Some(cached) = record.cache {
        word(out, key!("cache"), cached.as_str());
    }
    if record.mirror {
        out.extend_from_slice(b",\"mirror\":true");
    }
    optional(out, key!("upgrade"), record.upgrade.as_deref());
    if record.streaming {
        out.extend_from_slice(b",\"stream\":true");
    }
    if let Some(bytes) = record.bytes_in {
        number(out, key!("bytes_in"), bytes);
    }
    number(out, key!("bytes_out"), record.bytes_out);
    duration(out, key!("queue_us"), record.queued);
    duration(out, key!("upstream_us"), record.upstream_head);
    duration(out, key!("first_byte_us"), record.first_byte);
    duration(out, key!("total_us"), Some(record.total));
    usage(out, record.usage.as_ref());
    for (name, value) in record.given.iter().flat_map(|given| given.iter()) {
        out.push(b',');
        escape::string(out, name);
        out.push(b':');
        escape::string(out, value);
    }
    facts(out, &record.facts);
    out.extend_from_slice(b",\"policies\":[");
    for (index, policy) in record.policies.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        decision(out, policy);
    }
    out.extend_from_slice(b"]}\n");
}

/// Those that did not answer; the one that did stands in the fields around them.
fn tries(out: &mut Vec<u8>, record: &Record) {
    if record.reason != Reason::First {
        word(out, key!("reason"), record.reason.as_str());
    }
    if record.over_budget > 0 {
        number(out, key!("over_budget"), record.over_budget.into());
    }
    if record.tries.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"tries\":[");
    for (index, tried) in record.tries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"upstream\":");
        escape::string(out, &tried.upstream);
        optional(out, key!("endpoint"), tried.endpoint.as_deref());
        word(out, key!("reason"), tried.reason.as_str());
        word(out, key!("outcome"), tried.outcome.as_str());
        if let TryOutcome::Status(status) = tried.outcome {
            number(out, key!("status"), status.into());
        }
        duration(out, key!("us"), Some(tried.took));
        out.push(b'}');
    }
    out.push(b']');
}

fn decision(out: &mut Vec<u8>, policy: &PolicyRecord) {
    match policy.as_before() {
        Some(remembered) => out.extend_from_slice(remembered.note(|| {
            let mut text = Vec::new();
            write_decision(&mut text, policy);
            text.into()
        })),
        None => write_decision(out, policy),
    }
}

fn write_decision(out: &mut Vec<u8>, policy: &PolicyRecord) {
    out.extend_from_slice(b"{\"policy\":");
    escape::string(out, policy.policy.name());
    decided(out, policy);
    duration(out, key!("us"), Some(policy.spent.time));
    if policy.spent.host_calls > 0 {
        number(out, key!("host_calls"), policy.spent.host_calls.into());
    }
    out.push(b'}');
}

/// All of a policy's part that needs no policy at hand.
fn decided(out: &mut Vec<u8>, policy: &PolicyRecord) {
    if policy.decided != Decided::Nothing {
        word(out, key!("decided"), policy.decided.as_str());
    }
    optional(out, key!("code"), policy.code.as_deref());
    for (key, count) in [
        (key!("edits"), u64::from(policy.edits)),
        (key!("events"), policy.events),
        (key!("events_changed"), policy.events_changed),
    ] {
        if count > 0 {
            number(out, key, count);
        }
    }
    if policy.remembered.is_some() {
        out.extend_from_slice(b",\"remembered\":true");
    }
    if let Some(failure) = &policy.failure {
        word(out, key!("failure"), failure_word(failure));
        text(out, key!("reason"), &failure.to_string());
    }
    if policy.bypassed {
        out.extend_from_slice(b",\"bypassed\":true");
    }
}

fn usage(out: &mut Vec<u8>, usage: Option<&Usage>) {
    if let Some(usage) = usage {
        number(out, key!("input_tokens"), usage.input_tokens);
        number(out, key!("output_tokens"), usage.output_tokens);
        number(out, key!("cached_tokens"), usage.cached_tokens);
    }
}

fn facts(out: &mut Vec<u8>, facts: &[(String, String)]) {
    if facts.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"facts\":{");
    for (index, (name, value)) in facts.iter().take(FACTS_MAX).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        escape::string(out, name);
        out.push(b':');
        escape::string(out, value);
    }
    out.push(b'}');
}

/// The word of an ending, in logs and metrics.
pub(crate) fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::ClientGone => "client_gone",
        Ending::UpstreamFailed => "upstream_failed",
        Ending::Refused => "refused",
        Ending::Cut => "cut",
        Ending::TimedOut => "timed_out",
    }
}

/// The word of a failure, in logs and metrics.
pub(crate) fn failure_word(failure: &Failure) -> &'static str {
    match failure {
        Failure::Trapped(_) => "trapped",
        Failure::OutOfTime(_) | Failure::ExchangeOutOfTime(_) | Failure::TickOutOfTime(_) => {
            "out_of_time"
        }
        Failure::TooManyHostCalls(_) => "host_calls",
        Failure::BadDecision(_) => "bad_decision",
        Failure::Quarantined => "quarantined",
        Failure::NoInstance => "no_instance",
    }
}

/// With a [`key`], as all of these.
fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    escape::string(out, value);
}

/// One of ours, which needs no escapes.
fn word(out: &mut Vec<u8>, key: &str, word: &'static str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(out, key, value);
    }
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn duration(out: &mut Vec<u8>, key: &str, value: Option<Duration>) {
    if let Some(value) = value {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        number(out, key, micros);
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn write_time(out: &mut Vec<u8>, since_epoch: Duration) {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let milli = u64::from(since_epoch.subsec_millis());
    for (value, digits, behind) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (milli, 3, b'Z'),
    ] {
        padded(out, value, digits);
        out.push(behind);
    }
}

/// The last `digits` of it, with zeros in front.
fn padded(out: &mut Vec<u8>, mut value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

/// The Gregorian date of a day since 1970-01-01, in years that start in March.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let of_era = days % ERA;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (days / ERA * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record) -> (String, serde_json::Value) {
        let mut out = Vec::new();
        write_line(&mut out, record);
        let text = String::from_utf8(out).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_line_tells_the_exchange_and_keeps_its_query_to_itself() {
        let record = Record {
            generation: 7,
            route: Some("chat".into()),
            uri: "/v1/chat/completions?api_key=canary".parse().unwrap(),
            model: Some("evil\n\u{1b}[31m\"model".into()),
            status: 200,
            ending: Ending::Complete,
            usage: Some(Usage {
                input_tokens: 3,
                output_tokens: 4,
                cached_tokens: 0,
            }),
            facts: vec![("caller".into(), "ada".into())],
            total: Duration::from_micros(1500),
            ..Record::default()
        };
        let (text, value) = line(&record);
        assert!(!text.contains("canary"));
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(value["path"], "/v1/chat/completions");
        assert_eq!(value["generation"], 7);
        assert_eq!(value["ending"], "complete");
        assert_eq!(value["facts"]["caller"], "ada");
        assert_eq!(value["output_tokens"], 4);
        assert_eq!(value["total_us"], 1500);
    }

    #[test]
    fn a_line_tells_each_try_where_and_why() {
        let tried = |endpoint: &str, reason, outcome| crate::serve::Try {
            upstream: "near".into(),
            endpoint: Some(endpoint.into()),
            reason,
            outcome,
            took: Duration::from_micros(70),
        };
        let record = Record {
            upstream: Some("far".into()),
            endpoint: Some("c:1".into()),
            attempts: 3,
            reason: Reason::Fallback,
            tries: vec![
                tried("a:1", Reason::First, TryOutcome::Connect),
                tried("b:1", Reason::Retry, TryOutcome::Status(503)),
            ],
            over_budget: 1,
            ..Record::default()
        };
        let (_, value) = line(&record);
        assert_eq!(value["endpoint"], "c:1");
        assert_eq!(value["reason"], "fallback");
        assert_eq!(value["over_budget"], 1);
        assert_eq!(
            value["tries"],
            serde_json::json!([
                { "upstream": "near", "endpoint": "a:1", "reason": "first", "outcome": "connect", "us": 70 },
                { "upstream": "near", "endpoint": "b:1", "reason": "retry", "outcome": "status", "status": 503, "us": 70 },
            ])
        );
        let (text, value) = line(&Record::default());
        assert!(
            value["tries"].is_null() && value["reason"].is_null(),
            "{text}"
        );
    }

    #[test]
    fn a_line_stays_short_whatever_an_exchange_holds() {
        let record = Record {
            model: Some("m".repeat(1 << 20)),
            facts: (0..1000)
                .map(|n| (format!("f{n}"), "v".repeat(1 << 16)))
                .collect(),
            ..Record::default()
        };
        assert!(line(&record).0.len() < 16 << 10);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
