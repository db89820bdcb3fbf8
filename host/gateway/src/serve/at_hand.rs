//! Bodies that something has to read: waited for whole, within their bounds, and
//! taken for JSON by what they are and not by what they say.

use std::{future::poll_fn, pin::Pin, task::Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use tollgate_sandbox::{Json, JsonError, RequestFacts, contract::Value};

use super::{
    bodies::Room,
    content::{Content, Flowing},
    errors::ServeError,
    model_name,
    route::Need,
    stall::{Stall, Stalled},
    state::Exchange,
};

/// The longest name of a model, in bytes. It is copied into the instance of every policy,
/// into errors and into the log, and could else be as long as a body.
pub(super) const MODEL_BYTES_MAX: usize = 1024;

/// A name that may go on.
///
/// # Errors
/// One that is too long.
pub(super) fn check_model(model: Option<&str>) -> Result<(), ServeError> {
    match model {
        Some(model) if model.len() > MODEL_BYTES_MAX => {
            Err(ServeError::ModelTooLong(MODEL_BYTES_MAX))
        }
        _ => Ok(()),
    }
}

/// What the route needs to know of a body. One that is not JSON is only an error if
/// it says that it is or begins like it, since an upstream may be more lenient than
/// we are; one that is JSON is read as such whatever it says.
pub(super) fn read(
    content: &Content,
    need: Need,
    headers: &HeaderMap,
    depth_max: usize,
) -> Result<(RequestFacts, Option<Json>), ServeError> {
    let (Content::AtHand(bytes), true) = (content, need > Need::Bytes) else {
        return Ok(Default::default());
    };
    match read_bytes(bytes, need, headers, depth_max) {
        Err(_) if need == Need::Glance => Ok(Default::default()),
        read => read,
    }
}

fn read_bytes(
    bytes: &Bytes,
    need: Need,
    headers: &HeaderMap,
    depth_max: usize,
) -> Result<(RequestFacts, Option<Json>), ServeError> {
    if is_encoded(headers) {
        return Err(ServeError::EncodedBody);
    }
    match parse(bytes, need, depth_max) {
        Ok(read) => check_model(read.0.model.as_deref()).map(|()| read),
        Err(error) if is_json(headers) || begins_like_json(bytes) => {
            Err(ServeError::Json(error.to_string()))
        }
        Err(_) => {
            let model = model_name::in_form(headers, bytes);
            check_model(model.as_deref())?;
            let facts = RequestFacts {
                model,
                ..RequestFacts::default()
            };
            Ok((facts, None))
        }
    }
}

fn parse(
    bytes: &Bytes,
    need: Need,
    depth_max: usize,
) -> Result<(RequestFacts, Option<Json>), JsonError> {
    if need < Need::Json {
        return Ok((RequestFacts::read(bytes, depth_max)?, None));
    }
    let mut json = Json::parse(bytes.clone(), depth_max)?;
    Ok((facts(&mut json), Some(json)))
}

/// What a document says that is taken apart.
pub(super) fn facts(json: &mut Json) -> RequestFacts {
    let model = match json.member("model") {
        Some(Value::Text(model)) => Some(model),
        _ => None,
    };
    let stream = matches!(json.member("stream"), Some(Value::Boolean(true)));
    RequestFacts {
        model,
        stream,
        ..RequestFacts::default()
    }
}

/// Whether a lenient reader might take it for an object or a list.
pub(super) fn begins_like_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// `application/json`, or anything that ends in `+json`.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let kind = kind
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let ends_in = |end: &[u8]| {
        kind.len() > end.len() && kind[kind.len() - end.len()..].eq_ignore_ascii_case(end)
    };
    ends_in(b"/json") || ends_in(b"+json")
}

/// Waits for all of a request's body, if there is room for it.
///
/// # Errors
/// One that is too long, too slow or broken; or there is none.
pub(super) async fn request_at_hand(
    exchange: &mut Exchange,
    content: Content,
) -> Result<Content, ServeError> {
    let Content::ToCome(body) = content else {
        return Ok(content);
    };
    let config = &exchange.generation.config;
    let limits = &config.limits;
    // One that is longer than all may be would never find room.
    let bytes_max = limits
        .request_body_bytes
        .min(limits.request_bodies_bytes as u64);
    let stall = Stall::new(config.timeouts.request_body, exchange.deadline);
    let mut room = Room::of(exchange);
    let grow = |by| room.as_mut().map_or(Ok(()), |room| room.grow(by));
    let collected = collect_within(body, bytes_max, stall, grow);
    let collected = exchange.gone.or(collected).await?;
    match collected {
        Ok(bytes) => {
            exchange.note_body_read();
            Ok(Content::AtHand(match room {
                Some(room) => room.holding(bytes),
                None => bytes,
            }))
        }
        Err(Uncollected::TooLong) => Err(ServeError::BodyTooLarge(bytes_max)),
        Err(Uncollected::Broken(why)) => Err(why.unwrap_or(ServeError::BodyBroken)),
        Err(Uncollected::Stalled(Stalled::Total(_))) => Err(ServeError::TotalTimeout),
        Err(Uncollected::Stalled(_)) => Err(ServeError::BodyTimeout),
    }
}

/// Why a body is not at hand.
pub(super) enum Uncollected {
    TooLong,
    /// And why, where that is known.
    Broken(Option<ServeError>),
    Stalled(Stalled),
}

