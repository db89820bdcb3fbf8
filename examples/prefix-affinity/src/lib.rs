//! Sends prompts that begin alike to the same endpoint, whose KV cache then holds their
//! beginning; one that is far busier than the others is spared.
//!
//! Nothing is remembered: each endpoint draws a number from the prompt's beginning and its own
//! address, and the highest wins (rendezvous hashing). An endpoint that comes or goes changes
//! what becomes of its own prompts alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use tollgate_sdk::{Target, Value, endpoints::Endpoint, prelude::*};

/// How prompts are told apart, and when an endpoint is too busy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// So much of the first message tells prompts apart, in bytes. Default: 1024.
    prefix_bytes: usize,
    /// An endpoint with more than so many times the requests of the average one is asked only
    /// after the others; at least 1. Default: 1.5.
    load_max: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix_bytes: 1024,
            load_max: 1.5,
        }
    }
}

/// One exchange.
pub struct PrefixAffinity {
    settings: &'static Settings,
}

#[policy(needs(request_json))]
impl Policy for PrefixAffinity {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        if settings.prefix_bytes == 0 {
            wrong.push("/prefix_bytes: 0 bytes tell nothing apart; at least 1".to_owned());
        }
        if settings.load_max < 1.0 {
            wrong.push("/load_max: less than 1 would spare every endpoint; at least 1".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self { settings }
    }

    fn on_pick(&mut self, _target: &Target, request: &Request, endpoints: &[Endpoint]) -> Vec<f64> {
        let Some(prefix) = beginning(request) else {
            // Nothing to go by: the upstream's own way decides.
            return Vec::new();
        };
        let prefix = &prefix.as_bytes()[..prefix.len().min(self.settings.prefix_bytes)];
        let all: f64 = endpoints.iter().map(load).sum();
        let most = self.settings.load_max * (all + 1.0) / endpoints.len() as f64;
        let score = |endpoint: &Endpoint| match load(endpoint) {
            busy if busy >= most || endpoint.tried => -1.0 - busy,
            _ => draw(prefix, endpoint),
        };
        endpoints.iter().map(score).collect()
    }
}

/// What the prompt begins with: a system prompt, most often.
fn beginning(request: &Request) -> Option<String> {
    let fields = request.json_values(&["/system", "/messages/0", "/prompt", "/input"]);
    fields.into_iter().flatten().find_map(|value| match value {
        Value::Text(text) | Value::Json(text) => Some(text),
        _ => None,
    })
}

/// Requests under way, for each unit of its share.
fn load(endpoint: &Endpoint) -> f64 {
    let waiting = f64::from(endpoint.waiting.unwrap_or(0));
    (f64::from(endpoint.in_flight) + waiting) / f64::from(endpoint.weight.max(1))
}

/// The number that an endpoint draws for a prompt: above 0, and by chance the higher, the larger
/// its share is.
fn draw(prefix: &[u8], endpoint: &Endpoint) -> f64 {
    let mut hasher = DefaultHasher::new();
    (prefix, &endpoint.address).hash(&mut hasher);
    let drawn = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(endpoint.weight.max(1)) / -drawn.ln()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;
    use tollgate_sdk::testing::{Exchange, Run, idle};

    fn pick(settings: serde_json::Value, prompt: &str, endpoints: &[Endpoint]) -> Vec<f64> {
        let target = Target {
            upstream: "vllm".into(),
            dialect: "openai".into(),
            model: None,
            attempt: 1,
        };
        let exchange = Exchange::chat().json("/messages/0/content", prompt);
        Run::<PrefixAffinity>::new(settings)
            .open(exchange)
            .pick(&target, endpoints)
    }

    fn best(scores: &[f64]) -> usize {
        (0..scores.len())
            .max_by(|one, other| scores[*one].total_cmp(&scores[*other]))
            .unwrap()
    }

    fn of(prompt: &str, endpoints: &[Endpoint]) -> String {
        let at = best(&pick(serde_json::json!({}), prompt, endpoints));
        endpoints[at].address.clone()
    }

    const ADDRESSES: [&str; 4] = ["a:80", "b:80", "c:80", "d:80"];

    #[test]
    fn a_prompt_goes_where_it_went_and_many_go_everywhere() {
        let endpoints = ADDRESSES.map(idle);
        let mut counts = [0; 4];
        for nth in 0..400 {
            let prompt = format!("prompt {nth}");
            let address = of(&prompt, &endpoints);
            assert_eq!(of(&prompt, &endpoints), address);
            counts[ADDRESSES
                .iter()
                .position(|known| *known == address)
                .unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
    }

    #[test]
    fn an_endpoint_that_goes_changes_what_becomes_of_its_own_prompts_alone() {
        let all = ADDRESSES.map(idle);
        for nth in 0..200 {
            let prompt = format!("prompt {nth}");
            let before = of(&prompt, &all);
            let after = of(&prompt, &all[..3]);
            assert!(before == after || before == "d:80", "{before} {after}");
        }
    }

    #[test]
    fn what_differs_behind_the_beginning_makes_no_difference() {
        let settings = || serde_json::json!({ "prefix_bytes": 40 });
        let endpoints = ADDRESSES.map(idle);
        let long = "x".repeat(60);
        let one = pick(settings(), &format!("{long} one"), &endpoints);
        assert_eq!(one, pick(settings(), &format!("{long} two"), &endpoints));
    }

    #[test]
    fn one_that_is_far_busier_than_the_others_is_spared() {
        let mut endpoints = ADDRESSES.map(idle);
        let home = best(&pick(serde_json::json!({}), "hello", &endpoints));
        endpoints[home].in_flight = 9;
        assert_ne!(of("hello", &endpoints), ADDRESSES[home]);
        for endpoint in &mut endpoints {
            endpoint.in_flight = 9;
        }
        assert_eq!(of("hello", &endpoints), ADDRESSES[home]);
    }

    #[test]
    fn one_that_failed_is_asked_last() {
        let mut endpoints = ADDRESSES.map(idle);
        let home = best(&pick(serde_json::json!({}), "hello", &endpoints));
        endpoints[home].tried = true;
        assert_ne!(of("hello", &endpoints), ADDRESSES[home]);
    }

    #[test]
    fn without_a_prompt_it_has_no_opinion() {
        let target = Target {
            upstream: "vllm".into(),
            dialect: "openai".into(),
            model: None,
            attempt: 1,
        };
        let run = Run::<PrefixAffinity>::new(serde_json::json!({}));
        let scores = run
            .open(Exchange::chat().body("{\"model\":\"m\"}"))
            .pick(&target, &ADDRESSES.map(idle));
        assert!(scores.is_empty());
    }

    #[test]
    fn settings_that_tell_nothing_apart_are_refused() {
        let settings = serde_json::json!({ "prefix_bytes": 0, "load_max": 0.5 });
        let wrong = Run::<PrefixAffinity>::try_new(settings).err().unwrap();
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].starts_with("/prefix_bytes: "), "{wrong:?}");
    }
}
