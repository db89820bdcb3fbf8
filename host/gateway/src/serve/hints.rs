//! What an upstream's balance goes by of a request: a fact, a header, or the beginning of
//! the prompt.
//!
//! The prompt is what the body's fields for it say, as they are written: whoever sends
//! the same beginning again writes it the same way, and nothing has to be taken apart.

use tollgate_config::HashOn;
use tollgate_sandbox::{Message, contract::Value};
use tollgate_upstreams::balance::{Prefix, hash};

use super::{route::Need, upstream::Upstream};

/// See the module. Most upstreams go by nothing of it.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) key: Option<u64>,
    prefix: Option<Box<Prefix>>,
    /// What a policy of the target thinks of each endpoint, by its id.
    pub(super) scores: Vec<(u64, f64)>,
}

impl Hints {
    pub(super) fn prefix(&self) -> &Prefix {
        self.prefix.as_deref().unwrap_or(Prefix::UNKNOWN)
    }
}

/// In the order in which a model reads them, in the words of all APIs.
const PROMPT: [&str; 5] = ["/instructions", "/system", "/prompt", "/messages", "/input"];

impl Upstream {
    /// What a pick needs of a request's body.
    pub(super) fn need(&self) -> Need {
        match self.balancer.hash_on() {
            _ if self.balancer.needs_prefix() => Need::Bytes,
            Some(HashOn::Prompt(_)) => Need::Bytes,
            _ => Need::Nothing,
        }
    }

    /// What a pick goes by of this request, for a model by the name that goes to the upstream.
    pub(super) fn hints(&self, message: &mut Message, model: Option<&str>) -> Hints {
        let key = self.balancer.hash_on().and_then(|on| match on {
            HashOn::Fact(name) => message.fact(name).map(|fact| hash(fact.as_bytes())),
            HashOn::Header(name) => {
                let value = message.headers.get(name.as_str());
                value.map(|value| hash(value.as_bytes()))
            }
            HashOn::Prompt(bytes) => {
                let mut prompt = prompt(message).concat().into_bytes();
                prompt.truncate(*bytes);
                (!prompt.is_empty()).then(|| hash(&prompt))
            }
        });
        let prefix = self.balancer.needs_prefix().then(|| {
            let pieces = prompt(message);
            let pieces = pieces.iter().map(String::as_bytes);
            Box::new(Prefix::of(model.unwrap_or_default(), pieces))
        });
        Hints {
            key,
            prefix,
            scores: Vec::new(),
        }
    }
}

fn prompt(message: &mut Message) -> Vec<String> {
    let Ok(Some(json)) = message.read_json() else {
        return Vec::new();
    };
    let fields = PROMPT.iter().filter_map(|field| match json.get(field)? {
        Value::Text(text) | Value::Json(text) => Some(text),
        _ => None,
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static str) -> Message {
        let mut message = Message {
            body: Some(bytes::Bytes::from_static(body.as_bytes())),
            ..Message::default()
        };
        message.headers.insert("x-session", "s1".parse().unwrap());
        message.set_fact("caller", "ann");
        message
    }

    fn key(balance: &str, body: &'static str) -> Option<u64> {
        let upstream = Upstream::read(&format!(
            "{{ endpoints: [ 'http://a' ], balance: {balance} }}"
        ));
        upstream.hints(&mut message(body), None).key
    }

    #[tokio::test]
    async fn a_key_is_a_fact_a_header_or_the_beginning_of_the_prompt() {
        let on = |what: &str| format!("{{ consistent-hash: {{ on: {what} }} }}");
        assert_eq!(key(&on("{ fact: caller }"), "{}"), Some(hash(b"ann")));
        assert_eq!(key(&on("{ fact: tier }"), "{}"), None);
        assert_eq!(key(&on("{ header: X-Session }"), "{}"), Some(hash(b"s1")));
        let prompt = on("{ prompt: 1KiB }");
        let said = key(&prompt, r#"{"messages":[{"content":"hello"}],"n":1}"#);
        assert_eq!(said, Some(hash(br#"[{"content":"hello"}]"#)));
        for body in ["{}", "no json", "[]", r#"{"messages":7}"#] {
            assert_eq!(key(&prompt, body), None, "{body}");
        }
        assert_eq!(key("round-robin", r#"{"prompt":"x"}"#), None);
    }

    #[tokio::test]
    async fn a_prefix_is_shared_by_prompts_that_begin_alike() {
        let upstream = Upstream::read("{ endpoints: [ 'http://a' ], balance: model-aware }");
        assert_eq!(upstream.need(), Need::Bytes);
        let hashes = |last: &str| {
            let system = "be brief ".repeat(200);
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{last}"}}]}}"#
            );
            let mut message = Message {
                body: Some(body.into()),
                ..Message::default()
            };
            let hints = upstream.hints(&mut message, Some("m"));
            hints.prefix().hashes().to_vec()
        };
        let (one, two) = (hashes("one"), hashes("two"));
        assert_eq!(one[..3], two[..3]);
        assert_ne!(one[3], two[3]);
    }
}
