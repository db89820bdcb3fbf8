//! What an upstream's balance goes by of a request: a fact, a header, or the beginning of
//! the prompt.
//!
//! The prompt is what the body's fields for it say, as they are written: whoever sends
//! the same beginning again writes it the same way, and nothing has to be taken apart.

use std::ops::ControlFlow;

use tollgate_config::HashOn;
use tollgate_sandbox::Message;
use tollgate_upstreams::balance::{Prefix, hash};

use super::{route::Need, upstream::Upstream};

/// See the module. Most upstreams go by nothing of it.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) key: Option<u64>,
    prefix: Option<Prefix>,
    /// What a policy of the target thinks of each endpoint, by its id.
    pub(super) scores: Vec<(u64, f64)>,
}

impl Hints {
    pub(super) fn prefix(&self) -> &Prefix {
        self.prefix.as_ref().unwrap_or(Prefix::UNKNOWN)
    }
}

impl Upstream {
    /// What a pick needs of a request's body.
    pub(super) fn need(&self) -> Need {
        match self.balancer.hash_on() {
            _ if self.balancer.needs_prefix() => Need::Glance,
            Some(HashOn::Prompt(_)) => Need::Glance,
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
                let prompt = beginning(message, *bytes);
                (!prompt.is_empty()).then(|| hash(&prompt))
            }
        });
        let prefix = self.balancer.needs_prefix().then(|| {
            let model = model.unwrap_or_default();
            Prefix::read(model, |add| {
                message.prompt(|field| {
                    add(field);
                    ControlFlow::Continue(())
                });
            })
        });
        Hints {
            key,
            prefix,
            scores: Vec::new(),
        }
    }
}

/// As much of the prompt.
fn beginning(message: &mut Message, bytes: usize) -> Vec<u8> {
    let mut prompt = Vec::new();
    message.prompt(|field| {
        let left = bytes - prompt.len();
        prompt.extend_from_slice(&field[..field.len().min(left)]);
        match prompt.len() < bytes {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    prompt
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
        // As much of it as was said, over the ends of fields.
        let long = format!(r#"{{"input":"tail","system":"{}\n"}}"#, "s".repeat(1022));
        let long = key(&prompt, Box::leak(long.into_boxed_str()));
        assert_eq!(
            long,
            Some(hash(format!("{}\nt", "s".repeat(1022)).as_bytes()))
        );
        for body in ["{}", "no json", "[]", r#"{"messages":7}"#] {
            assert_eq!(key(&prompt, body), None, "{body}");
        }
        assert_eq!(key("round-robin", r#"{"prompt":"x"}"#), None);
    }

    #[tokio::test]
    async fn a_prefix_is_shared_by_prompts_that_begin_alike() {
        let upstream = Upstream::read("{ endpoints: [ 'http://a' ], balance: model-aware }");
        assert_eq!(upstream.need(), Need::Glance);
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