/// The whole body; not copied if it came in one piece.
pub(super) async fn collect(
    body: impl Flowing,
    bytes_max: u64,
    stall: Stall,
) -> Result<Bytes, Uncollected> {
    collect_within(body, bytes_max, stall, |_| Ok(())).await
}

/// The same, where each piece has to find room.
async fn collect_within(
    mut body: impl Flowing,
    bytes_max: u64,
    mut stall: Stall,
    mut grow: impl FnMut(usize) -> Result<(), ServeError>,
) -> Result<Bytes, Uncollected> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let frame = poll_fn(|context| match Pin::new(&mut body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => stall.poll(context).map(Err),
        });
        let frame = frame.await.map_err(Uncollected::Stalled)?;
        stall.moved();
        let Some(frame) = frame else { break };
        let Ok(frame) = frame else {
            return Err(Uncollected::Broken(body.fault()));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = if more.is_empty() {
            first.len()
        } else {
            more.len()
        } + data.len();
        if length as u64 > bytes_max {
            return Err(Uncollected::TooLong);
        }
        grow(data.len()).map_err(|full| Uncollected::Broken(Some(full)))?;
        if first.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            let expected = body.size_hint().lower().min(bytes_max) as usize;
            more.reserve(first.len() + data.len() + expected);
            more.extend_from_slice(&first);
        }
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() {
        first
    } else {
        more.freeze()
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_limit_of_depth_is_the_configurations_however_little_is_needed() {
        let headers = HeaderMap::new();
        let deep = |levels: usize| {
            let text = format!(
                "{{\"a\":{}{}}}",
                "[".repeat(levels - 1),
                "]".repeat(levels - 1)
            );
            Content::AtHand(Bytes::from(text))
        };
        for need in [Need::Model, Need::Json] {
            for limit in [8, 100] {
                assert!(
                    read(&deep(limit), need, &headers, limit).is_ok(),
                    "{need:?} {limit}"
                );
                assert!(
                    read(&deep(limit + 1), need, &headers, limit).is_err(),
                    "{need:?} {limit}"
                );
            }
        }
    }

    #[test]
    fn a_glance_reads_what_can_be_read_and_refuses_nothing() {
        let mut headers = HeaderMap::new();
        let mut glance = |body: &str, coding: &'static str| {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            let content = Content::AtHand(Bytes::copy_from_slice(body.as_bytes()));
            let (facts, json) = read(&content, Need::Glance, &headers, 8).ok().unwrap();
            assert!(json.is_none());
            (facts.model, facts.stream)
        };
        let good = r#"{"model":"m","stream":true}"#;
        assert_eq!(glance(good, "identity"), (Some("m".into()), true));
        assert_eq!(glance(good, "gzip"), (None, false));
        let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(MODEL_BYTES_MAX + 1));
        for body in ["", "{", "no JSON", "[[[[[[[[[[]]]]]]]]]]", &long] {
            assert_eq!(glance(body, "identity"), (None, false), "{body}");
        }
    }

    #[test]
    fn a_model_has_a_name_of_bounded_length_however_it_is_spelt() {
        let called = |name: &str| {
            let text = format!(r#"{{"messages":[],"model":"{name}"}}"#);
            Content::AtHand(Bytes::from(text))
        };
        let headers = HeaderMap::new();
        for need in [Need::Model, Need::Json] {
            for (letter, bytes) in [("m", 1), ("\\u006d", 1), ("é", 2), ("\\ud83d\\ude00", 4)] {
                let most = letter.repeat(MODEL_BYTES_MAX / bytes);
                let Ok((facts, _)) = read(&called(&most), need, &headers, 64) else {
                    panic!("{letter} {need:?}")
                };
                assert_eq!(facts.model.map(|model| model.len()), Some(MODEL_BYTES_MAX));
                let more = called(&format!("{most}{letter}"));
                let refused = read(&more, need, &headers, 64);
                assert!(
                    matches!(refused, Err(ServeError::ModelTooLong(_))),
                    "{letter} {need:?}"
                );
            }
        }
    }

    #[test]
    fn a_body_counts_as_json_by_what_it_is_and_broken_json_is_an_error_whatever_it_says() {
        let typed = |kind: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
        };
        let good = Content::AtHand(Bytes::from_static(br#"{"model":"m","stream":true}"#));
        let bad = Content::AtHand(Bytes::from_static(b"{\"model\":"));
        for need in [Need::Model, Need::Json] {
            for kind in [
                "application/json; charset=utf-8",
                "application/vnd.x+JSON",
                "text/plain",
            ] {
                let Ok((facts, _)) = read(&good, need, &typed(kind), 64) else {
                    panic!("{kind}")
                };
                assert_eq!(
                    facts,
                    RequestFacts {
                        model: Some("m".into()),
                        stream: true,
                        ..RequestFacts::default()
                    }
                );
            }
            for kind in ["application/json", "text/plain"] {
                assert!(
                    matches!(read(&bad, need, &typed(kind), 64), Err(ServeError::Json(_))),
                    "half an object, said to be {kind}"
                );
            }
            let form = Content::AtHand(Bytes::from_static(b"--edge\r\n"));
            assert!(read(&form, need, &typed("multipart/form-data"), 64).is_ok());
            let mut zipped = typed("application/json");
            zipped.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(matches!(
                read(&bad, need, &zipped, 64),
                Err(ServeError::EncodedBody)
            ));
        }
    }
}
