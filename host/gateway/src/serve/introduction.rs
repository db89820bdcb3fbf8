//! What a session is told of its exchange when it opens.

use tokio::time::Instant;
use tollgate_sandbox::{ExchangeContext, Message, contract::Head};

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
        let fact = |name: &str| {
            facts
                .iter()
                .rev()
                .find(|(fact, _)| fact == name)
                .map(|(_, value)| value.clone())
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let head = Head {
            route: record.route.as_deref().unwrap_or_default().to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            model: record.model.clone(),
            caller: fact("caller"),
            tier: fact("tier"),
            streaming: record.streaming,
            body_bytes: record.bytes_in,
            deadline_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
        };
        let context = ExchangeContext {
            request_id: record.id.as_str().into(),
            deadline: deadline.into_std(),
        };
        Self { head, context }
    }
}
