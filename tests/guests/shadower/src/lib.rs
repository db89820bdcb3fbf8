//! A policy that has a copy of each request go where its settings say, so that the tests of
//! the whole gateway can see the capability `shadow` at work from outside.

use tollgate_sdk::{Destination, prelude::*, shadow};

/// See the crate.
pub struct Shadower {
    settings: &'static Settings,
}

/// Where copies go, and what becomes of the request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub model: Option<String>,
    pub upstream: Option<String>,
    /// It fails after it has asked for the copy.
    pub traps: bool,
}

#[policy]
impl Policy for Shadower {
    type Settings = Settings;

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self { settings }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let asked = shadow::send_to(Destination {
            model: self.settings.model.clone(),
            upstream: self.settings.upstream.clone(),
        });
        request.set_header("x-shadow", format!("{asked:?}"));
        assert!(
            !self.settings.traps || request.header("x-fails").is_none(),
            "on purpose"
        );
        Verdict::next()
    }
}
