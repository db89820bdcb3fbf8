//! One request a policy: what the client sent, what reached the upstream, what came back.
//!
//! The differences are found by comparing both ends, so they are what happened and
//! not what was meant to happen; each scene also says what has to be among them.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::standin::{HEADER, Standin};

/// How a scene's request is found again at the upstream.
const SCENE: &str = "x-demo-scene";
const SHORT: usize = 90;

pub(super) const KEY: &str = "demo-key-ada";
pub(super) const TRIAL_KEY: &str = "demo-key-bob";

/// What a scene showed.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) policy: &'static str,
    pub(super) what: &'static str,
    pub(super) status: u16,
    /// The error's code, if it was refused.
    pub(super) code: Option<String>,
    pub(super) reached_upstream: bool,
    pub(super) changes: Vec<Change>,
    /// What should have happened and did not.
    pub(super) missing: Option<&'static str>,
}

/// A difference between one end and the other.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) side: Side,
    /// A header's name, or a JSON pointer.
    pub(super) at: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Request,
    Answer,
}

struct Scene {
    policy: &'static str,
    what: &'static str,
    key: Option<&'static str>,
    body: Value,
    /// Which changes are this policy's.
    owns: fn(&str) -> bool,
    /// Asked again and again until it is refused.
    until_refused: bool,
    /// What is wrong with what was shown, if anything.
    check: fn(&Shown) -> Option<&'static str>,
}

fn chat(extra: Value) -> Value {
    let mut body = json!({ "model": "assistant", "messages": [{ "role": "user", "content": "Name three rivers." }] });
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    body
}

fn is_caller(at: &str) -> bool {
    at == "authorization"
}

fn is_greeting(at: &str) -> bool {
    ["/greeting", "x-standin-mark"].contains(&at)
}

fn scenes() -> [Scene; 5] {
    let scene = |policy, what, body, check| Scene {
        policy,
        what,
        key: Some(KEY),
        body,
        owns: |at| !is_caller(at) && !is_greeting(at),
        until_refused: false,
        check,
    };
    [
        Scene {
            key: None,
            ..scene(
                "callers",
                "A request without a key",
                chat(json!({})),
                |shown| {
                    let refused = shown.status == 401 && !shown.reached_upstream;
                    (!refused).then_some("it should have been refused with 401 before the upstream")
                },
            )
        },
        Scene {
            owns: is_caller,
            ..scene(
                "callers",
                "A request with a key",
                chat(json!({})),
                |shown| {
                    let removed = shown
                        .changes
                        .iter()
                        .any(|change| change.at == "authorization" && change.after.is_none());
                    (!removed).then_some("the key should not have reached the upstream")
                },
            )
        },
        scene(
            "rules",
            "A request for the model `assistant`",
            chat(json!({ "temperature": 1.9 })),
            |shown| {
                let changed = |at: &str| shown.changes.iter().any(|change| change.at == at);
                (!changed("/model") || !changed("/temperature"))
                    .then_some("model and temperature should have been changed")
            },
        ),
        Scene {
            owns: is_greeting,
            ..scene(
                "greeting",
                "A streamed request",
                chat(json!({ "stream": true })),
                |shown| {
                    let added = shown
                        .changes
                        .iter()
                        .any(|change| change.side == Side::Answer && change.at == "/greeting");
                    (!added).then_some("the stream's events should carry a greeting")
                },
            )
        },
        Scene {
            key: Some(TRIAL_KEY),
            owns: |_| false,
            until_refused: true,
            ..scene(
                "budget",
                "A caller on trial who does not stop",
                chat(json!({})),
                |shown| (shown.status != 429).then_some("the budget should have run out"),
            )
        },
    ]
}

