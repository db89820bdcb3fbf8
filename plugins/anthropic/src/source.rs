//! Where an image or a file comes from: a `data:` URL to OpenAI, a `source` to Anthropic.

use serde_json::Value;

use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, object},
};

/// The source of a URL.
pub(crate) fn of_url(url: String, at: At) -> Result<Value, Fault> {
    if is_web(&url) {
        return Ok(object([("type", "url".into()), ("url", url.into())]));
    }
    of_data_url(url, at)
}

pub(crate) fn of_data_url(mut url: String, at: At) -> Result<Value, Fault> {
    let expected = || {
        Fault::expected(
            at,
            "a URL of `https:`, or of `data:` with a type and base64",
        )
    };
    let comma = url.find(',').ok_or_else(expected)?;
    let data = url.split_off(comma + 1);
    let kind = url
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .and_then(|_| url.get(5..comma)?.strip_suffix(";base64"))
        .and_then(|kind| kind.split(';').next())
        .filter(|kind| !kind.is_empty())
        .ok_or_else(expected)?;
    Ok(object([
        ("type", "base64".into()),
        ("media_type", kind.into()),
        ("data", data.into()),
    ]))
}

/// The URL of a source; `None` if it is of no kind that has one.
pub(crate) fn to_url(source: &mut Fields) -> Result<Option<String>, Fault> {
    match source.need_text("type")?.as_str() {
        "url" => source.need_text("url").map(Some),
        "base64" => {
            let kind = source.need_text("media_type")?;
            let data = source.need_text("data")?;
            Ok(Some(format!("data:{kind};base64,{data}")))
        }
        _ => Ok(None),
    }
}

fn is_web(url: &str) -> bool {
    let starts_with = |scheme: &str| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts_with("https://") || starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_data_url_and_a_web_address_become_sources_and_come_back() {
        for (url, source) in [
            (
                "data:image/png;base64,iVBO+/=",
                json!({ "type": "base64", "media_type": "image/png", "data": "iVBO+/=" }),
            ),
            (
                "https://example.com/a,b.png",
                json!({ "type": "url", "url": "https://example.com/a,b.png" }),
            ),
        ] {
            assert_eq!(of_url(url.to_owned(), At::Root), Ok(source.clone()));
            let mut source = Fields::of(source, At::Root).unwrap();
            assert_eq!(to_url(&mut source), Ok(Some(url.to_owned())));
        }
    }

    #[test]
    fn a_url_that_is_neither_is_refused_without_being_repeated() {
        let at = At::Root.field("url");
        for url in [
            "",
            "file:///etc/passwd",
            "data:,x",
            "data:;base64,x",
            "data:image/png,x",
            "é,",
        ] {
            let fault = of_url(url.to_owned(), at).unwrap_err();
            assert!(
                fault.message.starts_with("`url`: expected a URL of"),
                "{url}"
            );
        }
    }
}
