use super::*;

fn by(facts: &[&str]) -> Run<RateLimit> {
    run(json!([{ "name": "n", "by": facts, "requests": 1, "period": "1h" }]))
}

#[test]
fn a_name_of_64_kib_counts_by_its_start_and_its_length() {
    let run = by(&["model"]);
    let long = |start: &str, length: usize| {
        Exchange::chat().json("/model", format!("{start}{}", "é".repeat(length)))
    };
    assert!(passes(&run, long("a", 32 * 1024)));
    assert!(!passes(&run, long("a", 32 * 1024)));
    assert!(passes(&run, long("a", 32 * 1024 + 1)));
    assert!(passes(&run, long("b", 32 * 1024)));
}

#[test]
fn facts_of_their_full_length_are_told_apart_to_the_last_byte() {
    let run = by(&["caller", "team"]);
    let ask = |end: &str| {
        passes(
            &run,
            chat(&"c".repeat(1024)).fact("team", "t".repeat(1023) + end),
        )
    };
    assert!(ask("a"));
    assert!(ask("b"));
    assert!(!ask("a"));
}

#[test]
fn no_value_can_be_made_to_look_like_two() {
    let run = by(&["caller", "team"]);
    let ask = |caller: &str, team: &str| passes(&run, chat(caller).fact("team", team));
    assert!(ask("a", "b;team=1:c"));
    assert!(ask("a;team=10:b", "c"));
    assert!(ask("a;team=1:b", ";team=1:c"));
    assert!(ask("", "a"));
    assert!(ask("a", ""));
    assert!(ask("\u{0}\n#", "é\u{1f600}"));
    assert!(!ask("a", ""));
}

#[test]
fn a_fact_does_not_stand_in_for_the_route_or_the_model() {
    let run = by(&["route", "model"]);
    assert!(passes(&run, chat("ada")));
    assert!(!passes(
        &run,
        chat("ada").fact("route", "x").fact("model", "y")
    ));
}

#[test]
fn a_model_that_is_no_text_is_none() {
    let run = by(&["model"]);
    for model in ["5", "null", "[\"m\"]", "{\"m\":1}", "true", "1e400"] {
        let body = format!(r#"{{"model":{model},"messages":[]}}"#);
        assert_eq!(
            refused(&run, Exchange::chat().body(body)).status,
            400,
            "{model}"
        );
    }
    let deep = format!(r#"{{"model":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    for body in [deep.as_str(), "", "not JSON", "[]", "\"model\""] {
        assert_eq!(refused(&run, Exchange::chat().body(body)).status, 400);
    }
}

#[test]
fn the_largest_limits_hold() {
    let run = run(json!([
        { "name": "w", "by": [], "requests": u64::MAX, "period": "366d" },
        { "name": "b", "by": [], "requests": u64::MAX, "period": "366d", "algorithm": "token-bucket" },
        { "name": "c", "by": [], "concurrency": u64::MAX },
    ]));
    assert_eq!(count(&run, &chat("ada"), 3), 3);
    let mut session = start(&run, chat("ada")).unwrap();
    assert!(session.response(Answer::new(200)).is_next());
}
