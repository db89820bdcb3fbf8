//! Why a request is not let through, and what of it a client is told.

use tollgate_sdk::Refusal;

/// Why. Before the signature is known to be good, a client learns that the token is not
/// accepted and no more; which of the reasons it was is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Malformed,
    TooLong,
    /// `none`, a shared secret, or one that is not on the list.
    Algorithm,
    /// `crit`, or a key of its own.
    Header,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    Expired,
    NotYetValid,
    /// One that has to be there is not, or cannot be a fact.
    Claim,
    NoKeys,
}

/// How long until keys are asked for again, at the least.
const NO_KEYS_PAUSE_MS: u32 = 2_000;

impl Refused {
    /// For the access log and the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Claim => "claim",
            Self::NoKeys => "no_keys",
        }
    }

    pub(crate) fn refusal(self, how_to: &str) -> Refusal {
        let (status, code, message) = match self {
            Self::Missing => (401, "missing_token", how_to),
            Self::Malformed
            | Self::TooLong
            | Self::Algorithm
            | Self::Header
            | Self::UnknownKey
            | Self::Signature => (401, "invalid_token", "This token is not accepted."),
            Self::Issuer => (401, "wrong_issuer", "This token is of another issuer."),
            Self::Audience => (401, "wrong_audience", "This token is for another service."),
            Self::Expired => (401, "expired_token", "This token has expired."),
            Self::NotYetValid => (401, "token_not_yet_valid", "This token is not valid yet."),
            Self::Claim => (
                401,
                "unusable_claims",
                "This token lacks a claim that is needed.",
            ),
            Self::NoKeys => (503, "keys_unavailable", "Tokens cannot be checked now."),
        };
        let refusal = Refusal::new(status, code, message);
        match self {
            Self::NoKeys => refusal.retry_after_ms(NO_KEYS_PAUSE_MS),
            _ => refusal,
        }
    }
}
