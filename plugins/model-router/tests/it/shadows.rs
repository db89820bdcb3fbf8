use super::*;
use tollgate_sdk::{Destination, testing::shadowed};

fn with(then: Value) -> Run<ModelRouter> {
    run(json!({ "rules": [
        { "name": "chat", "when": { "models": ["chat"] }, "then": then },
        { "name": "rest", "then": { "model": "rest" } },
    ] }))
}

#[test]
fn a_copy_goes_where_the_rule_says_and_the_request_where_it_went_before() {
    let run =
        with(json!({ "model": "chat-1", "shadow": { "model": "chat-2", "upstream": "spare" } }));
    let decided = decide(&run, ask("chat"));
    let to = Destination {
        model: Some("chat-2".to_owned()),
        upstream: Some("spare".to_owned()),
    };
    assert_eq!(shadowed(), Some(to));
    assert_eq!(
        decided.destination().unwrap().model.as_deref(),
        Some("chat-1")
    );
    assert_eq!(
        decided.fact("shadowed_to").as_deref(),
        Some("chat-2 via spare")
    );
    assert_eq!(decided.fact("routed_to").as_deref(), Some("chat-1"));
    let other = decide(&run, ask("other"));
    assert_eq!(shadowed(), None, "another rule's");
    assert_eq!(other.fact("shadowed_to"), None);
}

#[test]
fn a_rule_may_have_a_shadow_and_nothing_else() {
    let run = with(json!({ "shadow": { "upstream": "spare" } }));
    assert!(decide(&run, ask("chat")).is_next());
    assert_eq!(shadowed().unwrap().upstream.as_deref(), Some("spare"));
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let run = with(json!({ "shadow": { "model": "next", "percent": 10 } }));
    let copied = (0..2000).filter(|_| {
        decide(&run, ask("chat"));
        shadowed().is_some()
    });
    // Six standard deviations to either side.
    assert!((120..=280).contains(&copied.count()));
}

#[test]
fn a_shadow_that_leads_nowhere_or_has_no_share_is_refused_by_its_place() {
    let mistakes = |shadow: Value| {
        errors(json!({ "rules": [{ "name": "r", "then": { "model": "m", "shadow": shadow } }] }))
    };
    for (shadow, place) in [
        (json!({}), "/rules/0/then/shadow: leads nowhere"),
        (
            json!({ "model": "n", "percent": 0 }),
            "/rules/0/then/shadow/percent",
        ),
        (
            json!({ "model": "n", "percent": 101 }),
            "/rules/0/then/shadow/percent",
        ),
    ] {
        let found = mistakes(shadow);
        assert!(
            found.iter().any(|mistake| mistake.contains(place)),
            "{place}: {found:?}"
        );
    }
}
