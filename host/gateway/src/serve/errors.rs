//! Everything that ends an exchange without the upstream's answer, and the one
//! table that makes it a status, a stable code and an ending.
//!
//! The body is what [`dialect`](super::dialect) makes of it. Messages never name an upstream's address, a header's value or a policy's inner failure.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tollgate_config::Dialect;
use tollgate_sandbox::{
    PathFault,
    contract::{Ending, Refusal},
};

use tollgate_upstreams::admission::{Reason, Refused as Overloaded};

use super::{carry_on::ClientLeft, dialect, pick::Fault, reply::Reply};

/// Why an exchange ended early.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServeError {
    /// The path could be read in two ways.
    #[error("the path is refused: {0}")]
    Path(#[from] PathFault),
    /// No host, two hosts, or the request line names another one.
    #[error("the `host` header is missing, repeated, malformed or not the one of the request line")]
    Host,
    /// Where the body ends could be read in two ways.
    #[error("the request's framing is ambiguous")]
    Framing,
    /// `CONNECT` and `TRACE`.
    #[error("this method is not served")]
    Method,
    /// An `expect` other than `100-continue`.
    #[error("only `expect: 100-continue` is understood")]
    Expectation,
    /// Names and values together, in bytes.
    #[error("the headers are longer than {0} bytes")]
    HeadersTooLarge(usize),
    /// No route matched.
    #[error("no route matches this request")]
    NoRoute,
    /// In bytes.
    #[error("the request's body is longer than {0} bytes")]
    BodyTooLarge(u64),
    /// The client stopped sending its body.
    #[error("the request's body did not arrive in time")]
    BodyTimeout,
    /// The client's body ended before it was complete.
    #[error("the request's body ended early")]
    BodyBroken,
    /// Something needs the body as JSON.
    #[error("the request's body is not valid JSON: {0}")]
    Json(String),
    /// A body that is needed at hand came compressed.
    #[error("this route reads the request's body and takes no compressed one")]
    EncodedBody,
    /// The route goes by the model and the body names none.
    #[error("the request has to name a `model`, in a JSON body, a form or the path of the API")]
    ModelMissing,
    /// A name of the model beyond this, in bytes.
    #[error("the model's name is longer than {0} bytes")]
    ModelTooLong(usize),
    /// No such model is configured.
    #[error("the model `{0}` does not exist")]
    ModelUnknown(String),
    /// The policy said so.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The policy failed and its `on_error` is `refuse`.
    #[error("the policy `{0}` failed")]
    PolicyFailed(String),
    /// This very process has sent the request before.
    #[error("the request came back to the gateway that sent it")]
    Loop,
    /// Every endpoint of the upstream is out, for so long at least, or it has none.
    #[error("no endpoint of the upstream is available")]
    NoEndpoint(Option<Duration>),
    /// No connection to the upstream.
    #[error("the upstream cannot be reached")]
    UpstreamUnreachable,
    /// No connection to the upstream in time.
    #[error("the upstream cannot be reached in time")]
    ConnectTimeout,
    /// The upstream's answer could not be understood, or it hung up.
    #[error("the upstream failed")]
    UpstreamFailed,
    /// No response head in time.
    #[error("the upstream did not answer in time")]
    FirstByteTimeout,
    /// The upstream fell silent within its body.
    #[error("the upstream fell silent")]
    BetweenBytesTimeout,
    /// Of the whole exchange.
    #[error("the exchange took too long")]
    TotalTimeout,
    /// The same, while an endpoint was awaited for so long.
    #[error("the exchange took too long")]
    Overdue(Duration),
    /// A policy needs the body at hand and it is longer than this, in bytes.
    #[error("the upstream's response is longer than {0} bytes")]
    ResponseTooLarge(usize),
    /// A policy needs to read a body that came compressed.
    #[error("the upstream's response is compressed and a policy has to read it")]
    ResponseEncoded,
    /// A policy needs the body as JSON, and it says that it is.
    #[error("the upstream's response is not the JSON that it says it is: {0}")]
    ResponseMalformed(String),
    /// The stream of events ended without its mark, or was cut.
    #[error("the upstream's stream ended before it was complete")]
    StreamBroken,
    /// Not UTF-8, or an event beyond the limit.
    #[error("the upstream's stream is malformed: {0}")]
    StreamMalformed(Cow<'static, str>),
    /// The client reads slower than others that the answer is shared with.
    #[error("the client fell too far behind others that the answer is shared with")]
    FellBehind,
    /// A protocol that the route lets pass, asked for in a way that can be read otherwise.
    #[error(
        "an upgrade is asked for with GET, no body, one protocol, and what its handshake needs"
    )]
    Upgrade,
    /// As many connections as may be have changed their protocol.
    #[error("too many connections have changed their protocol")]
    TooManyUpgrades,
    /// Nothing passed on such a connection, either way.
    #[error("nothing passed for too long")]
    UpgradeIdle,
    /// The gateway stops, and this had not ended in time.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// It found no place to wait in, or waited too long.
    #[error("{}", turned_away(*.0))]
    Overloaded(Overloaded),
    /// All bodies of requests that are held are as long as they may be.
    #[error("the gateway has no room for the body of the request")]
    BodiesFull,
    /// More exchanges are open than may be.
    #[error("the gateway has too many requests in hand")]
    TooManyExchanges,
    /// Nobody is there to read an answer.
    #[error("the client went away")]
    ClientGone,
}

