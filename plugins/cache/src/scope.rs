//! Who shares answers.

use tollgate_sdk::prelude::*;

/// What is known of a request when its session opens.
pub(crate) struct Known {
    route: String,
    caller: Option<String>,
    tier: Option<String>,
}

impl Known {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            route: head.route.clone(),
            caller: head.caller.clone(),
            tier: head.tier.clone(),
        }
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    /// The start of a key; `None`: something of it is not known, so nobody knows who else
    /// may see the answer.
    pub(crate) fn key(&self, by: &[String], request: &Request) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for name in by {
            let value = match name.as_str() {
                "caller" => self.caller.clone(),
                "tier" => self.tier.clone(),
                "route" => Some(self.route.clone()),
                other => request.fact(other),
            };
            part(&mut key, name.as_bytes());
            part(&mut key, value?.as_bytes());
        }
        Some(key)
    }
}

/// Adds a part that cannot run into the next.
pub(crate) fn part(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(format!("{}:", part.len()).as_bytes());
    key.extend_from_slice(part);
}
