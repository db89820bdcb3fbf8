//! Where a request that has no JSON body names its model: in its path, or in a form.
//!
//! The paths are those of the Open Inference Protocol and of KServe V1; the form is the
//! `multipart/form-data` (RFC 7578) that OpenAI's audio and image edits come as.

use std::{borrow::Cow, ops::Range};

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

/// Where the path names a model: behind `/v2/models/`, or in `/v1/models/NAME:VERB`.
fn place_in_path(path: &str) -> Option<Range<usize>> {
    const V2: &str = "/v2/models/";
    const V1: &str = "/v1/models/";
    let path = path.split('?').next().unwrap_or_default();
    if let Some(at) = path.find(V2) {
        let start = at + V2.len();
        let end = path[start..]
            .find('/')
            .map_or(path.len(), |end| start + end);
        return (end > start).then_some(start..end);
    }
    let start = path.find(V1)? + V1.len();
    let verb = ["predict", "explain"]
        .iter()
        .find_map(|verb| path[start..].strip_suffix(verb)?.strip_suffix(':'))?;
    (!verb.is_empty() && !verb.contains('/')).then_some(start..start + verb.len())
}

/// The model that a path names.
pub(super) fn in_path(path: &str) -> Option<Cow<'_, str>> {
    let segment = &path[place_in_path(path)?];
    percent_decode_str(segment).decode_utf8().ok()
}

/// The path with another model's name in its place, or `None` if it names none.
pub(super) fn put_in_path(path: &str, name: &str) -> Option<String> {
    let place = place_in_path(path)?;
    let encoded = utf8_percent_encode(name, SEGMENT);
    Some(format!(
        "{}{encoded}{}",
        &path[..place.start],
        &path[place.end..]
    ))
}

/// The boundary, if the headers announce a form.
fn boundary(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = kind.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim())
    })?;
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    // RFC 2046, section 5.1.1.
    (1..=70).contains(&value.len()).then_some(value)
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
            ("/v1/models/iris", None),
            ("/v1/models/:predict", None),
            ("/v1/models/a/b:predict", None),
            ("/v2/models/", None),
            ("/v2/models//infer", None),
            ("/v2/health/ready", None),
            ("/v1/chat/completions?x=/v2/models/y/infer", None),
            ("/v2/models/%ff/infer", None),
        ] {
            assert_eq!(in_path(path).as_deref(), model, "{path}");
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
            "Multipart/Form-Data; charset=utf-8; Boundary=\"x\"",
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
                let read = in_path(&put);
                proptest::prop_assert_eq!(read.as_deref(), Some("a/b"));
            }
        }
    }
}
