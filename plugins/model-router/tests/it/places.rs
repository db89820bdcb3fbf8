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

#[test]
fn the_clients_address_says_country_and_region_where_nothing_else_does() {
    use tollgate_sdk::{
        geo::{Place, nowhere},
        testing::set_place,
    };
    let place = Place {
        country: Some("FR".to_owned()),
        region: Some("FR-IDF".to_owned()),
        ..nowhere()
    };
    set_place("203.0.113.9", place);
    let run = run(json!({
        "locate": true,
        "rules": [
            { "name": "paris", "when": { "regions": ["FR-IDF"] }, "then": { "model": "paris" } },
            { "name": "de", "when": { "countries": ["DE"] }, "then": { "model": "de" } },
        ],
    }));
    let from = |address: &str| Exchange::chat().fact("client_address", address);
    let decided = decide(&run, from("203.0.113.9"));
    let model = |decided: &Decided| decided.destination()?.model.clone();
    assert_eq!(model(&decided).as_deref(), Some("paris"));
    assert_eq!(decided.fact("country").as_deref(), Some("FR"));
    assert_eq!(decided.fact("region").as_deref(), Some("FR-IDF"));
    // An earlier policy knows better.
    let said = from("203.0.113.9")
        .fact("country", "DE")
        .fact("region", "DE-BY");
    assert_eq!(model(&decide(&run, said)).as_deref(), Some("de"));
    for unknown in ["203.0.113.10", "no address", ""] {
        assert!(decide(&run, from(unknown)).is_next(), "{unknown}");
    }
    assert!(decide(&run, Exchange::chat()).is_next());
}
