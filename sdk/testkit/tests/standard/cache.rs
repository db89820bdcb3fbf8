use serde_json::{Value, json};
use tollgate_testkit::{Grants, Isolation, Loaded};

use super::*;

fn caching(isolation: Isolation) -> Loaded {
    let cache = Grants {
        cache: true,
        ..Grants::default()
    };
    let plugin = standard("cache").grants(cache).isolation(isolation);
    plugin
        .settings(json!({ "ttl": "10m", "by": [] }))
        .load()
        .unwrap()
}

fn key(policy: &Loaded, fields: &Value) -> Option<Vec<u8>> {
    let run = policy.run(asking(fields)).unwrap();
    assert!(is_let_through(&run), "{:?}", run.verdict);
    run.plan.map(|plan| plan.key)
}

#[test]
fn it_needs_the_grant_of_the_cache_and_no_other() {
    let plugin = standard("cache").settings(json!({ "ttl": "10m" }));
    let refused = plugin.load().unwrap_err().to_string();
    assert!(refused.contains("`cache`"), "{refused}");
}

#[test]
fn it_plans_the_same_for_requests_that_are_alike_and_nothing_for_what_is_drawn() {
    for isolation in ISOLATIONS {
        let policy = caching(isolation);
        let chat = json!({ "temperature": 0, "messages": [{ "role": "user", "content": "x" }] });
        let spelt = json!({ "messages": [{ "content": "x", "role": "user" }], "user": "u", "temperature": 0.0 });
        let other = json!({ "temperature": 0, "messages": [{ "role": "user", "content": "y" }] });
        let drawn = json!({ "messages": [{ "role": "user", "content": "x" }] });
        let planned = key(&policy, &chat);
        assert!(planned.is_some());
        assert_eq!(key(&policy, &spelt), planned);
        assert_ne!(key(&policy, &other), planned);
        assert_eq!(key(&policy, &drawn), None);
    }
}

#[test]
fn a_body_as_long_as_allowed_is_read_within_the_bounds_of_a_plugin() {
    let policy = caching(Isolation::Exchange);
    let items = vec![json!({ "role": "user", "content": "x\"y".repeat(20) }); 2000];
    let planned = key(&policy, &json!({ "temperature": 0, "messages": items }));
    assert!(planned.is_some_and(|key| key.len() > 100_000));
}
