//! The examples in the README are taken.

use anthropic::Anthropic;
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
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let config: Value = serde_saphyr::from_str(block).expect("YAML");
        let policies = config["policies"].as_object().expect("policies");
        for (name, policy) in policies {
            assert_eq!(policy["plugin"], "anthropic");
            Run::<Anthropic>::new(policy["settings"].clone()).prove();
            assert!(
                config["models"]
                    .to_string()
                    .contains(&format!("\"{name}\"")),
                "it is attached to a target"
            );
        }
    }
}
