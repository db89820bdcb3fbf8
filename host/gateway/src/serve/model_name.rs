//! Where a request that has no JSON body names its model: in its path, or in a form.
//!
//! The paths are those of the Open Inference Protocol and of KServe V1, and OpenAI's
//! `/v1/realtime`, whose query has it; the form is the `multipart/form-data` (RFC 7578) that
//! OpenAI's audio and image edits come as.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Unreserved characters of a path segment (RFC 3986) stay as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Headers of one part of a form beyond this are not looked into, in bytes.
const PART_HEAD_MAX: usize = 4096;

/// What a path says of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InPath {
    /// Nothing: the body may.
    Nothing,
    Model(String),
    /// It names one in a way that is not understood. A body that names another is not
    /// believed then: the upstream would go by the path.
    Unclear,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    At(Range<usize>),
    Unclear,
}

/// Where the path names a model: in `/v2/models/NAME…`, `/v1/models/NAME:VERB`, or with
/// `/versions/VERSION` before the verb; or the query of `/v1/realtime`.
fn place_in_path(path: &str) -> Place {
    const V2: &str = "/v2/models/";
    const V1: &str = "/v1/models/";
    const REALTIME: &str = "/v1/realtime";
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.ends_with(REALTIME) && !path.contains("/models/") {
        return place_in_query(query, path.len() + 1);
    }
    let mut found = path.match_indices("/models/");
    let (Some((at, segment)), None) = (found.next(), found.next()) else {
        return match path.contains("/models/") || path.contains("/v2/repository") {
            true => Place::Unclear,
            false => Place::Nowhere,
        };
    };
    let start = at + segment.len();
    let rest = &path[start..];
    let name = if path[..start].ends_with(V2) {
        rest.split('/')
            .next()
            .filter(|_| !rest.starts_with("versions/"))
    } else if path[..start].ends_with(V1) {
        name_before_verb(rest)
    } else {
        None
    };
    match name {
        // What follows a `;` is left out by some.
        Some(name) if !name.is_empty() && !name.contains(';') => {
            Place::At(start..start + name.len())
        }
        _ => Place::Unclear,
    }
}

/// The one parameter `model` of a query that begins at `start`.
fn place_in_query(query: &str, mut start: usize) -> Place {
    let mut found = Place::Nowhere;
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        // What some take for the end of a parameter, or for a space, may hide a name.
        let is_plain = name == decoded && !value.contains(['+', ';']);
        if decoded.trim().eq_ignore_ascii_case("model") || parameter.contains(';') {
            let is_first = found == Place::Nowhere;
            if !is_first || !is_plain || name != "model" || value.is_empty() {
                return Place::Unclear;
            }
            let at = start + name.len() + 1;
            found = Place::At(at..at + value.len());
        }
        start += parameter.len() + 1;
    }
    found
}

fn name_before_verb(rest: &str) -> Option<&str> {
    let verbs = ["predict", "explain", "classify", "regress"];
    let mut before = verbs
        .iter()
        .find_map(|verb| rest.strip_suffix(verb)?.strip_suffix(':'))?;
    if let Some((name, version)) = before.split_once("/versions/") {
        if version.contains('/') {
            return None;
        }
        before = name;
    }
    (!before.contains('/')).then_some(before)
}

/// The model that a path with its query names.
pub(super) fn in_path(path: &str) -> InPath {
    match place_in_path(path) {
        Place::Nowhere => InPath::Nothing,
        Place::Unclear => InPath::Unclear,
        Place::At(place) => match percent_decode_str(&path[place]).decode_utf8() {
            Ok(name) if !name.contains(';') => InPath::Model(name.into_owned()),
            _ => InPath::Unclear,
        },
    }
}

/// The path with another model's name in its place, or `None` if it names none.
pub(super) fn put_in_path(path: &str, name: &str) -> Option<String> {
    let Place::At(place) = place_in_path(path) else {
        return None;
    };
    let encoded = utf8_percent_encode(name, SEGMENT);
    Some(format!(
        "{}{encoded}{}",
        &path[..place.start],
        &path[place.end..]
    ))
}

/// Whether the headers announce a form of any kind, well or not.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let forms: [&[u8]; 2] = [b"multipart/", b"application/x-www-form-urlencoded"];
    kinds.into_iter().any(|kind| {
        let kind = kind.as_bytes().trim_ascii_start();
        forms.iter().any(|form| {
            kind.get(..form.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(form))
        })
    })
}

