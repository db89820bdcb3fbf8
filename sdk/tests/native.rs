//! A policy in native tests behaves as in the gateway.

use tollgate_sdk::{
    Answer, Ending, Head, Hooks, Needs, NoSettings, Outcome, Policy, RawEvent, Request, Response,
    Sample, Target, Verdict, clock, kv, policy,
    prelude::{Deserialize, Event, JsonSchema, log},
    testing::{Exchange, Run, complete, ended, logged},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What the model is called from here on.
    alias: String,
}

struct Every {
    settings: &'static Settings,
    seen: Vec<&'static str>,
}

#[policy(needs(request_json, response_json), name = "every-hook")]
impl Policy for Every {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        if settings.alias.is_empty() {
            return Err(vec!["/alias: must not be empty".to_owned()]);
        }
        Ok(())
    }

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self {
            settings,
            seen: vec!["open"],
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        self.seen.push("request");
        request.set_json("/model", self.settings.alias.as_str());
        assert_eq!(
            request.json_str("/model").as_deref(),
            Some(self.settings.alias.as_str())
        );
        request.set_json("/metadata/by", "every");
        request.remove_json("/messages/0");
        assert_eq!(request.json::<Vec<String>>("/messages"), Some(Vec::new()));
        request.set_header("x-a", "1");
        assert_eq!(request.header_str("X-A").as_deref(), Some("1"));
        request.set_fact("team", "search");
        Verdict::next()
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        self.seen.push("attempt");
        assert_eq!(request.fact("team").as_deref(), Some("search"));
        request.set_header("x-upstream", target.upstream.as_str());
        Verdict::next()
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        self.seen.push("response");
        response.set_status(response.status() + 1);
        response.set_json("/seen", true);
        Verdict::next()
    }

    fn on_event(&mut self, event: &mut Event) {
        self.seen.push("event");
        event.map_text(str::to_uppercase);
    }

    fn on_end(&mut self) -> Vec<RawEvent> {
        self.seen.push("end");
        vec![RawEvent::named("bye", "")]
    }

    fn on_finish(&mut self, outcome: &Outcome) {
        log::info(&format!("{:?} {:?}", outcome.ending, self.seen));
    }
}

fn every() -> Run<Every> {
    Run::new(serde_json::json!({ "alias": "llama" }))
}

#[test]
fn every_hook_sees_and_changes_the_exchange() {
    let mut session = every().open(Exchange::chat());

    let decided = session.request();
    assert_eq!(decided.json("/model"), Some("llama".into()));
    assert_eq!(decided.json("/metadata/by"), Some("every".into()));
    assert_eq!(decided.header("x-a").as_deref(), Some("1"));
    assert_eq!(decided.fact("team").as_deref(), Some("search"));

    let target = Target {
        upstream: "vllm".into(),
        dialect: "openai".into(),
        model: None,
        attempt: 1,
    };
    assert_eq!(
        session.attempt(&target).header("x-upstream").as_deref(),
        Some("vllm")
    );

    let decided = session.response(Answer::new(200).json(&serde_json::json!({})));
    assert_eq!(
        (decided.status(), decided.json("/seen")),
        (201, Some(true.into()))
    );

    assert_eq!(
        session
            .events([RawEvent::text("loud"), RawEvent::done()])
            .text(),
        "LOUD"
    );
    assert_eq!(session.end().events, [RawEvent::named("bye", "")]);

    session.finish(&ended(Ending::Complete));
    assert_eq!(
        logged(),
        [r#"Ending::Complete ["open", "request", "attempt", "response", "event", "event", "end"]"#]
    );
}

#[test]
fn settings_that_do_not_pass_the_check_are_refused() {
    let errors = Run::<Every>::try_new(serde_json::json!({ "alias": "" }))
        .err()
        .unwrap();
    assert_eq!(errors, ["/alias: must not be empty"]);
}

#[test]
fn the_samples_of_a_policy_are_run() {
    every().prove();
}

struct Refusing;

#[policy]
impl Policy for Refusing {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn samples(_settings: &NoSettings) -> Vec<Sample> {
        vec![Sample::chat("refused").expect_answer(403)]
    }

    fn on_request(&mut self, _request: &mut Request) -> Verdict {
        Verdict::refuse(403, "no", "No.")
    }

    fn on_finish(&mut self, outcome: &Outcome) {
        let Outcome {
            ending,
            status,
            attempts,
            ..
        } = outcome;
        log::info(&format!("{ending:?} {status} {attempts}"));
    }
}

#[test]
fn a_sample_that_is_refused_ends_as_refused() {
    Run::<Refusing>::new(serde_json::json!({})).prove();
    assert_eq!(logged(), ["Ending::Refused 403 0"]);
}

struct Curious;

#[policy]
impl Policy for Curious {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let _ = request.json_value("/model");
        Verdict::next()
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        response.set_header("content-length", "1");
        Verdict::next()
    }
}

