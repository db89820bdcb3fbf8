//! Bad input of operators and authors, each with its message; and `tollgate check`,
//! which has to say the same of everything.

use std::{fs, process::Output};

use serde_json::Value;
use tokio::process::Command;

use super::{
    case::{Case, is_golden},
    configs,
    folder::{Folder, Start},
    ground::Ground,
    plugins,
};
use crate::fixture;

refused! {
    an_unknown_key_of_a_policy from Budgeted by |folder| folder.reword("on_error: refuse", "on_error: refuse\n    colour: blue");
    an_unknown_grant from Budgeted by |folder| folder.reword("limits: true", "limits: true, machine: true");
    an_import_that_is_not_granted from Budgeted by |folder| folder.reword("    grants: { limits: true }\n", "");
    an_import_that_is_granted_to_another_policy from Budgeted by |folder| folder.reword(
        "policies: ",
        "policies:\n  other: { plugin: token-budget, on_error: refuse, settings: { default: { tokens: 9, period: 1h } } }",
    );
    a_setting_of_the_wrong_type from Budgeted by |folder| folder.reword("tokens: 1000000", "tokens: many");
    a_setting_out_of_its_range from Budgeted by |folder| folder.reword("tokens: 1000000", "tokens: 0");
    a_setting_that_matches_no_pattern from Budgeted by |folder| folder.reword("period: 1h", "period: a while");
    a_setting_that_is_none_of_its_words from Budgeted by |folder| folder.reword("on_missing_caller: share", "at_edge: never");
    a_setting_that_is_unknown from Budgeted by |folder| folder.reword("default:", "defualt:");
    a_setting_that_is_missing from Budgeted by |folder| folder.reword(", period: 1h", "");
    settings_where_none_may_be from Greeted by |folder| folder.reword("on_error: refuse", "on_error: refuse, settings: { tone: warm }");
    a_plugin_for_another_contract from Greeted by |folder| folder.save_plugin(contract("9.1.0"));
    a_plugin_that_is_cut_off from Greeted by |folder| {
        let whole = greeting();
        folder.save_plugin(&whole[..whole.len() / 2]);
    };
    a_plugin_that_is_no_wasm from Greeted by |folder| folder.save_plugin("#!/bin/sh\nexit 0\n");
    two_policies_that_are_wrong_at_once from Budgeted by |folder| folder.reword(
        "    grants: { limits: true }\n    settings:\n      default: { tokens: 1000000, period: 1h }\n      on_missing_caller: share",
        "    settings: {}\n  another: { plugin: token-budget, on_error: refuse, grants: { limits: true }, settings: { per: moon } }",
    );
}

fn greeting() -> Vec<u8> {
    fs::read(fixture::guest("greeting-v1")).unwrap()
}

/// The plugin as one for another version of the contract names its imports and exports.
fn contract(version: &str) -> Vec<u8> {
    let mut wasm = greeting();
    let (from, to) = (b"@0.1.0", format!("@{version}"));
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..wasm.len() - from.len())
        .filter(|at| wasm[*at..].starts_with(from))
        .collect();
    assert!(places.len() > 3, "the names are not where they were");
    for at in places {
        wasm[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    wasm
}

async fn check(folder: &Folder, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("check")
        .arg("--config")
        .arg(folder.file())
        .args(flags)
        .output()
        .await
        .unwrap()
}

/// What `check` refused; `None`: it accepted.
async fn checked(folder: &Folder) -> Option<Value> {
    let output = check(folder, &["--json"]).await;
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(
        said["ok"] == true,
        output.status.success(),
        "{said} {output:?}"
    );
    said.get("refused").cloned()
}

/// The server's words are golden in a test for each case; these are compared with the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_refuses_every_case_with_the_words_of_the_server() {
    let of = |case: &'static Case| async move {
        let folder = Folder::new(case.start, "127.0.0.1:9");
        (case.deed)(&folder);
        match checked(&folder).await {
            Some(refused) => is_golden(case.name, &folder, &refused),
            None => panic!("{}: accepted", case.name),
        }
    };
    let cases: Vec<&Case> = [configs::CASES, plugins::CASES, CASES]
        .into_iter()
        .flatten()
        .collect();
    for pair in cases.chunks(2) {
        futures_util::future::join_all(pair.iter().map(|case| of(case))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_accepts_what_a_gateway_starts_with() {
    for start in [Start::Plain, Start::Greeted, Start::Budgeted] {
        let ground = Ground::start(start).await;
        assert_eq!(checked(&ground.folder).await, None);
        ground.folder.mend("two");
        assert_eq!(checked(&ground.folder).await, None);
        assert!(ground.gateway.reload().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_to_a_person_what_is_wrong_and_fails() {
    let folder = Folder::new(Start::Plain, "127.0.0.1:9");
    let good = check(&folder, &[]).await;
    assert!(good.status.success(), "{good:?}");
    folder.append("colour: blue\n");
    let bad = check(&folder, &[]).await;
    assert_eq!(
        (bad.status.code(), bad.stdout.as_slice()),
        (Some(1), &[][..])
    );
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(
        said.starts_with(&format!(
            "{}:11:1: unknown key `colour`",
            folder.file().display()
        )),
        "{said}"
    );
}

/// The configurations that the configuration's own tests refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_the_server_say_the_same_of_every_golden_configuration() {
    let ground = Ground::start(Start::Plain).await;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/tests/golden");
    let mut tried = 0;
    for entry in fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        let is_case = path
            .extension()
            .is_some_and(|extension| extension == "yaml");
        if !is_case || !path.with_extension("err").exists() {
            continue;
        }
        ground.folder.save(fs::read(&path).unwrap());
        let (said, checked) = tokio::join!(ground.reload(), checked(&ground.folder));
        let checked = checked.unwrap_or_else(|| panic!("{}: accepted", path.display()));
        assert_eq!(said.1["refused"], checked, "{}", path.display());
        tried += 1;
    }
    assert!(tried > 20, "the golden folder is not there");
    assert_eq!(ground.gateway.generation(), 1);
    ground.neighbour_saw(&["one"]).await;
}
