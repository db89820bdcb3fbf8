use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    basis::NAME_BYTES_MAX,
    table::{KEY_BYTES_MAX, Shard},
    *,
};
use crate::contract::{Destination, Refusal};

fn about() -> About<'static> {
    About {
        route: "chat",
        model: Some("small"),
        streaming: false,
        body_bytes: Some(10),
        // So that what is left of it is the same each time.
        deadline: Instant::now(),
        recorded: false,
    }
}

fn request(key: &str, body: &str) -> Message {
    let mut message = Message {
        method: http::Method::POST,
        path: "/v1/chat/completions".to_owned(),
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
        ..Message::default()
    };
    message
        .headers
        .insert("authorization", key.parse().unwrap());
    message
}

fn fact(value: &str) -> Decision {
    Decision {
        verdict: Verdict::Next,
        edits: vec![Edit::SetFact(("caller".to_owned(), value.to_owned()))],
    }
}

fn basis(seen: Seen, parts: &[(Part, &str)], host_calls: usize) -> Basis {
    let mut reads = Reads::default();
    for (part, name) in parts {
        reads.note(*part, name);
    }
    Basis {
        seen: Some(seen),
        reads,
        host_calls: host_calls as u32,
        is_last: true,
    }
}

const BLIND: Seen = Seen(0);
const KEY: (Part, &str) = (Part::Header, "authorization");

/// Learns what came of asking for these parts and nothing else.
fn learn(memo: &Memo, parts: &[(Part, &str)], key: &str, decision: &Decision) {
    let basis = basis(BLIND, parts, parts.len());
    memo.learn((&about(), 0, &mut request(key, "{}")), basis, decision);
}

fn known(memo: &Memo, about: &About<'_>, key: &str, body: &str) -> Option<String> {
    known_of(memo, about, &mut request(key, body))
}

fn known_of(memo: &Memo, about: &About<'_>, request: &mut Message) -> Option<String> {
    match memo.recall(about, request) {
        Recalled::Known(known) => match known.decision().edits.as_slice() {
            [Edit::SetFact((_, value))] => Some(value.clone()),
            _ => Some(String::new()),
        },
        Recalled::Unknown | Recalled::Resting => None,
    }
}

#[test]
fn a_decision_is_known_again_where_all_that_it_came_of_is_the_same() {
    let memo = Memo::new(64, false);
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    learn(&memo, &[KEY], "anna", &fact("a"));
    learn(&memo, &[KEY], "ben", &fact("b"));
    assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
    assert_eq!(known(&memo, &about(), "ben", "{}").as_deref(), Some("b"));
    assert_eq!(known(&memo, &about(), "carl", "{}"), None);
    let body = r#"{"nobody":"asked for the body"}"#;
    assert_eq!(known(&memo, &about(), "anna", body).as_deref(), Some("a"));
}

