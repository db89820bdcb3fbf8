//! The example in the README is taken, and its case holds.

use model_rules::ModelRules;
use serde_json::Value;
use tollgate_sdk::testing::Run;

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
        .pointer("/policies/rules/settings")
        .expect("settings");
    let run = Run::<ModelRules>::new(settings.clone());
    run.prove();
    assert_eq!(run.samples().len(), 1);
}
