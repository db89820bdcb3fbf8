//! Every wrong configuration in `golden/` gives the message beside it.
//!
//! `x.yaml` (or the folder `x/`) has `x.err`; one without must load. To write the
//! messages anew: `UPDATE_GOLDEN=1 cargo test -p tollgate-config`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tollgate_config::{ConfigError, json_schema, load};

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Relative to the package, which is where cargo runs tests: so messages are the same everywhere.
fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir("tests/golden")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension == "yaml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 20, "the golden folder is not there");
    cases
}

#[test]
fn every_golden_configuration_gives_its_message() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = match load(&case) {
            Ok(_) => String::new(),
            Err(error) => format!("{error}\n"),
        };
        let golden = case.with_extension("err");
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let good = case
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("good");
        if updating() && !good {
            fs::write(&golden, &found).unwrap();
        } else if found != expected {
            wrong.push(format!(
                "{}\n--- expected\n{expected}--- found\n{found}",
                case.display()
            ));
        }
        assert!(
            good || !found.is_empty(),
            "{} loads, though its name does not start with `good`",
            case.display()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    let path = Path::new("schema/tollgate.schema.json");
    let made = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if updating() {
        fs::write(path, &made).unwrap();
    }
    assert_eq!(
        fs::read_to_string(path).unwrap_or_default(),
        made,
        "run with UPDATE_GOLDEN=1 and commit"
    );
}

#[test]
fn an_error_is_one_value_a_program_can_look_into() {
    let error = load(Path::new("tests/golden/unresolved.yaml")).unwrap_err();
    let ConfigError::Invalid(problems) = error else {
        panic!("{error}")
    };
    assert!(problems.iter().count() > 5);
    assert!(problems.iter().all(|problem| problem.location.line > 0));
}
