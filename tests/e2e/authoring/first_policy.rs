//! From nothing to a plugin's file, outside of the repository.

use std::{fs, process::Command};

use serde_json::Value;
use tollgate::demo::plugins_build::{target_dir, workspace_root};

use super::{Made, Said, said, steady, tollgate};

#[test]
fn a_crate_is_made_tested_built_and_looked_at() {
    let made = Made::new("short-prompts");
    let said = made.tollgate(&["plugin", "test"]);
    assert!(said.is_good, "{}", said.error);
    assert_eq!(
        said.out,
        "\
ok greets
 open N µs N KiB 0 host calls
 on_request N µs N KiB 0 host calls
ok refuses-empty-greeting
short-prompts: 2 passed, 0 failed
",
    );

    let said = made.tollgate(&["plugin", "build"]);
    assert!(said.is_good, "{}", said.error);
    let facts = "\
short-prompts 0.1.0: N KiB, a module
 contract tollgate:policy@0.1.0
 hooks on_request
 needs none
 capabilities log
 to be granted none
 sha256 HASH
 settings greeting string, required The value of `x-greeting`.
";
    let expected = format!(
        "wrote short-prompts.wasm\n{facts}Next: name it in a policy of the gateway's configuration, as \
         `plugin: short-prompts`\n"
    );
    assert_eq!(said.out, expected);
    let page = workspace_root().unwrap().join("docs/writing-policies.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, shown) = page
        .split_once("$ tollgate plugin build --out /etc/tollgate/plugins\n")
        .unwrap();
    // But for the folder and the settings, which are of another policy there.
    let shown = steady(shown.split("  …\n").next().unwrap());
    let shown = shown.replace("/etc/tollgate/plugins/", "");
    assert!(expected.starts_with(&shown), "{shown}");
    let wasm = fs::read(made.folder().join("short-prompts.wasm")).unwrap();
    assert!(wasm.starts_with(b"\0asm\x01\0\0\0"), "a module");
    assert!(wasm.len() < 1 << 20, "{} bytes", wasm.len());

    let said = made.tollgate(&["plugin", "inspect", "short-prompts.wasm"]);
    assert_eq!((said.is_good, &*said.out), (true, facts), "{}", said.error);

    let said = made.tollgate(&["plugin", "inspect", "short-prompts.wasm", "--json"]);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["hooks"], serde_json::json!(["on_request"]));
    assert_eq!(json["bytes"], wasm.len());
    let said = made.tollgate(&["plugin", "inspect", "short-prompts.wasm", "--schema"]);
    let schema: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(schema, json["settings_schema"]);
    assert_eq!(schema["required"], serde_json::json!(["greeting"]));
}

#[test]
fn a_component_is_written_for_those_who_want_one_and_does_the_same() {
    let made = Made::new("as-component");
    let said = made.tollgate(&["plugin", "build", "--component", "--with-cases"]);
    assert!(said.is_good, "{}", said.error);
    assert!(
        said.out.contains("a component\n") && said.out.contains("\n cases 2\n"),
        "{}",
        said.out
    );
    let said = made.tollgate(&["plugin", "test", "as-component.wasm"]);
    assert!(said.is_good, "{}{}", said.out, said.error);
    assert!(
        said.out.ends_with("as-component: 2 passed, 0 failed\n"),
        "{}",
        said.out
    );
}

#[test]
fn a_quick_build_is_written_where_it_is_to_be_and_with_cases_that_every_gateway_would_try() {
    let made = Made::new("in-a-hurry");
    fs::create_dir(made.folder().join("out")).unwrap();
    let said = made.tollgate(&["plugin", "build", "--quick", "--out", "out"]);
    assert!(said.is_good, "{}", said.error);
    assert!(
        said.out.starts_with("wrote out/in-a-hurry.wasm\n"),
        "{}",
        said.out
    );
    let cases = ["plugin", "test", "out/in-a-hurry.wasm", "--cases", "cases"];
    let said = made.tollgate(&cases);
    assert!(said.is_good, "{}{}", said.out, said.error);

    made.write("cases/new.yaml", "settings: { greeting: hi }\n");
    let said = made.tollgate(&[
        "plugin",
        "build",
        "--quick",
        "--with-cases",
        "--out",
        "a.wasm",
    ]);
    assert!(!said.is_good);
    assert!(
        said.error.ends_with(
            "error: `in-a-hurry` builds, and every gateway would refuse it with its cases: its case `new` does not \
             hold: it does not say what it expects\n"
        ),
        "{}",
        said.error
    );
    assert!(!made.folder().join("a.wasm").exists());
}

