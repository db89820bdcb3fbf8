//! What of an answer is worth keeping: a whole success, and what describes it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::de::IgnoredAny;
use serde_json::Value;
use tollgate_capabilities::{KeptAnswer, cache::Form};
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::CacheKind;

use super::{
    super::{
        at_hand::{is_encoded, is_json},
        reply::Watch,
        sse::{Frame, Framer, Rest},
    },
    chat,
    flight::Head,
};

/// The answer as it is kept; `None`: it is none to be given to others.
pub(in crate::serve) fn keep(head: &Head, chunks: &[Bytes], kind: CacheKind) -> Option<KeptAnswer> {
    if head.status != StatusCode::OK || !head.is_upstreams || !may_be_kept(&head.headers) {
        return None;
    }
    // A copy: what came in one piece is a view into the connection's whole buffer.
    let body = Bytes::from(chunks.concat());
    let form = match head.watch {
        _ if body.is_empty() => return None,
        Watch::Events(end) => Form::Stream {
            ends: ends(&body)?,
            ends_with_done: end == StreamEnd::DoneEvent,
        },
        Watch::Nothing | Watch::Usage => Form::Document,
    };
    let answer = KeptAnswer {
        status: head.status.as_u16(),
        headers: described(&head.headers),
        body,
        form,
    };
    is_success(&answer, &head.headers, kind).then_some(answer)
}

fn may_be_kept(headers: &HeaderMap) -> bool {
    let varies = headers.get_all(header::VARY).iter();
    let differs_always = |vary: &[u8]| {
        vary.split(|byte| *byte == b',')
            .any(|name| name.trim_ascii() == b"*")
    };
    !is_encoded(headers)
        && !varies
            .into_iter()
            .any(|vary| differs_always(vary.as_bytes()))
}

/// What describes the body. The rest is about the exchange that it came in: its id, its
/// cookies, its limits.
pub(super) fn described(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let kept = headers.iter().filter(|(name, _)| {
        matches!(
            **name,
            header::CONTENT_TYPE | header::CONTENT_LANGUAGE | header::CONTENT_DISPOSITION
        )
    });
    kept.map(|(name, value)| {
        let value = Bytes::copy_from_slice(value.as_bytes());
        (name.as_str().to_owned(), value)
    })
    .collect()
}

/// Where each event ends; `None`: it is not whole events, or one of them is an error.
fn ends(body: &Bytes) -> Option<Vec<u32>> {
    let mut ends = Vec::new();
    let mut end = 0;
    for frame in frames(body)? {
        end += u32::try_from(frame.raw.len()).ok()?;
        ends.push(end);
        let is_failure = matches!(
            frame.name(),
            Some("response.failed" | "response.incomplete" | "error")
        );
        if is_failure || (frame.event.is_some() && is_error(&frame.data())) {
            return None;
        }
    }
    Some(ends)
}

/// The events of a whole stream.
pub(in crate::serve) fn frames(body: &Bytes) -> Option<Vec<Frame>> {
    let mut framer = Framer::new(body.len());
    framer.feed(body.clone());
    let mut frames = Vec::new();
    while let Some(frame) = framer.next_frame().ok()? {
        frames.push(frame);
    }
    match framer.finish().ok()? {
        Rest::Nothing => {}
        Rest::Frame(frame) => frames.push(frame),
        Rest::Partial(_) => return None,
    }
    Some(frames)
}

/// Some servers say in the middle of a success that it is none.
fn is_error(data: &[u8]) -> bool {
    let has_word = memchr::memmem::find(data, b"\"error\"").is_some();
    has_word
        && serde_json::from_slice::<Value>(data)
            .is_ok_and(|document| document.get("error").is_some_and(|error| !error.is_null()))
}