/// Plays all scenes against a gateway in front of this stand-in.
pub(super) async fn play(gateway: SocketAddr, standin: &Standin) -> anyhow::Result<Vec<Shown>> {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let mut all = Vec::new();
    for (number, scene) in scenes().into_iter().enumerate() {
        let mut shown = one(&client, gateway, standin, &scene, &format!("{number}")).await?;
        let mut again = 0;
        while scene.until_refused && shown.status == 200 && again < 100 {
            again += 1;
            shown = one(
                &client,
                gateway,
                standin,
                &scene,
                &format!("{number}-{again}"),
            )
            .await?;
        }
        shown.missing = (scene.check)(&shown);
        all.push(shown);
    }
    Ok(all)
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

async fn one(
    client: &HttpClient,
    gateway: SocketAddr,
    standin: &Standin,
    scene: &Scene,
    mark: &str,
) -> anyhow::Result<Shown> {
    let mut request = Request::post(format!("http://{gateway}/v1/chat/completions"))
        .header("content-type", "application/json")
        .header(HEADER, "tokens=6,pace=1ms")
        .header(SCENE, mark);
    if let Some(key) = scene.key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(Full::new(Bytes::from(scene.body.to_string())))?;
    let sent_headers = request.headers().clone();
    let response = client
        .request(request)
        .await
        .context("the gateway did not answer")?;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .context("the answer broke off")?
        .to_bytes();
    let answer = first_json(&body);

    let seen = standin.seen();
    let arrived = seen.with_header(SCENE, mark);
    let mut changes = Vec::new();
    if let Some(arrived) = arrived {
        for name in ["authorization", "x-standin-mark"] {
            let before = sent_headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            let after = arrived.header(name).map(str::to_owned);
            note(
                &mut changes,
                (Side::Request, name.to_owned()),
                before,
                after,
            );
        }
        compare(
            &mut changes,
            Side::Request,
            &mut String::new(),
            Some(&scene.body),
            Some(&arrived.json()),
        );
        if let Some(greeting) = answer.pointer("/greeting") {
            note(
                &mut changes,
                (Side::Answer, "/greeting".to_owned()),
                None,
                Some(greeting.to_string()),
            );
        }
    }
    changes.retain(|change| (scene.owns)(&change.at));
    Ok(Shown {
        policy: scene.policy,
        what: scene.what,
        status,
        code: answer
            .pointer("/error/code")
            .and_then(Value::as_str)
            .map(str::to_owned),
        reached_upstream: arrived.is_some(),
        changes,
        missing: None,
    })
}

/// A plain answer, or the first event of a stream.
fn first_json(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let first = text
        .lines()
        .find_map(|line| line.strip_prefix("data:"))
        .unwrap_or(&text);
    serde_json::from_str(first.trim()).unwrap_or(Value::Null)
}

fn note(
    changes: &mut Vec<Change>,
    (side, at): (Side, String),
    before: Option<String>,
    after: Option<String>,
) {
    if before != after {
        changes.push(Change {
            side,
            at,
            before: before.map(shorten),
            after: after.map(shorten),
        });
    }
}

/// Notes every place where two documents differ. Of lists, only what was put in front
/// is told apart; otherwise they differ as a whole.
fn compare(
    changes: &mut Vec<Change>,
    side: Side,
    at: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    if let (Some(Value::Array(old)), Some(Value::Array(new))) = (before, after)
        && let Some(in_front) = new.strip_suffix(old.as_slice())
    {
        for (index, item) in in_front.iter().enumerate() {
            note(
                changes,
                (side, format!("{at}/{index}")),
                None,
                Some(item.to_string()),
            );
        }
        return;
    }
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) else {
        let show = |value: Option<&Value>| value.map(Value::to_string);
        return note(changes, (side, at.clone()), show(before), show(after));
    };
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let length = at.len();
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        compare(changes, side, at, old.get(name), new.get(name));
        at.truncate(length);
    }
}

/// Messages are long: their first characters are enough to know them by.
fn shorten(text: String) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_of_two_documents_is_noted_by_its_pointer() {
        let before =
            json!({ "model": "a", "same": 1, "gone": true, "deep": { "x/y": 1 }, "list": [1] });
        let after =
            json!({ "model": "b", "same": 1, "deep": { "x/y": 2 }, "list": [0, 1], "new": [] });
        let mut changes = Vec::new();
        compare(
            &mut changes,
            Side::Request,
            &mut String::new(),
            Some(&before),
            Some(&after),
        );
        let places: Vec<_> = changes
            .iter()
            .map(|change| {
                (
                    change.at.as_str(),
                    change.before.as_deref(),
                    change.after.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                ("/model", Some("\"a\""), Some("\"b\"")),
                ("/gone", Some("true"), None),
                ("/deep/x~1y", Some("1"), Some("2")),
                ("/list/0", None, Some("0")),
                ("/new", None, Some("[]")),
            ]
        );
    }
}
