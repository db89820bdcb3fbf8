//! What a path asks for, and of which model: the bodies of V1 and V2 do not say.

use std::fmt::Write as _;

/// A path of KServe V1, the Open Inference Protocol (V2), Seldon's V1 or OpenAI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// What stands before the paths of the protocol, such as `/seldon/ns/deployment`.
    prefix: String,
    /// With its question mark.
    query: String,
    pub(crate) family: Family,
    pub(crate) operation: Operation,
    pub(crate) model: Option<String>,
    pub(crate) version: Option<String>,
}

/// Whose paths they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V1,
    V2,
    Seldon,
    OpenAi,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Infer,
    InferStream,
    Generate,
    GenerateStream,
    Predict,
    Explain,
    Ready,
    /// What a model is, or the server.
    Metadata,
    /// Whether the server is there, or ready.
    Health,
    Models,
    Feedback,
    Embeddings,
    Completions,
}

/// The longest name of a model that the gateway goes by, too.
const NAME_MAX: usize = 1024;

impl Family {
    /// As facts have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "kserve-v1",
            Self::V2 => "open-inference",
            Self::Seldon => "seldon",
            Self::OpenAi => "openai",
        }
    }
}

impl Operation {
    /// As the paths and the facts have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::InferStream => "infer_stream",
            Self::Generate => "generate",
            Self::GenerateStream => "generate_stream",
            Self::Predict => "predict",
            Self::Explain => "explain",
            Self::Ready => "ready",
            Self::Metadata => "metadata",
            Self::Health => "health",
            Self::Models => "models",
            Self::Feedback => "feedback",
            Self::Embeddings => "embeddings",
            Self::Completions => "completions",
        }
    }

    fn of_v2(name: &str) -> Option<Self> {
        [
            Self::Infer,
            Self::InferStream,
            Self::Generate,
            Self::GenerateStream,
            Self::Ready,
        ]
        .into_iter()
        .find(|operation| operation.name() == name)
    }

    /// What the method has to be.
    fn is_asked_with(self, method: &str) -> bool {
        match self {
            Self::Ready | Self::Metadata | Self::Health | Self::Models => {
                matches!(method, "GET" | "HEAD")
            }
            _ => method == "POST",
        }
    }
}

impl Endpoint {
    /// `None`: it is none of these.
    pub(crate) fn read(method: &str, path: &str) -> Option<Self> {
        let (path, query) = match path.find('?') {
            Some(at) => path.split_at(at),
            None => (path, ""),
        };
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let found = (0..segments.len()).find_map(|at| {
            let (before, rest) = segments.split_at(at);
            let mut endpoint = of_segments(rest)?;
            if endpoint.family == Family::Seldon {
                endpoint.model = deployment(before);
            }
            endpoint.prefix = before.iter().fold(String::new(), |mut prefix, segment| {
                prefix.push('/');
                prefix.push_str(segment);
                prefix
            });
            Some(endpoint)
        });
        let mut endpoint = found.filter(|found| found.operation.is_asked_with(method))?;
        query.clone_into(&mut endpoint.query);
        Some(endpoint)
    }

    fn new(family: Family, operation: Operation) -> Self {
        Self {
            prefix: String::new(),
            query: String::new(),
            family,
            operation,
            model: None,
            version: None,
        }
    }

    /// The same asked of another model or version. `None`: a name that no path has.
    pub(crate) fn renamed(&self, model: &str, version: Option<&str>) -> Option<String> {
        let mut path = match self.family {
            Family::V1 => format!("{}/v1/models/{}", self.prefix, segment(model)?),
            Family::V2 => format!("{}/v2/models/{}", self.prefix, segment(model)?),
            Family::Seldon | Family::OpenAi => return None,
        };
        if let Some(version) = version {
            let _ = write!(path, "/versions/{}", segment(version)?);
        }
        match (self.family, self.operation) {
            (_, Operation::Metadata) | (Family::V1, Operation::Ready) => {}
            (Family::V1, operation) => {
                let _ = write!(path, ":{}", operation.name());
            }
            (_, operation) => {
                let _ = write!(path, "/{}", operation.name());
            }
        }
        path.push_str(&self.query);
        Some(path)
    }
}

/// A path of V2. `None`: a name that no path has.
pub(crate) fn of_model(model: &str, version: Option<&str>, operation: Operation) -> Option<String> {
    let mut endpoint = Endpoint::new(Family::V2, operation);
    endpoint.model = Some(model.to_owned());
    endpoint.renamed(model, version)
}

