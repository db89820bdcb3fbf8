//! What an answer is kept under: all that may have shaped it.
//!
//! The plugin tells requests apart; to that the host adds whatever the plugin cannot see:
//! the very policies and settings of the route, and where the request would go.

use sha2::{Digest, Sha256};
use tollgate_capabilities::CacheKey;
use tollgate_config::{Config, Route};
use tollgate_sandbox::{
    Message, Policy,
    contract::{CacheKind, CachePlan, Destination},
};

/// A digest of everything in a generation that may shape the answers of a route.
pub(in crate::serve) type Shape = [u8; 32];

/// Texts of any length, none of which can look like two.
struct Parts(Sha256);

impl Parts {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    fn add_optional(&mut self, part: Option<&str>) -> &mut Self {
        match part {
            Some(part) => self.add([1]).add(part),
            None => self.add([0]),
        }
    }

    fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Of a route: its own words, those of all models and upstreams that a request may get to,
/// and each policy's plugin, byte for byte, with its settings.
pub(in crate::serve) fn shape<'a>(
    config: &Config,
    secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    route: &Route,
    policies: impl Iterator<Item = &'a Policy>,
) -> Shape {
    let mut parts = Parts::new();
    let shaping = Route {
        upgrades: Vec::new(),
        mirror: None,
        ..route.clone()
    };
    parts.add(format!("{shaping:?}"));
    parts.add(format!("{:?}", config.models));
    parts.add(format!("{:?}", config.upstreams));
    // Another key of an upstream may be another's account.
    for name in config.secrets.keys() {
        let value = secret(name).map(Sha256::digest);
        parts.add(name).add(value.as_deref().unwrap_or_default());
    }
    for policy in policies {
        let config = policy.config();
        parts.add(policy.name()).add(policy.hash());
        parts.add(config.settings.to_string());
        parts.add(format!("{:?} {:?}", config.on_error, config.grants));
    }
    parts.digest()
}

/// Of a request, as the policies before left it.
pub(in crate::serve) fn key(
    shape: &Shape,
    planner: &Policy,
    (message, wish): (&Message, &Destination),
    (plan, is_stream): (&CachePlan, bool),
) -> CacheKey {
    let mut parts = Parts::new();
    parts.add(shape).add(planner.plugin());
    parts.add(message.method.as_str()).add(&message.path);
    parts.add_optional(wish.model.as_deref());
    parts.add_optional(wish.upstream.as_deref());
    parts.add(match plan.kind {
        CacheKind::AsItCame if is_stream => [0],
        CacheKind::AsItCame => [1],
        CacheKind::ChatCompletion => [2],
    });
    parts.add(&plan.key);
    CacheKey(parts.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[Option<&str>]) -> [u8; 32] {
        let mut digest = Parts::new();
        for part in parts {
            digest.add_optional(*part);
        }
        digest.digest()
    }

    #[test]
    fn no_two_lists_of_parts_look_alike() {
        let lists: [&[Option<&str>]; 7] = [
            &[],
            &[None],
            &[Some("")],
            &[Some("ab")],
            &[Some("a"), Some("b")],
            &[None, Some("ab")],
            &[Some("ab"), None],
        ];
        for (at, list) in lists.iter().enumerate() {
            for other in &lists[..at] {
                assert_ne!(digest(list), digest(other), "{list:?} {other:?}");
            }
        }
    }
}
