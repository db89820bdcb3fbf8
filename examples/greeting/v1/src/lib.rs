//! A policy of one screen: it puts the same greeting on the request, the answer, and
//! every event of a stream, so an exchange that met two versions of it would show.

use tollgate_sdk::prelude::*;

const GREETING: &str = "hello from version 1";

/// Greets. It has nothing to remember and nothing to configure.
pub struct Greeting;

#[policy(name = "greeting", needs(response_json))]
impl Policy for Greeting {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    /// The stand-in model server sends this header's value back as `system_fingerprint`.
    fn on_request(&mut self, request: &mut Request) -> Verdict {
        request.set_header("x-standin-mark", GREETING);
        Verdict::next()
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        if response.json_str("/object").is_some() {
            response.set_json("/greeting", GREETING);
        }
        Verdict::next()
    }

    fn on_event(&mut self, event: &mut Event) {
        if let Some(fields) = event.data().strip_prefix(b"{") {
            let greeted = [format!(r#"{{"greeting":"{GREETING}","#).as_bytes(), fields].concat();
            event.set_data(greeted);
        }
    }
}