#[test]
fn whatever_the_head_tells_each_policy_tells_requests_apart() {
    let memo = Memo::new(64, false);
    learn(&memo, &[KEY], "anna", &fact("a"));
    let change: [fn(&mut About<'_>, &mut Message); 7] = [
        |about, _| about.route = "chatx",
        |_, request| request.method = http::Method::PUT,
        |_, request| request.path.push('x'),
        |about, _| about.model = None,
        |_, request| request.set_fact("caller", "anna"),
        |_, request| request.set_fact("tier", "gold"),
        |about, _| about.streaming = true,
    ];
    for change in change {
        let (mut other, mut request) = (about(), request("anna", "{}"));
        change(&mut other, &mut request);
        assert_eq!(known_of(&memo, &other, &mut request), None);
    }
    let later = About {
        body_bytes: None,
        deadline: Instant::now() + Duration::from_secs(9),
        ..about()
    };
    assert_eq!(known(&memo, &later, "anna", "{}").as_deref(), Some("a"));
}

#[test]
fn who_saw_the_bodys_length_or_the_deadline_is_asked_again_where_it_is_another() {
    let memo = Memo::new(64, false);
    let basis = basis(Seen::ALL, &[KEY], 1);
    memo.learn((&about(), 0, &mut request("anna", "{}")), basis, &fact("a"));
    assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
    let later = About {
        deadline: Instant::now() + Duration::from_secs(9),
        ..about()
    };
    assert_eq!(known(&memo, &later, "anna", "{}"), None);
    let longer = About {
        body_bytes: Some(11),
        ..about()
    };
    assert_eq!(known(&memo, &longer, "anna", "{}"), None);
}

#[test]
fn what_is_learned_counts_for_the_time_that_the_session_was_told_of() {
    let memo = Memo::new(64, false);
    let seen = || basis(Seen::ALL, &[KEY], 1);
    let told = (&about(), 1, &mut request("anna", "{}"));
    memo.learn(told, seen(), &fact("a"));
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
}

#[test]
fn a_part_that_is_asked_for_later_tells_all_requests_apart_from_then_on() {
    let memo = Memo::new(64, false);
    learn(&memo, &[KEY], "anna", &fact("a"));
    // With another key the policy looks at the tier, too.
    learn(&memo, &[KEY, (Part::Json, "/tier")], "ben", &fact("b"));
    assert_eq!(known(&memo, &about(), "ben", "{}").as_deref(), Some("b"));
    assert_eq!(known(&memo, &about(), "ben", r#"{"tier":1}"#), None);
    assert_eq!(known(&memo, &about(), "anna", "{}"), None, "learned anew");
    learn(&memo, &[KEY], "anna", &fact("a"));
    assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
    assert_eq!(known(&memo, &about(), "anna", r#"{"tier":1}"#), None);
}

#[test]
fn one_value_is_never_taken_for_another() {
    let parts = ["/a", "/b"].map(|name| (Part::Json, name.to_owned()));
    let table = Table::new(BLIND, parts.into(), 1);
    let bodies = [
        "{}",
        r#"{"a":null}"#,
        r#"{"b":null}"#,
        r#"{"a":""}"#,
        r#"{"a":"xy","b":"z"}"#,
        r#"{"a":"x","b":"yz"}"#,
        r#"{"a":0}"#,
        r#"{"a":-0.0}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"b":"\ud800"}"#,
        r#"{"a":false}"#,
        r#"{"a":true}"#,
        r#"{"a":"true"}"#,
        r#"{"a":[]}"#,
        r#"{"a":"[]"}"#,
        r#"{"a":{}}"#,
        "no JSON, so nothing can be read of it",
    ];
    let keys: Vec<_> = bodies
        .iter()
        .map(|body| {
            table
                .key(&about(), None, &mut request("anna", body))
                .unwrap()
        })
        .collect();
    for (at, key) in keys.iter().enumerate() {
        let same = keys.iter().position(|other| other == key).unwrap();
        let nothing_to_read = at == keys.len() - 1 && same == 0;
        assert!(same == at || nothing_to_read, "{}", bodies[at]);
    }
}

#[test]
fn who_asked_for_anything_else_is_asked_each_time() {
    let memo = Memo::new(64, false);
    for host_calls in [0, 2, 3] {
        let basis = basis(BLIND, &[KEY], host_calls);
        memo.learn((&about(), 0, &mut request("anna", "{}")), basis, &fact("a"));
        assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    }
    let unknown = Basis {
        seen: None,
        ..basis(BLIND, &[KEY], 1)
    };
    memo.learn(
        (&about(), 0, &mut request("anna", "{}")),
        unknown,
        &fact("a"),
    );
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    // The same part twice is no other part.
    let twice = basis(BLIND, &[KEY, KEY], 2);
    memo.learn((&about(), 0, &mut request("anna", "{}")), twice, &fact("a"));
    assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
}

#[test]
fn refusals_and_answers_are_decided_each_time_and_what_is_large_or_does_not_hold_too() {
    let memo = Memo::new(64, false);
    let refusal = Refusal {
        status: 401,
        code: "invalid_api_key".to_owned(),
        message: String::new(),
        retry_after_ms: None,
    };
    let refuse = Decision {
        verdict: Verdict::Refuse(refusal),
        edits: Vec::new(),
    };
    learn(&memo, &[KEY], "anna", &refuse);
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    let large = Decision {
        verdict: Verdict::Next,
        edits: vec![Edit::ReplaceBody(vec![b'x'; DECISION_BYTES_MAX])],
    };
    learn(&memo, &[KEY], "anna", &large);
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    learn(&memo, &[KEY], "anna", &fact("no fact\n"));
    assert_eq!(known(&memo, &about(), "anna", "{}"), None);
    let go_to = Decision {
        verdict: Verdict::GoTo(Destination {
            model: Some("large".to_owned()),
            upstream: None,
        }),
        edits: Vec::new(),
    };
    learn(&memo, &[KEY], "anna", &go_to);
    assert!(known(&memo, &about(), "anna", "{}").is_some());
}

#[test]
fn no_more_is_kept_than_may_be_and_the_newest_is() {
    for most in [1, 7, 64, 1001] {
        let memo = Memo::new(most, false);
        for n in 0..4 * most {
            let key = format!("key-{n}");
            learn(&memo, &[KEY], &key, &fact("a"));
            learn(&memo, &[KEY], &key, &fact("a"));
            assert!(known(&memo, &about(), &key, "{}").is_some());
        }
        let table = memo.table.load_full().unwrap();
        let kept = |shard: &RwLock<Shard>| {
            let shard = shard.read();
            assert_eq!(shard.decisions.len(), shard.keys.len());
            assert!(
                shard
                    .keys
                    .iter()
                    .all(|key| shard.decisions.contains_key(key))
            );
            shard.keys.len()
        };
        let kept: usize = table.shards.iter().map(kept).sum();
        assert!((most / 2..=most).contains(&kept), "{kept} of {most}");
    }
}

#[test]
fn more_parts_than_are_worth_it_are_not_noted_and_nothing_comes_of_them() {
    let memo = Memo::new(64, false);
    let names: Vec<_> = (0..=PARTS_MAX).map(|n| format!("x-{n}")).collect();
    let parts: Vec<_> = names.iter().map(|n| (Part::Header, n.as_str())).collect();
    learn(&memo, &parts, "anna", &fact("a"));
    assert!(memo.table.load().is_none());
    // Nor if they come together over time.
    let (first, rest) = parts.split_at(PARTS_MAX);
    learn(&memo, first, "anna", &fact("a"));
    learn(&memo, rest, "anna", &fact("a"));
    assert_eq!(memo.table.load().as_ref().unwrap().parts.len(), PARTS_MAX);
}

#[test]
fn what_is_too_long_to_be_looked_up_is_not() {
    let memo = Memo::new(64, false);
    learn(&memo, &[KEY, (Part::Json, "/text")], "anna", &fact("a"));
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(KEY_BYTES_MAX));
    let basis = basis(BLIND, &[KEY, (Part::Json, "/text")], 2);
    memo.learn(
        (&about(), 0, &mut request("anna", &long)),
        basis,
        &fact("a"),
    );
    assert_eq!(known(&memo, &about(), "anna", &long), None);
    assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
}

/// Whether it is looked up; if so, it is not found, and this is decided.
fn looks(memo: &Memo, n: u32, decision: &Decision) -> bool {
    let key = format!("key-{n}");
    match memo.recall(&about(), &mut request(&key, "{}")) {
        Recalled::Resting => return false,
        Recalled::Unknown => learn(memo, &[KEY], &key, decision),
        Recalled::Known(_) => panic!("nobody asked about {key}"),
    }
    true
}

#[test]
fn where_nothing_is_found_nothing_is_looked_up_for_a_while() {
    let memo = Memo::new(64, false);
    let looked = |from: u32, times: u32| {
        let looked = (from..from + times).filter(|n| looks(&memo, *n, &fact("a")));
        looked.count() as u32
    };
    assert_eq!(looked(0, MISSES_MAX), MISSES_MAX);
    assert_eq!(looked(MISSES_MAX, REST), 0);
    let later = MISSES_MAX + REST;
    assert_eq!(looked(later, REST), TRIES, "and then it is tried");
}

#[test]
fn who_is_refused_keeps_nobody_from_being_looked_up() {
    let memo = Memo::new(64, false);
    let refuse = Decision {
        verdict: Verdict::Refuse(Refusal {
            status: 401,
            code: "invalid_api_key".to_owned(),
            message: String::new(),
            retry_after_ms: None,
        }),
        edits: Vec::new(),
    };
    assert!((0..10 * MISSES_MAX).all(|n| looks(&memo, n, &refuse)));
}

#[test]
fn a_fifth_that_is_found_is_worth_it() {
    let memo = Memo::new(1024, false);
    learn(&memo, &[KEY], "anna", &fact("a"));
    for n in 0..10 * MISSES_MAX {
        if n % 5 > 0 {
            assert!(looks(&memo, n, &fact("a")), "{n}");
        } else {
            assert_eq!(known(&memo, &about(), "anna", "{}").as_deref(), Some("a"));
        }
    }
}

#[test]
fn without_room_for_decisions_nothing_is_noted() {
    let memo = Memo::new(0, false);
    let looked = memo.recall(&about(), &mut request("anna", "{}"));
    assert!(matches!(looked, Recalled::Resting));
}

#[test]
fn what_a_plugin_says_that_nobody_knows_is_not_taken_for_nothing() {
    assert_eq!(Seen::of(0), Some(BLIND));
    assert!(Seen::of(1 << 31).unwrap().is_stateless());
    assert_eq!(Seen::of(1 << 4), None);
}

#[test]
fn who_asks_for_parts_with_long_names_is_asked_each_time() {
    let memo = Memo::new(64, false);
    let name = "x".repeat(NAME_BYTES_MAX + 1);
    learn(&memo, &[(Part::Header, &name)], "anna", &fact("a"));
    assert!(memo.table.load().is_none());
}

/// The table has a part that one of two kinds of requests is asked for; a fault that is found
/// there would have the other kind refused.
#[test]
fn looking_leaves_no_trace_in_the_request() {
    let memo = Memo::new(64, false);
    learn(&memo, &[KEY, (Part::Json, "/a/b")], "anna", &fact("a"));
    let mut twice = request("anna", r#"{"a":{"c":1,"c":2}}"#);
    assert!(matches!(
        memo.recall(&about(), &mut twice),
        Recalled::Unknown
    ));
    assert!(twice.json.as_ref().unwrap().fault().is_none());
    // Who does ask for it finds it, and what was found before is not forgotten.
    assert!(twice.json("/a/b").is_none());
    assert!(twice.json.as_ref().unwrap().fault().is_some());
    memo.recall(&about(), &mut twice);
    assert!(twice.json.as_ref().unwrap().fault().is_some());
}

#[test]
fn a_body_that_is_no_json_is_as_if_nobody_had_looked() {
    let memo = Memo::new(64, false);
    learn(&memo, &[KEY, (Part::Json, "/a")], "anna", &fact("a"));
    let mut broken = request("anna", "{");
    memo.recall(&about(), &mut broken);
    assert!(broken.json_error.is_none() && broken.json.is_none());
    assert!(broken.read_json().is_err());
    memo.recall(&about(), &mut broken);
    assert!(broken.json_error.is_some());
}

/// Who asks by it looks into the document as far as it leads, and a fault that is found there has
/// the request refused.
#[test]
fn who_asks_by_what_is_no_pointer_is_asked_each_time() {
    let memo = Memo::new(64, false);
    let parts = [KEY, (Part::Json, "/a/~2")];
    for body in [r#"{"a":{"x":1,"x":2}}"#, r#"{"a":{}}"#, "{}"] {
        memo.learn(
            (&about(), 0, &mut request("anna", body)),
            basis(BLIND, &parts, 2),
            &fact("a"),
        );
        assert_eq!(known(&memo, &about(), "anna", body), None, "{body}");
    }
}

#[test]
fn what_a_policy_was_told_is_kept_only_where_it_may_be_told_again() {
    for (comes_back, streaming) in [(true, false), (true, true), (false, false)] {
        let memo = Memo::new(64, comes_back);
        let about = About {
            streaming,
            ..about()
        };
        let mut request = request("anna", "{}");
        request.set_fact("caller", "anna");
        memo.learn(
            (&about, 0, &mut request),
            basis(BLIND, &[KEY], 1),
            &fact("a"),
        );
        let Recalled::Known(known) = memo.recall(&about, &mut request) else {
            panic!("it was learned")
        };
        let told = (comes_back && !streaming).then_some("anna");
        assert_eq!(known.told(), [told, None], "{comes_back} {streaming}");
    }
}