impl From<ClientLeft> for ServeError {
    fn from(_: ClientLeft) -> Self {
        Self::ClientGone
    }
}

impl ServeError {
    /// The table: status, stable code, how the exchange counts as ended.
    fn entry(&self) -> (u16, &str, Ending) {
        use Ending::{ClientGone, Cut, Refused, TimedOut, UpstreamFailed};
        match self {
            Self::Path(_) => (400, "ambiguous_path", Refused),
            Self::Host => (400, "invalid_host", Refused),
            Self::Framing => (400, "ambiguous_framing", Refused),
            Self::Method => (405, "method_not_allowed", Refused),
            Self::Expectation => (417, "expectation_failed", Refused),
            Self::HeadersTooLarge(_) => (431, "headers_too_large", Refused),
            Self::NoRoute => (404, "route_not_found", Refused),
            Self::BodyTooLarge(_) => (413, "request_too_large", Refused),
            Self::BodyTimeout => (408, "request_timeout", TimedOut),
            Self::BodyBroken => (400, "request_incomplete", ClientGone),
            Self::Json(_) => (400, "invalid_json", Refused),
            Self::EncodedBody => (415, "unsupported_content_encoding", Refused),
            Self::ModelMissing => (400, "model_required", Refused),
            Self::ModelTooLong(_) => (400, "model_name_too_long", Refused),
            Self::ModelUnknown(_) => (404, "model_not_found", Refused),
            Self::Refused(refusal) => (refusal.status, &refusal.code, Refused),
            Self::PolicyFailed(_) => (500, "policy_failed", Refused),
            Self::Loop => (508, "loop_detected", Refused),
            Self::NoEndpoint(_) => (503, "no_endpoint_available", UpstreamFailed),
            Self::UpstreamUnreachable => (502, "upstream_unreachable", UpstreamFailed),
            Self::ConnectTimeout => (504, "upstream_connect_timeout", TimedOut),
            Self::UpstreamFailed => (502, "upstream_failed", UpstreamFailed),
            Self::FirstByteTimeout => (504, "upstream_timeout", TimedOut),
            Self::BetweenBytesTimeout => (504, "upstream_silent", TimedOut),
            Self::TotalTimeout | Self::Overdue(_) => (504, "exchange_timeout", TimedOut),
            Self::ResponseTooLarge(_) => (502, "response_too_large", UpstreamFailed),
            Self::ResponseEncoded => (502, "response_encoded", UpstreamFailed),
            Self::ResponseMalformed(_) => (502, "response_malformed", UpstreamFailed),
            Self::StreamBroken => (502, "stream_broken", UpstreamFailed),
            Self::StreamMalformed(_) => (502, "stream_malformed", UpstreamFailed),
            Self::Overloaded(refused) => match refused.reason {
                Reason::Full => (503, "overloaded", Refused),
                Reason::Share => (429, "too_many_waiting", Refused),
                Reason::Late => (503, "queue_timeout", TimedOut),
            },
            Self::TooManyExchanges | Self::BodiesFull => (503, "overloaded", Refused),
            Self::FellBehind => (504, "fell_behind", TimedOut),
            Self::Upgrade => (400, "invalid_upgrade", Refused),
            Self::TooManyUpgrades => (503, "too_many_upgrades", Refused),
            Self::UpgradeIdle => (504, "upgrade_idle", TimedOut),
            Self::ShuttingDown => (503, "shutting_down", Cut),
            Self::ClientGone => (499, "client_gone", ClientGone),
        }
    }