fn of_segments(segments: &[&str]) -> Option<Endpoint> {
    use Operation::{Completions, Embeddings, Health, Metadata, Models};
    let endpoint = |family, operation| Some(Endpoint::new(family, operation));
    match segments {
        ["v2"] => endpoint(Family::V2, Metadata),
        ["v2", "health", "live" | "ready"] => endpoint(Family::V2, Health),
        ["v2", "models", name, rest @ ..] => of_v2(name, rest),
        ["v1", "models"] => endpoint(Family::V1, Models),
        ["v1", "models", rest @ ..] => of_v1(rest),
        ["v1", "embeddings"] => endpoint(Family::OpenAi, Embeddings),
        ["v1", "completions"] => endpoint(Family::OpenAi, Completions),
        ["api", "v1.0" | "v0.1", "predictions"] => endpoint(Family::Seldon, Operation::Predict),
        ["api", "v1.0" | "v0.1", "feedback"] => endpoint(Family::Seldon, Operation::Feedback),
        _ => None,
    }
}

fn of_v2(name: &str, rest: &[&str]) -> Option<Endpoint> {
    let (version, rest) = match rest {
        ["versions", version, rest @ ..] => (Some(decoded(version)?), rest),
        rest => (None, rest),
    };
    let operation = match rest {
        [] => Operation::Metadata,
        [operation] => Operation::of_v2(operation)?,
        _ => return None,
    };
    let mut endpoint = Endpoint::new(Family::V2, operation);
    endpoint.model = Some(decoded(name)?);
    endpoint.version = version;
    Some(endpoint)
}

/// With TensorFlow Serving's versions, which KServe's V1 has its form from.
fn of_v1(segments: &[&str]) -> Option<Endpoint> {
    let (last, before) = segments.split_last()?;
    let (last, operation) = match last.rsplit_once(':') {
        Some((name, "predict")) => (name, Operation::Predict),
        Some((name, "explain")) => (name, Operation::Explain),
        _ => (*last, Operation::Ready),
    };
    let mut endpoint = Endpoint::new(Family::V1, operation);
    match before {
        [] => endpoint.model = Some(decoded(last)?),
        [name, "versions"] => {
            endpoint.model = Some(decoded(name)?);
            endpoint.version = Some(decoded(last)?);
        }
        _ => return None,
    }
    Some(endpoint)
}

/// Seldon's ingress has `/seldon/NAMESPACE/DEPLOYMENT` in front.
fn deployment(before: &[&str]) -> Option<String> {
    match before {
        [.., "seldon", _, name] | [.., "seldon", name] => decoded(name),
        _ => None,
    }
}

/// A name out of a path. `None`: it is empty, too long or no text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_name = !name.is_empty() && name.len() <= NAME_MAX;
    (is_name && !name.contains(char::is_control)).then_some(name)
}

