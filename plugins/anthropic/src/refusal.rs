//! How a client is told that its request goes nowhere, in its own shape.

use tollgate_sdk::{Answer, Verdict};

use crate::{
    fault::Fault,
    problem::{Kind, Problem},
    settings::Side,
};

/// The request cannot be translated.
pub(crate) fn request(fault: &Fault, client: Side) -> Verdict {
    let code = match fault.is_unsupported {
        true => "unsupported_field",
        false => "invalid_request",
    };
    let message = format!("This request cannot be translated: {}.", fault.message);
    refuse(client, (400, code, Kind::InvalidRequest), message)
}

/// The request is none that could be translated.
pub(crate) fn endpoint(client: Side) -> Verdict {
    let message = format!(
        "Behind this model there is no such endpoint, only {}.",
        client.name()
    );
    refuse(
        client,
        (404, "unsupported_endpoint", Kind::NotFound),
        message,
    )
}

/// The upstream's answer cannot be translated.
pub(crate) fn answer(fault: &Fault, client: Side) -> Verdict {
    let message = format!(
        "The upstream's answer cannot be translated: {}.",
        fault.message
    );
    refuse(client, (502, "answer_unreadable", Kind::Api), message)
}

/// The gateway writes refusals in OpenAI's shape alone, so Anthropic's is an answer.
fn refuse(client: Side, (status, code, kind): (u16, &str, Kind), message: String) -> Verdict {
    match client {
        Side::OpenAi => Verdict::refuse(status, code, message),
        Side::Anthropic => {
            let problem = Problem::new(kind, message);
            Verdict::reply(Answer::new(status).json(&problem.to_anthropic()))
        }
    }
}