#[test]
#[should_panic(expected = "does not say `#[policy(needs(request_json))]`")]
fn json_that_was_not_asked_for_cannot_be_read() {
    Run::<Curious>::new(serde_json::json!({}))
        .open(Exchange::chat())
        .request();
}

#[test]
#[should_panic(expected = "the header `content-length` is written by the host alone")]
fn a_decision_that_the_gateway_would_refuse_fails_the_test() {
    Run::<Curious>::new(serde_json::json!({}))
        .open(Exchange::chat())
        .response(Answer::new(200));
}

struct Pretending;

#[policy]
impl Policy for Pretending {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        assert_eq!(request.fact("client_cert_uri").as_deref(), Some("urn:ann"));
        request.set_fact("client_cert_uri", "urn:admin");
        Verdict::next()
    }
}

#[test]
#[should_panic(expected = "the fact `client_cert_uri` is written by the host alone")]
fn a_fact_that_is_the_gateways_cannot_be_set() {
    Run::<Pretending>::new(serde_json::json!({}))
        .open(Exchange::chat().fact("client_cert_uri", "urn:ann"))
        .request();
}

struct Hasty;

#[policy(needs(request_json))]
impl Policy for Hasty {
    type Settings = NoSettings;

    fn narrow(_settings: &NoSettings, hooks: &mut Hooks, needs: &mut Needs) {
        hooks.events = true;
        needs.request_json = false;
    }

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let _ = request.json_str("/model");
        Verdict::next()
    }
}

#[test]
#[should_panic(expected = "or its `narrow` leaves that out")]
fn json_that_narrow_left_out_cannot_be_read() {
    let mut session = Run::<Hasty>::new(serde_json::json!({})).open(Exchange::chat());
    session.request();
}

#[test]
fn narrow_adds_no_hook_that_is_not_written() {
    let mut session = Run::<Hasty>::new(serde_json::json!({})).open(Exchange::chat());
    let sent = session.events([RawEvent::data("x")]);
    assert_eq!(sent.events.len(), 1);
}

struct Impure;

#[policy]
impl Policy for Impure {
    type Settings = NoSettings;

    fn check(_settings: &NoSettings) -> Result<(), Vec<String>> {
        let _ = clock::now_ms();
        Ok(())
    }

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }
}

#[test]
#[should_panic(expected = "the capability `clock` was called while settings were checked")]
fn capabilities_cannot_be_called_while_settings_are_checked() {
    let _ = Run::<Impure>::new(serde_json::json!({}));
}

#[test]
fn hooks_that_are_not_written_are_not_called() {
    let mut session = Run::<Impure>::try_new(serde_json::json!(7)).err();
    assert!(
        session
            .take()
            .is_some_and(|errors| errors[0].starts_with("/: invalid type"))
    );
    let hooks = <Impure as tollgate_sdk::Described>::HOOKS;
    assert_eq!(hooks, Hooks::NONE);
}

struct Holding {
    held: Vec<RawEvent>,
}

/// Holds text back until a sentence is whole.
#[policy]
impl Policy for Holding {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self { held: Vec::new() }
    }

    fn on_event(&mut self, event: &mut Event) {
        let is_whole = event.text().is_none_or(|text| text.ends_with('.'));
        if !is_whole {
            self.held.push(event.hold());
            return;
        }
        if event.text() == Some("Stop.") {
            self.held.clear();
            event.discard();
            event.cut("content_filter");
            return;
        }
        for held in self.held.drain(..) {
            event.send_before(held);
        }
    }

    fn on_finish(&mut self, _outcome: &Outcome) {
        let _ = kv::increment("finished", 1, None);
    }
}

#[test]
fn held_events_are_sent_in_order_and_nothing_after_a_cut() {
    let run = Run::<Holding>::new(serde_json::json!({}));
    let mut session = run.open(Exchange::chat().streaming());
    assert!(
        session
            .events([RawEvent::text("One "), RawEvent::text("two")])
            .events
            .is_empty()
    );
    assert_eq!(
        session.events([RawEvent::text(" three.")]).text(),
        "One two three."
    );
    let sent = session.events([RawEvent::text("Stop."), RawEvent::text("Never sent.")]);
    assert!(sent.ended);
    assert_eq!(
        sent.events,
        [RawEvent::finish("content_filter"), RawEvent::done()]
    );
    session.finish(&complete(None));
    assert_eq!(kv::get("finished"), Ok(Some(b"1".to_vec())));
}
