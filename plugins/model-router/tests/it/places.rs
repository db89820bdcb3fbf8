use super::*;

fn by_header() -> Run<ModelRouter> {
    run(json!({
        "country_header": "CF-IPCountry",
        "region_header": "x-region",
        "rules": [
            { "name": "south", "when": { "regions": ["eu-south-*"] }, "then": { "model": "south" } },
            { "name": "eu", "when": { "countries": ["de", "FR"] }, "then": { "model": "eu" } },
        ],
    }))
}

#[test]
fn a_trusted_header_says_country_and_region_and_becomes_a_fact() {
    let run = by_header();
    let decided = decide(&run, Exchange::chat().header("cf-ipcountry", "de"));
    assert_eq!(decided.destination().unwrap().model.as_deref(), Some("eu"));
    assert_eq!(decided.fact("country").as_deref(), Some("DE"));
    assert_eq!(decided.fact("region"), None);
    let decided = decide(&run, Exchange::chat().header("x-region", "eu-south-1"));
    assert_eq!(
        decided.destination().unwrap().model.as_deref(),
        Some("south")
    );
    assert_eq!(decided.fact("region").as_deref(), Some("eu-south-1"));
    let elsewhere = decide(&run, Exchange::chat().header("cf-ipcountry", "US"));
    assert!(elsewhere.is_next());
    assert_eq!(
        elsewhere.fact("country").as_deref(),
        Some("US"),
        "for later policies"
    );
}

#[test]
fn what_is_no_country_or_region_is_none() {
    let run = by_header();
    for value in [
        &b"DEU"[..],
        b"D",
        b"",
        b"D\xc3\x9c",
        b"d\te",
        b"\xff\xfe",
        b"1A",
        b"DE, FR",
    ] {
        let decided = decide(
            &run,
            Exchange::chat().header("cf-ipcountry", value.to_vec()),
        );
        assert!(decided.is_next() && decided.is_untouched(), "{value:?}");
    }
    for value in ["", "eu south", "eu-south-\u{e9}", &"e".repeat(65)] {
        let decided = decide(&run, Exchange::chat().header("x-region", value));
        assert!(decided.is_next() && decided.is_untouched(), "{value:?}");
    }
}

#[test]
fn with_a_header_no_fact_stands_in_for_it_and_without_one_the_fact_counts() {
    let fact = || Exchange::chat().fact("country", "DE");
    assert_eq!(led(&by_header(), fact()), "-");
    let run = run(json!({ "rules": [
        { "name": "eu", "when": { "countries": ["DE"] }, "then": { "model": "eu" } },
    ] }));
    assert_eq!(led(&run, fact()), "eu");
    assert_eq!(
        led(&run, Exchange::chat().header("cf-ipcountry", "DE")),
        "-"
    );
}

#[test]
fn the_facts_are_set_also_where_no_rule_looks_at_them() {
    let run = run(json!({ "country_header": "x-country" }));
    let decided = decide(&run, Exchange::chat().header("x-country", "jp"));
    assert_eq!(decided.fact("country").as_deref(), Some("JP"));
}
