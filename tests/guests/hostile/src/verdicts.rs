//! Decisions that do not hold.

use crate::{
    forgery, next,
    plan::Plan,
    set_header,
    tollgate::policy::types::{
        Answer, Decision, Destination, Edit, Header, Refusal, Value, Verdict,
    },
};

/// The decision that the plan asks for, if it asks for one.
pub fn made(plan: &Plan) -> Option<Decision> {
    let (text, amount) = (plan.text.as_str(), plan.amount as usize);
    let edit = match plan.mode.as_str() {
        "header-value" => set_header("x-evil", text.as_bytes()),
        "header-bytes" => set_header("x-evil", &[0xff, 0x00, 0x80]),
        "header-long" => set_header("x-evil", &vec![b'x'; amount]),
        "header-name" => set_header(text, b"1"),
        "append-name" => Edit::AppendHeader(Header {
            name: text.to_owned(),
            value: b"1".to_vec(),
        }),
        "remove-name" => Edit::RemoveHeader(text.to_owned()),
        "method" => Edit::SetMethod(text.to_owned()),
        "path" => Edit::SetPath(text.to_owned()),
        "set-status" => Edit::SetStatus(plan.amount as u16),
        "body" => Edit::ReplaceBody(vec![b'x'; amount]),
        "json-pointer" => Edit::SetJson((text.to_owned(), Value::Boolean(true))),
        "json-text" => Edit::SetJson(("/a".to_owned(), Value::Json(text.to_owned()))),
        "json-number" => Edit::SetJson(("/a".to_owned(), Value::Number(f64::NAN))),
        "fact-name" => Edit::SetFact((text.to_owned(), "1".to_owned())),
        "fact-long" => Edit::SetFact(("f".to_owned(), "x".repeat(amount))),
        _ => return verdict(plan),
    };
    Some(next(vec![edit]))
}

fn verdict(plan: &Plan) -> Option<Decision> {
    let (text, amount) = (plan.text.as_str(), plan.amount as usize);
    let answer = |status, headers, body| {
        Verdict::Reply(Answer {
            status,
            headers,
            body,
        })
    };
    let verdict = match plan.mode.as_str() {
        "edits" => return Some(next((0..amount).map(|_| set_header("x", b"1")).collect())),
        mode if mode.starts_with("forged-") => return Some(next(forgery::edits(mode, amount))),
        "reply-status" => answer(plan.amount as u16, Vec::new(), Vec::new()),
        "reply-no-content" => answer(204, Vec::new(), b"body".to_vec()),
        "reply-header" => answer(
            200,
            vec![Header {
                name: text.to_owned(),
                value: b"1".to_vec(),
            }],
            Vec::new(),
        ),
        "reply-value" => answer(
            200,
            vec![Header {
                name: "x-evil".to_owned(),
                value: text.as_bytes().to_vec(),
            }],
            Vec::new(),
        ),
        "refuse-status" => Verdict::Refuse(Refusal {
            status: plan.amount as u16,
            code: "no".to_owned(),
            message: "no".to_owned(),
            retry_after_ms: None,
        }),
        "go-to" => Verdict::GoTo(Destination {
            model: Some(text.to_owned()),
            upstream: Some(text.to_owned()),
        }),
        _ => return None,
    };
    Some(Decision {
        verdict,
        edits: Vec::new(),
    })
}
