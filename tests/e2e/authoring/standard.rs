//! The standard policies, and those among the examples, hold to the cases in their folders.

use std::fs;

use tollgate::demo::plugins_build::workspace_root;

use super::tollgate;

/// One test for all: they are built one after another anyhow.
#[test]
fn every_standard_plugin_holds_to_its_cases() {
    let root = workspace_root().unwrap();
    let mut folders: Vec<_> = fs::read_dir(root.join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    assert!(folders.len() >= 12, "the plugins are not there");
    folders.push(root.join("examples/prefix-affinity"));
    for folder in folders {
        let cases = fs::read_dir(folder.join("cases")).unwrap().count();
        assert!(cases >= 2, "{}: {cases} cases", folder.display());
        let name = folder.file_name().unwrap().to_string_lossy();
        let said = tollgate(&root, &["plugin", "test", &folder.to_string_lossy()]);
        assert!(said.is_good, "{}\n{}", said.out, said.error);
        assert!(
            said.out
                .ends_with(&format!("{name}: {cases} passed, 0 failed\n")),
            "{}",
            said.out
        );
    }
}

#[test]
fn the_case_on_the_page_holds() {
    let root = workspace_root().unwrap();
    let page = fs::read_to_string(root.join("docs/testing.md")).unwrap();
    let (_, section) = page.split_once("## Cases\n").unwrap();
    let (_, case) = section.split_once("```yaml\n").unwrap();
    let (case, _) = case.split_once("```\n").unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("on-the-page.yaml"), case).unwrap();
    let plugin = crate::fixture::guest("token-budget");
    let plugin = plugin.to_string_lossy();
    let said = tollgate(outside.path(), &["plugin", "test", &plugin, "--cases", "."]);
    assert!(said.is_good, "{}\n{}", said.out, said.error);
    assert!(
        said.out.ends_with("token-budget: 1 passed, 0 failed\n"),
        "{}",
        said.out
    );
}
