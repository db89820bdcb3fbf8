//! The examples in the README are taken.

use open_inference::OpenInference;
use serde_json::Value;
use tollgate_sdk::testing::Run;

#[test]
fn the_examples_in_the_readme_hold() {
    let readme = include_str!("../../README.md");
    let blocks: Vec<_> = readme
        .split("```yaml")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let config: Value = serde_saphyr::from_str(block).expect("YAML");
        let policies = config["policies"].as_object().expect("policies");
        for (name, policy) in policies {
            assert_eq!(policy["plugin"], "open-inference");
            Run::<OpenInference>::new(policy["settings"].clone()).prove();
            let named = format!("\"{name}\"");
            let stands = [&config["models"], &config["routes"]];
            let stands = stands
                .iter()
                .any(|place| place.to_string().contains(&named));
            assert!(stands, "it is attached to something");
        }
    }
}
