//! Exchanges through the policy.

use open_inference::OpenInference;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, RawEvent, Target, Verdict,
    testing::{Decided, Exchange, Run, Sent, Session},
};

pub(crate) type Policy = Run<OpenInference>;

pub(crate) fn run(settings: &Value) -> Policy {
    Run::new(settings.clone())
}

/// An OpenAI client, and V2 behind it.
pub(crate) fn of_openai() -> Value {
    json!({
        "client": "openai", "upstream": "open-inference",
        "embeddings": { "input": { "name": "text" }, "output": "embedding" },
        "completions": {},
    })
}

/// The reverse of it.
pub(crate) fn to_openai() -> Value {
    let mut settings = of_openai();
    settings["client"] = "open-inference".into();
    settings["upstream"] = "openai".into();
    settings
}

pub(crate) fn of_seldon() -> Value {
    json!({ "client": "seldon", "upstream": "open-inference" })
}

pub(crate) fn to_seldon() -> Value {
    json!({ "client": "open-inference", "upstream": "seldon" })
}

pub(crate) fn passing() -> Value {
    json!({ "client": "open-inference", "upstream": "open-inference" })
}

/// With these fields set in one of its objects.
pub(crate) fn with(mut settings: Value, pointer: &str, fields: &Value) -> Value {
    let object = settings.pointer_mut(pointer).expect("an object");
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    settings
}

pub(crate) const EMBEDDINGS: &str = "/v1/embeddings";
pub(crate) const COMPLETIONS: &str = "/v1/completions";
pub(crate) const INFER: &str = "/v2/models/m/infer";
pub(crate) const GENERATE: &str = "/v2/models/m/generate";
pub(crate) const GENERATE_STREAM: &str = "/v2/models/m/generate_stream";
pub(crate) const PREDICTIONS: &str = "/seldon/ns/m/api/v1.0/predictions";

pub(crate) fn target(model: Option<&str>) -> Target {
    Target {
        upstream: "up".to_owned(),
        dialect: "opaque".to_owned(),
        model: model.map(str::to_owned),
        attempt: 1,
    }
}

pub(crate) fn posted(path: &str, body: &str) -> Exchange {
    Exchange::chat().to("POST", path).body(body)
}

/// What comes of a request at a target.
pub(crate) fn attempted(run: &Policy, path: &str, body: &str) -> Decided {
    run.open(posted(path, body)).attempt(&target(None))
}

/// The path that is asked, and the body that is sent there.
pub(crate) fn asked(run: &Policy, path: &str, body: &Value) -> (String, Value) {
    asked_text(run, path, &body.to_string())
}

pub(crate) fn asked_text(run: &Policy, path: &str, body: &str) -> (String, Value) {
    let decided = attempted(run, path, body);
    assert!(decided.is_next(), "{:?}", decided.verdict);
    let sent = serde_json::from_slice(decided.body()).unwrap();
    (decided.path().to_owned(), sent)
}

/// The body that is sent, as its text.
pub(crate) fn sent(run: &Policy, path: &str, body: &str) -> String {
    let decided = attempted(run, path, body);
    assert!(decided.is_next(), "{:?}", decided.verdict);
    String::from_utf8(decided.body().to_vec()).unwrap()
}

/// The status and the message of a refusal, in whatever shape it is.
pub(crate) fn refused(decided: &Decided) -> (u16, String) {
    match &decided.verdict {
        Verdict::Refuse(refusal) => (refusal.status, refusal.message.clone()),
        Verdict::Reply(answer) => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let said = body.get("error").or_else(|| body.pointer("/status/info"));
            let message = said.and_then(Value::as_str).expect("an error");
            (answer.status, message.to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// A session whose request was sent.
pub(crate) fn begun(run: &Policy, path: &str, body: &Value) -> Session<OpenInference> {
    let mut session = run.open(posted(path, &body.to_string()));
    let decided = session.attempt(&target(None));
    assert!(decided.is_next(), "{:?}", decided.verdict);
    session
}

pub(crate) fn answered(run: &Policy, path: &str, body: &Value, answer: &Value) -> Value {
    serde_json::from_str(&answered_text(run, path, body, &answer.to_string())).unwrap()
}

pub(crate) fn answered_text(run: &Policy, path: &str, body: &Value, answer: &str) -> String {
    let answer = Answer::new(200)
        .header("content-type", "application/json")
        .body(answer);
    let decided = begun(run, path, body).response(answer);
    assert!(decided.is_next(), "{:?}", decided.verdict);
    String::from_utf8(decided.body().to_vec()).unwrap()
}

pub(crate) fn data(events: &[RawEvent]) -> Vec<Value> {
    let read = |event: &RawEvent| match event.data.as_slice() {
        b"[DONE]" => "[DONE]".into(),
        data => serde_json::from_slice(data).unwrap(),
    };
    events.iter().map(read).collect()
}

pub(crate) fn events(events: &[Value]) -> Vec<RawEvent> {
    events.iter().map(RawEvent::json).collect()
}

/// All that a client is sent for these events, in one batch, and the end.
pub(crate) fn streamed(session: &mut Session<OpenInference>, events: Vec<RawEvent>) -> Vec<Value> {
    let sent = session.events(events);
    let mut all = data(&sent.events);
    if !sent.ended {
        let Sent { events, .. } = session.end();
        all.extend(data(&events));
    }
    all
}