/// `cargo test` in a crate, with what `TOLLGATE` says.
fn cargo_test(made: &Made, tollgate: &str) -> Said {
    let target = target_dir(&workspace_root().unwrap());
    let output = Command::new(env!("CARGO"))
        .args(["test", "--target-dir"])
        .arg(target.join("guests"))
        .current_dir(made.folder())
        .env("TOLLGATE", tollgate)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .unwrap();
    said(&output)
}

#[test]
fn the_native_test_of_a_new_crate_passes_and_so_does_that_in_the_sandbox() {
    let made = Made::new("tested");
    let said = cargo_test(&made, env!("CARGO_BIN_EXE_tollgate"));
    assert!(said.is_good, "{}{}", said.out, said.error);
    for test in [
        "tests::every_request_is_greeted",
        "every_case_holds_in_the_sandbox",
    ] {
        let passed = format!("test {test} ... ok\n");
        assert!(said.out.contains(&passed), "{}", said.out);
    }

    let said = cargo_test(&made, "/nowhere/tollgate");
    assert!(!said.is_good);
    let advice = "Put `tollgate` into your PATH, or where it is into TOLLGATE";
    assert!(said.out.contains(advice), "{}", said.out);

    made.reword(
        "cases/greets.yaml",
        "x-greeting: hello }",
        "x-greeting: bye }",
    );
    let said = cargo_test(&made, env!("CARGO_BIN_EXE_tollgate"));
    assert!(!said.is_good);
    assert!(
        said.out.contains("+ - set_header: { x-greeting: hello }"),
        "{}",
        said.out
    );
}

#[test]
fn a_new_crate_says_where_its_sdk_comes_from() {
    let outside = tempfile::tempdir().unwrap();
    let said = tollgate(outside.path(), &["plugin", "new", "mine"]);
    let sdk = workspace_root().unwrap().join("sdk");
    let sdk = fs::canonicalize(sdk).unwrap();
    assert_eq!(
        said.out,
        format!(
            "made mine\nThe SDK is taken from {}: it is on no registry yet, so a clone is needed to build this.\n\
             Next: tollgate plugin test mine, then change mine/src/lib.rs\n",
            sdk.display()
        )
    );
    let said = tollgate(outside.path(), &["plugin", "new", "other", "--sdk", "0.1"]);
    assert!(
        said.out.contains("The SDK is version 0.1 of crates.io."),
        "{}",
        said.out
    );
    let git = [
        "plugin",
        "new",
        "far",
        "--sdk",
        "git@example.com:tollgate.git",
    ];
    let said = tollgate(outside.path(), &git);
    assert!(
        said.out.contains(
            "The SDK is taken from ssh://git@example.com/tollgate.git: it is on no registry yet, so cargo fetches \
             the repository.\n"
        ),
        "{}",
        said.out
    );
    for (arguments, message) in [
        (
            &["mine"][..],
            "error: mine is there already: choose another name, or remove it\n",
        ),
        (
            &["Mine"],
            "error: `Mine` is no name for a plugin: small letters, digits and `-`, beginning with a letter, at most \
             48 of them, such as `short-prompts`\n",
        ),
        (
            &["match"],
            "error: `match` is a word of Rust's own: choose another name\n",
        ),
        (
            &["third", "--sdk", "nowhere"],
            "error: there is no SDK in nowhere: --sdk takes the folder `sdk` of a clone of Tollgate, the address of \
             a git repository with it, or a version such as `0.1`\n",
        ),
        (
            &["third", "--sdk", "https://me:secret@example.com/a"],
            "error: --sdk: the address has a password or token in it, which is git's own to ask for; a git \
             repository is named as https://HOST/PATH, ssh://HOST/PATH or git@HOST:PATH\n",
        ),
    ] {
        let said = tollgate(outside.path(), &[&["plugin", "new"], arguments].concat());
        assert_eq!((said.is_good, &*said.error), (false, message));
    }
}
