//! What a session is told of its exchange when it opens.

use tokio::time::Instant;
use tollgate_sandbox::{About, ExchangeContext, Message, contract::Head};

use super::record::Record;

/// What a session is told when it opens.
pub(super) struct Introduction {
    pub(super) head: Head,
    pub(super) context: ExchangeContext,
}

impl Introduction {
    pub(super) fn of_request(record: &Record, message: &Message, deadline: Instant) -> Self {
        Self::new(
            record,
            message.method.as_str(),
            &message.path,
            (&message.facts, deadline),
        )
    }

    /// The one that the policy before was told, with what has changed since.
    pub(super) fn renewed<'a>(
        before: &'a mut Option<Self>,
        (record, message): (&Record, &Message),
        deadline: Instant,
    ) -> &'a Self {
        if let Some(Self { head, .. }) = before {
            renew(&mut head.method, message.method.as_str());
            renew(&mut head.path, &message.path);
            renew_fact(&mut head.caller, fact(&message.facts, "caller"));
            renew_fact(&mut head.tier, fact(&message.facts, "tier"));
            head.deadline_ms = Self::about(record, deadline).deadline_ms();
        }
        before.get_or_insert_with(|| Self::of_request(record, message, deadline))
    }

    /// What is known besides the request.
    pub(super) fn about(record: &Record, deadline: Instant) -> About<'_> {
        About {
            route: record.route.as_deref().unwrap_or_default(),
            model: record.model.as_deref(),
            streaming: record.streaming,
            body_bytes: record.bytes_in,
            deadline: deadline.into_std(),
            recorded: record.journal.is_some(),
        }
    }

    /// For a policy that was not asked about the request.
    pub(super) fn of_response(
        record: &Record,
        facts: &[(String, String)],
        deadline: Instant,
    ) -> Self {
        let path = record
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        Self::new(record, record.method.as_str(), path, (facts, deadline))
    }

    fn new(
        record: &Record,
        method: &str,
        path: &str,
        (facts, deadline): (&[(String, String)], Instant),
    ) -> Self {
        let about = Self::about(record, deadline);
        let head = Head {
            route: about.route.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            model: about.model.map(str::to_owned),
            caller: fact(facts, "caller").map(str::to_owned),
            tier: fact(facts, "tier").map(str::to_owned),
            streaming: about.streaming,
            body_bytes: about.body_bytes,
            deadline_ms: about.deadline_ms(),
        };
        let context = ExchangeContext {
            request_id: record.id.as_str().into(),
            deadline: about.deadline,
            recorded: about.recorded,
        };
        Self { head, context }
    }
}

fn fact<'a>(facts: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let last = facts.iter().rev().find(|(fact, _)| fact == name);
    last.map(|(_, value)| value.as_str())
}

fn renew(text: &mut String, now: &str) {
    if text != now {
        now.clone_into(text);
    }
}

fn renew_fact(fact: &mut Option<String>, now: Option<&str>) {
    if fact.as_deref() != now {
        *fact = now.map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_later_policy_is_told_what_earlier_ones_changed_and_what_they_took_back() {
        let (record, deadline) = (Record::default(), Instant::now() + Duration::from_secs(9));
        let mut message = Message {
            path: "/one".to_owned(),
            ..Message::default()
        };
        let mut told = None;
        Introduction::renewed(&mut told, (&record, &message), deadline);
        for (path, caller) in [("/two", Some("anna")), ("/two", Some("ben")), ("/", None)] {
            message.path = path.to_owned();
            message.facts = caller
                .map(|caller| ("caller".to_owned(), caller.to_owned()))
                .into_iter()
                .collect();
            let renewed = Introduction::renewed(&mut told, (&record, &message), deadline);
            let anew = Introduction::of_request(&record, &message, deadline);
            assert_eq!(renewed.head.path, anew.head.path);
            assert_eq!(renewed.head.caller, anew.head.caller);
            assert!(renewed.head.deadline_ms > 0);
        }
    }
}