fn is_success(answer: &KeptAnswer, headers: &HeaderMap, kind: CacheKind) -> bool {
    match (kind, &answer.form) {
        (CacheKind::ChatCompletion, Form::Stream { .. }) => chat::document_of(answer).is_some(),
        (CacheKind::ChatCompletion, Form::Document) => chat::is_whole(&answer.body),
        (CacheKind::AsItCame, Form::Stream { .. }) => true,
        (CacheKind::AsItCame, Form::Document) if is_json(headers) => {
            serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok() && !is_error(&answer.body)
        }
        (CacheKind::AsItCame, Form::Document) => true,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn head(kind: &'static str, watch: Watch) -> Head {
        Head {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::SET_COOKIE, HeaderValue::from_static("a=1")),
                (header::SERVER, HeaderValue::from_static("s")),
            ]),
            watch,
            length: None,
            is_upstreams: true,
            stream_usage: false,
            source: super::super::flight::Source::default(),
        }
    }

    fn kept(head: &Head, body: &'static str, kind: CacheKind) -> Option<KeptAnswer> {
        keep(head, &[Bytes::from_static(body.as_bytes())], kind)
    }

    #[test]
    fn what_describes_the_body_is_kept_and_nothing_of_the_exchange() {
        let head = head("text/plain", Watch::Nothing);
        let answer = kept(&head, "hello", CacheKind::AsItCame).unwrap();
        let headers: Vec<_> = answer.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(headers, ["content-type"]);
        assert_eq!(answer.form, Form::Document);
    }

    #[test]
    fn what_is_kept_holds_no_more_memory_than_it_counts() {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        let piece = buffer.slice(..10);
        let head = head("text/plain", Watch::Nothing);
        let answer = keep(&head, &[piece], CacheKind::AsItCame).unwrap();
        assert!(!buffer.as_ptr_range().contains(&answer.body.as_ptr()));
    }

    #[test]
    fn what_is_no_success_or_not_for_everybody_is_not_kept() {
        let plain = || head("application/json", Watch::Usage);
        let as_it_came = CacheKind::AsItCame;
        assert!(kept(&plain(), "{}", as_it_came).is_some());
        assert!(kept(&plain(), "", as_it_came).is_none());
        assert!(kept(&plain(), r#"{"error":{"code":1}}"#, as_it_came).is_none());
        assert!(kept(&plain(), r#"{"data":[{"emb"#, as_it_came).is_none());
        assert!(kept(&plain(), r#"{"error":null}"#, as_it_came).is_some());
        assert!(kept(&plain(), r#"{"text":"\"error\""}"#, as_it_came).is_some());
        for status in [201, 206, 301, 404, 429, 500] {
            let mut head = plain();
            head.status = StatusCode::from_u16(status).unwrap();
            assert!(kept(&head, "{}", as_it_came).is_none(), "{status}");
        }
        for (name, value) in [("content-encoding", "gzip"), ("vary", "accept, *")] {
            let mut head = plain();
            head.headers.insert(name, HeaderValue::from_static(value));
            assert!(kept(&head, "{}", as_it_came).is_none(), "{name}");
        }
        let mut head = plain();
        head.is_upstreams = false;
        assert!(kept(&head, "{}", as_it_came).is_none());
    }

    #[test]
    fn a_stream_is_kept_by_whole_events() {
        let head = head("text/event-stream", Watch::Events(StreamEnd::Transport));
        let stream = ":ping\n\ndata: a\r\n\r\nevent: x\ndata: b\n\n";
        let answer = kept(&head, stream, CacheKind::AsItCame).unwrap();
        let Form::Stream {
            ends,
            ends_with_done,
        } = answer.form
        else {
            panic!("a stream")
        };
        assert_eq!((ends, ends_with_done), (vec![6, 7, 18, 36], false));
        assert!(kept(&head, "data: a\n\ndata: b", CacheKind::AsItCame).is_none());
        let failed = "event: response.failed\ndata: {\"response\":{}}\n\n";
        assert!(kept(&head, failed, CacheKind::AsItCame).is_none());
        let failed = "data: a\n\ndata: {\"error\":{\"message\":\"no\"}}\n\n";
        assert!(kept(&head, failed, CacheKind::AsItCame).is_none());
    }
}
