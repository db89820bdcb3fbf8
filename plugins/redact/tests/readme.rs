//! The example in the README is taken, and does what it says.

use redact::Redact;
use serde_json::Value;
use tollgate_sdk::testing::{Exchange, Run};

#[test]
fn the_example_in_the_readme_holds() {
    let readme = include_str!("../README.md");
    let yaml = readme
        .split("```yaml")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a block of YAML");
    let config: Value = serde_saphyr::from_str(yaml).expect("YAML");
    let settings = config
        .pointer("/policies/private/settings")
        .expect("settings");
    let run = Run::<Redact>::new(settings.clone());
    run.prove();
    let exchange = Exchange::chat().json("/messages/0/content", "EMP-123456, ada@example.com");
    let decided = run.open(exchange).request();
    assert_eq!(
        decided.json("/messages/0/content"),
        Some("[STAFF], (an address)".into())
    );
}
