//! Every configuration in `warned/` is warned of as the text beside it says.
//!
//! To write the texts anew: `UPDATE_GOLDEN=1 cargo test -p tollgate-config`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tollgate_config::{ConfigWarning, load, locate, render};

fn in_folder(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn warnings(config: &Path) -> String {
    let loaded = load(config).unwrap_or_else(|error| panic!("{error}"));
    let shown = loaded.warnings().into_iter().map(|warning| {
        let ConfigWarning {
            pointer,
            at,
            message,
        } = warning;
        let at = at.or_else(|| locate(config, &pointer));
        at.map_or(message.clone(), |at| render(&at, &message)) + "\n"
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_warned_configuration_gives_its_warnings() {
    let is_case = |path: &PathBuf| path.extension().is_none_or(|extension| extension == "yaml");
    let cases: Vec<_> = in_folder("tests/warned")
        .into_iter()
        .filter(is_case)
        .collect();
    assert!(cases.len() > 3, "{cases:?}");
    for case in cases {
        let (golden, found) = (case.with_extension("txt"), warnings(&case));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{}", case.display());
    }
}

#[test]
fn no_example_is_warned_of() {
    let examples = in_folder("../../examples");
    let files = examples.iter().map(|example| example.join("tollgate.yaml"));
    let files: Vec<_> = files.filter(|file| file.is_file()).collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        assert_eq!(warnings(&file), "", "{}", file.display());
    }
}