/// A name as one segment of a path. `None`: it would be another path.
pub(crate) fn segment(name: &str) -> Option<String> {
    let is_dots = matches!(name.split(';').next(), Some("." | ".."));
    let is_path = name.contains(|letter: char| matches!(letter, '/' | '\\') || letter.is_control());
    if name.is_empty() || name.len() > NAME_MAX || is_dots || is_path {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str) -> Option<(&'static str, &'static str, String, String)> {
        let found = Endpoint::read(method, path)?;
        let (model, version) = (found.model, found.version);
        let names = (model.unwrap_or_default(), version.unwrap_or_default());
        Some((
            found.family.name(),
            found.operation.name(),
            names.0,
            names.1,
        ))
    }

    #[test]
    fn a_path_says_the_protocol_the_operation_the_model_and_its_version() {
        for (method, path, expected) in [
            (
                "POST",
                "/v2/models/iris/infer",
                ("open-inference", "infer", "iris", ""),
            ),
            (
                "POST",
                "/v2/models/iris/versions/v10/infer?x=1",
                ("open-inference", "infer", "iris", "v10"),
            ),
            (
                "POST",
                "/v2/models/m/generate_stream",
                ("open-inference", "generate_stream", "m", ""),
            ),
            (
                "POST",
                "/v2/models/m/infer_stream",
                ("open-inference", "infer_stream", "m", ""),
            ),
            (
                "GET",
                "/v2/models/a%20b/ready",
                ("open-inference", "ready", "a b", ""),
            ),
            (
                "GET",
                "/v2/models/m/versions/1",
                ("open-inference", "metadata", "m", "1"),
            ),
            ("GET", "/v2", ("open-inference", "metadata", "", "")),
            (
                "GET",
                "/v2/health/live",
                ("open-inference", "health", "", ""),
            ),
        ] {
            let (family, operation, model, version) = expected;
            let expected = (family, operation, model.to_owned(), version.to_owned());
            assert_eq!(asked(method, path), Some(expected), "{method} {path}");
        }
    }

    #[test]
    fn so_does_a_path_of_v1_of_seldon_and_of_openai() {
        for (method, path, expected) in [
            (
                "POST",
                "/v1/models/iris:predict",
                ("kserve-v1", "predict", "iris", ""),
            ),
            (
                "POST",
                "/v1/models/llama:8b:explain",
                ("kserve-v1", "explain", "llama:8b", ""),
            ),
            (
                "POST",
                "/v1/models/m/versions/3:predict",
                ("kserve-v1", "predict", "m", "3"),
            ),
            ("GET", "/v1/models/iris", ("kserve-v1", "ready", "iris", "")),
            ("GET", "/v1/models", ("kserve-v1", "models", "", "")),
            (
                "POST",
                "/api/v1.0/predictions",
                ("seldon", "predict", "", ""),
            ),
            (
                "POST",
                "/seldon/ns/iris/api/v1.0/predictions",
                ("seldon", "predict", "iris", ""),
            ),
            (
                "POST",
                "/seldon/iris/api/v0.1/feedback",
                ("seldon", "feedback", "iris", ""),
            ),
            (
                "POST",
                "/seldon/ns/m/v2/models/c/infer",
                ("open-inference", "infer", "c", ""),
            ),
            ("POST", "/v1/embeddings", ("openai", "embeddings", "", "")),
            (
                "POST",
                "/team/v1/completions",
                ("openai", "completions", "", ""),
            ),
        ] {
            let (family, operation, model, version) = expected;
            let expected = (family, operation, model.to_owned(), version.to_owned());
            assert_eq!(asked(method, path), Some(expected), "{method} {path}");
        }
    }

    #[test]
    fn what_is_no_such_path_is_none() {
        for (method, path) in [
            ("GET", "/v2/models/m/infer"),
            ("POST", "/v2/models/m/ready"),
            ("POST", "/v2/models/m/load"),
            ("POST", "/v2/models//infer"),
            ("POST", "/v2/models/m/versions/1/x/infer"),
            ("POST", "/v1/models/:predict"),
            ("POST", "/v1/models/m:regress"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/v2/models/%ff/infer"),
            ("POST", "/v2/models/%0a/infer"),
            ("POST", "/v2/models/%4/infer"),
            ("POST", "v2"),
            ("POST", ""),
        ] {
            assert_eq!(asked(method, path), None, "{method} {path}");
        }
        let long = format!("/v2/models/{}/infer", "m".repeat(NAME_MAX + 1));
        assert_eq!(asked("POST", &long), None);
    }

    #[test]
    fn the_same_is_asked_of_another_model() {
        for (path, method, expected) in [
            (
                "/v2/models/m/infer?a=b",
                "POST",
                "/v2/models/n%201/versions/2/infer?a=b",
            ),
            ("/v2/models/m", "GET", "/v2/models/n%201/versions/2"),
            (
                "/v2/models/m/ready",
                "GET",
                "/v2/models/n%201/versions/2/ready",
            ),
            (
                "/p/v1/models/m:predict",
                "POST",
                "/p/v1/models/n%201/versions/2:predict",
            ),
            ("/v1/models/m", "GET", "/v1/models/n%201/versions/2"),
        ] {
            let endpoint = Endpoint::read(method, path).unwrap();
            assert_eq!(
                endpoint.renamed("n 1", Some("2")).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_name_that_would_be_another_path_is_none() {
        for name in [
            "",
            ".",
            "..",
            "..;x",
            "a/b",
            "a\\b",
            "a\nb",
            &"m".repeat(NAME_MAX + 1),
        ] {
            assert_eq!(segment(name), None, "{name}");
        }
        assert_eq!(segment("é?#%").as_deref(), Some("%C3%A9%3F%23%25"));
    }
}