    /// What the client is sent. A policy's refusal outside of 400 to 599 is a 403.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        let status = self.entry().0;
        StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::FORBIDDEN)
    }

    /// Stable and machine-readable.
    #[must_use]
    pub fn code(&self) -> &str {
        self.entry().1
    }

    /// How the exchange counts as ended.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.entry().2
    }

    /// A policy said so to one request; another's may be let through.
    pub(super) fn is_a_policys(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::PolicyFailed(_))
    }

    /// What an endpoint has to do with it; `None`: nothing. Where the exchange's time ran out it
    /// is to blame if it was awaited for as long as that.
    pub(super) fn fault(&self, blames_after: Duration) -> Option<Fault> {
        match self {
            Self::UpstreamUnreachable => Some(Fault::Connect),
            Self::ConnectTimeout => Some(Fault::ConnectTimeout),
            Self::UpstreamFailed => Some(Fault::Reset),
            Self::FirstByteTimeout => Some(Fault::FirstByteTimeout),
            Self::BetweenBytesTimeout => Some(Fault::Silent),
            Self::Overdue(awaited) if *awaited >= blames_after => Some(Fault::Silent),
            Self::StreamBroken | Self::StreamMalformed(_) | Self::ResponseMalformed(_) => {
                Some(Fault::Broken)
            }
            _ => None,
        }
    }

    /// In seconds.
    fn retry_after(&self) -> Option<u64> {
        let millis = match self {
            Self::Refused(refusal) => u128::from(refusal.retry_after_ms?),
            Self::Overloaded(refused) => refused.retry_after.as_millis(),
            Self::TooManyExchanges
            | Self::BodiesFull
            | Self::TooManyUpgrades
            | Self::ShuttingDown => 1_000,
            Self::NoEndpoint(pause) => {
                let (least, most) = (Duration::from_secs(1), Duration::from_secs(30));
                (*pause)?.clamp(least, most).as_millis()
            }
            _ => return None,
        };
        u64::try_from(millis.div_ceil(1_000)).ok()
    }

    pub(super) fn reply(&self, dialect: Dialect) -> Reply {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(pause) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, pause.into());
        }
        if matches!(self, Self::Method) {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        Reply::at_hand(self.status(), headers, dialect::object(dialect, self))
    }
}

fn turned_away(refused: Overloaded) -> &'static str {
    match refused.reason {
        Reason::Full => "too many requests are waiting already",
        Reason::Share => "too many requests of this caller are waiting already",
        Reason::Late => "the request waited too long for its turn",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::content::Content, *};

    #[test]
    fn an_error_is_the_object_that_openai_clients_expect() {
        let refusal = Refusal {
            status: 429,
            code: "budget_spent".into(),
            message: "no \"tokens\" left".into(),
            retry_after_ms: Some(1_200),
        };
        let reply = ServeError::Refused(refusal).reply(Dialect::OpenAi);
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers["retry-after"], "2");
        let Content::AtHand(body) = reply.content else {
            panic!("no body")
        };
        assert_eq!(
            body,
            r#"{"error":{"message":"no \"tokens\" left","type":"rate_limit_error","param":null,"code":"budget_spent"}}"#
        );
    }

    #[test]
    fn who_is_turned_away_is_told_when_to_come_back() {
        let back = |error: ServeError| {
            let reply = error.reply(Dialect::OpenAi);
            assert_eq!(reply.status, 503);
            let after = reply.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
            after.parse::<u64>().ok()
        };
        for error in [
            ServeError::TooManyExchanges,
            ServeError::BodiesFull,
            ServeError::TooManyUpgrades,
            ServeError::ShuttingDown,
        ] {
            assert_eq!(back(error), Some(1));
        }
        let none = |millis: u64| back(ServeError::NoEndpoint(Some(Duration::from_millis(millis))));
        assert_eq!(
            [0, 1_001, 12_000, 99_000].map(none),
            [1, 2, 12, 30].map(Some)
        );
        assert_eq!(back(ServeError::NoEndpoint(None)), None, "nobody knows");
    }

    #[test]
    fn a_refusal_with_a_status_of_success_is_still_a_refusal() {
        for status in [0, 99, 101, 200, 302, 999, 1000] {
            let refusal = Refusal {
                status,
                code: String::new(),
                message: String::new(),
                retry_after_ms: None,
            };
            assert_eq!(ServeError::Refused(refusal).status(), 403, "{status}");
        }
    }
}