/// The boundary, if the headers announce a form. One line, one parameter, and nothing in
/// it that has to be unquoted: what is spelt otherwise is read in several ways.
fn boundary(headers: &HeaderMap) -> Option<&str> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = kinds.next()?.to_str().ok()?;
    if kinds.next().is_some() {
        return None;
    }
    let (essence, parameter) = kind.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("boundary") {
        return None;
    }
    let value = value.trim();
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'+_-.=".contains(&byte);
    // RFC 2046, section 5.1.1.
    let is_good = (1..=70).contains(&value.len()) && value.bytes().all(is_plain);
    is_good.then_some(value)
}

/// Where a form has the value of its field `model`, if it can be read in one way only.
///
/// What an upstream's parser might see and this one does not would let a model pass under
/// another's name, so anything out of the ordinary counts as no model at all.
fn place_in_form(headers: &HeaderMap, body: &[u8]) -> Option<Range<usize>> {
    let line = format!("--{}", boundary(headers)?);
    let mut found = None;
    let mut part: Option<usize> = None;
    for at in memmem::find_iter(body, &line) {
        let before = &body[..at];
        if !(at == 0 || before.ends_with(b"\r\n")) {
            // A lenient parser might take it for a boundary.
            if before.ends_with(b"\n") || before.ends_with(b"\r") {
                return None;
            }
            continue;
        }
        if let Some(start) = part {
            let value = value_of_model(body.get(start..at.checked_sub(2)?)?)?;
            if let Some(value) = value {
                let value = start + value.start..start + value.end;
                if found.replace(value).is_some() {
                    return None;
                }
            }
        }
        match &body[at + line.len()..] {
            [b'-', b'-', ..] => return found,
            [b'\r', b'\n', ..] => part = Some(at + line.len() + 2),
            _ => return None,
        }
    }
    None
}

/// Where one part has its value, if it is the field `model`. `None`: it cannot be told.
#[expect(
    clippy::option_option,
    reason = "no answer, and the answer that there is none"
)]
fn value_of_model(part: &[u8]) -> Option<Option<Range<usize>>> {
    const END: &[u8] = b"\r\n\r\n";
    let head = memmem::find(&part[..part.len().min(PART_HEAD_MAX)], END)?;
    let is_model = is_model(&part[..head])?;
    Some(is_model.then(|| head + END.len()..part.len()))
}

/// Whether a part's headers name it `model`, and it is no file. `None`: it cannot be told.
fn is_model(head: &[u8]) -> Option<bool> {
    const NAME: &[u8] = b"content-disposition:";
    let mut disposition = None;
    for line in head.split(|byte| *byte == b'\n') {
        // Folded, or ended otherwise than by CR LF: obsolete, and read in several ways.
        if line.starts_with(b" ") || line.starts_with(b"\t") || line.contains(&0) {
            return None;
        }
        let Some((name, value)) = line.split_at_checked(NAME.len()) else {
            continue;
        };
        if name.eq_ignore_ascii_case(NAME) && disposition.replace(value).is_some() {
            return None;
        }
    }
    let mut rest = disposition?.trim_ascii();
    rest = rest.strip_prefix(b"form-data")?;
    let mut named = None;
    let mut is_file = false;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(named? == b"model" && !is_file);
        }
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        let equals = memchr::memchr(b'=', rest)?;
        let (parameter, value) = (&rest[..equals], &rest[equals + 1..]);
        let length;
        let text: &[u8];
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let end = end_of_quoted(quoted)?;
            (text, length) = (&quoted[..end], end + 2);
        } else {
            length = memchr::memchr(b';', value).unwrap_or(value.len());
            text = value[..length].trim_ascii();
        }
        rest = &value[length..];
        match parameter {
            b"name" if text.contains(&b'\\') || named.replace(text).is_some() => return None,
            b"name" => {}
            b"filename" | b"filename*" => is_file = true,
            _ => return None,
        }
    }
}

fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The model that a form names.
pub(super) fn in_form(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let value = &body[place_in_form(headers, body)?];
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// The form with another model's name in its place, or `None` if it names none.
pub(super) fn put_in_form(headers: &HeaderMap, body: &[u8], name: &str) -> Option<Bytes> {
    let place = place_in_form(headers, body)?;
    // A line break would begin another part.
    if name.contains(['\r', '\n']) {
        return None;
    }
    Some(
        [&body[..place.start], name.as_bytes(), &body[place.end..]]
            .concat()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_path_of_the_open_inference_protocol_names_the_model() {
        for (path, model) in [
            ("/v2/models/iris/infer", Some("iris")),
            ("/v2/models/iris", Some("iris")),
            (
                "/v2/models/iris/versions/3/infer?x=/v2/models/y",
                Some("iris"),
            ),
            ("/front/v2/models/a%20b/ready", Some("a b")),
            ("/v1/models/iris:predict", Some("iris")),
            ("/v1/models/a:b:explain", Some("a:b")),
            ("/v1/models/iris/versions/3:predict", Some("iris")),
            ("/v1/models/iris:classify", Some("iris")),
            ("/v2/health/ready", None),
            ("/v1/models", None),
            ("/v1/chat/completions?x=/v2/models/y/infer", None),
        ] {
            let said = model.map_or(InPath::Nothing, |model| InPath::Model(model.to_owned()));
            assert_eq!(in_path(path), said, "{path}");
        }
    }

    #[test]
    fn a_path_that_names_a_model_in_another_way_leaves_the_word_to_nobody() {
        for path in [
            "/v1/models/iris",
            "/v1/models/:predict",
            "/v1/models/a/b:predict",
            "/v1/models/a/versions/1/x:predict",
            "/v1/models/a:predict/",
            "/v1/models/a:unknown",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/a;-mini/infer",
            "/v2/models/a%3B-mini/infer",
            "/v2/models/%ff/infer",
            "/v2/models/a/v2/models/b/infer",
            "/v2/repository/models/a/unload",
            "/v2/repository/index",
            "/v1beta/models/a:generateContent",
        ] {
            assert_eq!(in_path(path), InPath::Unclear, "{path}");
        }
    }

    #[test]
    fn another_name_takes_the_place_of_the_one_in_the_path_and_stays_one_segment() {
        let put = |path, name| put_in_path(path, name);
        assert_eq!(
            put("/v2/models/a/versions/1/infer?q=1", "org/b c").as_deref(),
            Some("/v2/models/org%2Fb%20c/versions/1/infer?q=1")
        );
        assert_eq!(
            put("/v1/models/a:predict", "b-2").as_deref(),
            Some("/v1/models/b-2:predict")
        );
        assert_eq!(put("/v1/chat/completions", "b"), None);
    }

    #[test]
    fn the_query_of_the_realtime_path_names_the_model_once_or_leaves_it_unclear() {
        for (path, said) in [
            ("/v1/realtime?model=gpt-x", InPath::Model("gpt-x".into())),
            (
                "/v1/realtime?a=b&model=org%2Fx&c",
                InPath::Model("org/x".into()),
            ),
            ("/openai/v1/realtime?model=x", InPath::Model("x".into())),
            ("/v1/realtime", InPath::Nothing),
            ("/v1/realtime?intent=transcription", InPath::Nothing),
            ("/v1/realtime/sessions?model=x", InPath::Nothing),
            ("/v1/realtime?model=a&model=b", InPath::Unclear),
            ("/v1/realtime?model=a&MODEL=b", InPath::Unclear),
            ("/v1/realtime?model=a&mod%65l=b", InPath::Unclear),
            ("/v1/realtime?mod%65l=b", InPath::Unclear),
            ("/v1/realtime?model=a;model=b", InPath::Unclear),
            ("/v1/realtime?x=1;model=b", InPath::Unclear),
            ("/v1/realtime?model=a+b", InPath::Unclear),
            ("/v1/realtime?model=", InPath::Unclear),
            ("/v1/realtime?model", InPath::Unclear),
            ("/v1/realtime?model=%ff", InPath::Unclear),
        ] {
            assert_eq!(in_path(path), said, "{path}");
        }
        assert_eq!(
            put_in_path("/v1/realtime?a=b&model=x&c=d", "o/y&z").as_deref(),
            Some("/v1/realtime?a=b&model=o%2Fy%26z&c=d")
        );
    }

    fn form(kind: &str, body: &str) -> (HeaderMap, String) {
        let kind = HeaderValue::from_str(kind).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        (headers, body.replace('\n', "\r\n"))
    }

    const WHISPER: &str = "--x\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\nContent-Type: audio/wav\n\nRIFF\n\n--y\n--x\ncontent-disposition: form-data; name=\"model\"\n\nwhisper-1\n--x--\n";

    #[test]
    fn a_form_names_the_model_in_its_field_and_in_no_file() {
        for kind in [
            "multipart/form-data; boundary=x",
            "Multipart/Form-Data;Boundary=\"x\"",
        ] {
            let (headers, body) = form(kind, WHISPER);
            assert_eq!(
                in_form(&headers, body.as_bytes()).as_deref(),
                Some("whisper-1")
            );
            let renamed = put_in_form(&headers, body.as_bytes(), "w").unwrap();
            assert_eq!(renamed, body.replace("whisper-1", "w"));
        }
        let headed = format!("nothing\n{WHISPER}");
        let (headers, body) = form("multipart/form-data; boundary=x", &headed);
        assert_eq!(
            in_form(&headers, body.as_bytes()).as_deref(),
            Some("whisper-1")
        );
        assert_eq!(put_in_form(&headers, body.as_bytes(), "a\r\n--x"), None);
    }

    #[test]
    fn a_form_that_could_be_read_in_two_ways_or_is_none_names_no_model() {
        let unfinished = WHISPER.trim_end_matches("--x--\n");
        let twice = WHISPER.replace(
            "--x--",
            "--x\nContent-Disposition: form-data; name=model\n\nb\n--x--",
        );
        for (kind, body) in [
            ("multipart/form-data; boundary=x", twice.as_str()),
            ("multipart/form-data; boundary=z", WHISPER),
            ("multipart/form-data", WHISPER),
            ("multipart/form-data; boundary=", WHISPER),
            ("multipart/form-data; boundary=x; boundary=y", WHISPER),
            ("multipart/form-data; boundary=y; boundary=x", WHISPER),
            ("multipart/form-data; charset=utf-8; boundary=x", WHISPER),
            ("multipart/form-data; boundary=\"x;y\"", WHISPER),
            ("multipart/form-data; boundary=\"x", WHISPER),
            ("multipart/form-data; boundary=\\x", WHISPER),
            ("multipart/mixed; boundary=x", WHISPER),
            ("multipart/form-data; boundary=x", "--x"),
            ("multipart/form-data; boundary=x", "--x\nno end"),
            ("multipart/form-data; boundary=x", ""),
            ("multipart/form-data; boundary=x", "--x\n--x\n\n--x--"),
            ("multipart/form-data; boundary=x", unfinished),
        ] {
            let (headers, body) = form(kind, body);
            assert_eq!(in_form(&headers, body.as_bytes()), None, "{kind} {body:?}");
        }
    }

    #[test]
    fn a_field_that_another_parser_might_see_hides_behind_no_second_one() {
        let kind = "multipart/form-data; boundary=x";
        for hidden in [
            "--x\nContent-Disposition: form-data; name=\"mod\\el\"\n\nb\n",
            "--x\nContent-Disposition: form-data; name*=utf-8''model\n\nb\n",
            "--x\nContent-Disposition: form-data;\n name=model\n\nb\n",
            "--x\nContent-Disposition: form-data; name=a\nContent-Disposition: form-data; name=model\n\nb\n",
            "--x\nContent-Disposition: form-data; name=a; name=model\n\nb\n",
            "--x\nContent-Disposition: form-data; NAME=model\n\nb\n",
            "--x\nContent-Disposition: attachment; name=model\n\nb\n",
            "--x \nContent-Disposition: form-data; name=model\n\nb\n",
            "--x\nname: model\n\nb\n",
            "--x\n\nb\n",
        ] {
            let (headers, body) = form(kind, &format!("{hidden}{WHISPER}"));
            assert_eq!(in_form(&headers, body.as_bytes()), None, "{hidden:?}");
        }
        let (headers, body) = form(kind, WHISPER);
        for end in ["\n", "\r"] {
            let hidden = format!("{end}--x{end}");
            let body = body.replace("RIFF", &hidden);
            assert_eq!(in_form(&headers, body.as_bytes()), None, "{hidden:?}");
        }
        let odd = "--x\nContent-Disposition: form-data; name=\"a;name=model\"; filename=\"\\\";name=model\"\n\nb\n";
        let (headers, body) = form(kind, &format!("{odd}{WHISPER}"));
        assert_eq!(
            in_form(&headers, body.as_bytes()).as_deref(),
            Some("whisper-1")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_form_and_no_path_makes_it_fall_over(
            body in proptest::collection::vec(proptest::sample::select(vec![b'-', b'x', b'\r', b'\n', b' ', b':', b'm']), 0..80),
            path in "[/a-z0-9:%?v]{0,60}",
        ) {
            let (headers, _) = form("multipart/form-data; boundary=x", "");
            let _ = in_form(&headers, &body);
            let _ = in_path(&path);
            if let Some(put) = put_in_path(&path, "a/b") {
                proptest::prop_assert_eq!(in_path(&put), InPath::Model("a/b".to_owned()));
            }
        }
    }
}
