//! A policy of one small deed, chosen by its settings, so that a benchmark measures
//! that deed and the way to it.

use tollgate_sdk::prelude::*;

/// What `on_request` does, or `on_events`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Sets a header.
    SetHeader,
    /// Reads a header.
    ReadHeader,
    /// Reads a JSON field.
    JsonGet,
    /// Sets a JSON field.
    JsonSet,
    /// Changes the text of every event.
    ChangeText,
    /// Sets a header to the body's length, as the gateway told it when the session opened.
    TellBodyBytes,
    /// Sets a header to the time that was left then.
    TellDeadline,
}

/// The settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    deed: Deed,
}

/// One exchange.
pub struct Measured {
    deed: Deed,
    told: Option<u64>,
}

#[policy(needs(request_json))]
impl Policy for Measured {
    type Settings = Settings;

    fn narrow(settings: &Settings, hooks: &mut Hooks, _needs: &mut Needs) {
        if let Deed::TellBodyBytes | Deed::TellDeadline = settings.deed {
            *hooks = Hooks {
                request: true,
                ..Hooks::NONE
            };
        }
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            deed: settings.deed,
            told: match settings.deed {
                Deed::TellBodyBytes => head.body_bytes(),
                Deed::TellDeadline => Some(head.deadline_ms().into()),
                _ => None,
            },
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        match self.deed {
            Deed::Nothing | Deed::ChangeText => {}
            Deed::SetHeader => request.set_header("x-measured", "yes"),
            Deed::ReadHeader => {
                std::hint::black_box(request.header("x-wanted"));
            }
            Deed::JsonGet => {
                std::hint::black_box(request.json_str("/model"));
            }
            Deed::JsonSet => request.set_json("/temperature", 0.5),
            Deed::TellBodyBytes | Deed::TellDeadline => {
                let told = self.told.unwrap_or_default();
                request.set_header("x-measured", told.to_string());
            }
        }
        Verdict::next()
    }

    fn on_response(&mut self, _response: &mut Response) -> Verdict {
        Verdict::next()
    }

    fn on_events(&mut self, events: &mut Events) {
        if let Deed::ChangeText = self.deed {
            for event in events.iter_mut() {
                event.map_text(str::to_uppercase);
            }
        }
    }

    fn on_finish(&mut self, _outcome: &Outcome) {}
}
