//! What an author is told of what is wrong.

use std::fs;

use super::{Made, tollgate};

#[test]
fn a_case_that_fails_shows_what_was_expected_and_what_was_got() {
    let made = Made::new("wrong-case");
    made.reword(
        "cases/greets.yaml",
        "x-greeting: hello }",
        "x-greeting: good day }",
    );
    let said = made.tollgate(&["plugin", "test", "--junit", "report.xml"]);
    assert!(!said.is_good);
    let expected = "\
FAILED greets
 open N µs N KiB 0 host calls
 on_request N µs N KiB 0 host calls
 cases/greets.yaml
 Every request is greeted.
 - expected, + got:
 on_request:
 verdict: next
 edits:
 - - set_header: { x-greeting: good day }
 + - set_header: { x-greeting: hello }
ok refuses-empty-greeting
wrong-case: 1 passed, 1 failed
";
    assert_eq!(said.out, expected, "{}", said.error);
    let report = made.read("report.xml");
    assert!(
        report.contains("<testsuite name=\"wrong-case\" tests=\"2\" failures=\"1\""),
        "{report}"
    );
    assert!(
        report.contains("-     - set_header: { x-greeting: good day }"),
        "{report}"
    );

    let text = made.read("cases/greets.yaml");
    let said = made.tollgate(&["plugin", "test", "--update"]);
    assert!(said.is_good, "{}{}", said.out, said.error);
    assert!(
        said.out.contains("\nwrote cases/greets.yaml\n"),
        "{}",
        said.out
    );
    assert_eq!(
        made.read("cases/greets.yaml"),
        text.replace("good day", "hello")
    );
    let said = made.tollgate(&["plugin", "test"]);
    assert!(
        said.out.ends_with("wrong-case: 2 passed, 0 failed\n"),
        "{}",
        said.out
    );

    made.write("cases/new.yaml", "settings: { greeting: hi }\n");
    let said = made.tollgate(&["plugin", "test"]);
    assert!(!said.is_good);
    assert!(
        said.out
            .contains("it does not say what it expects: `--update` writes"),
        "{}",
        said.out
    );
    made.tollgate(&["plugin", "test", "--update"]);
    assert_eq!(
        made.read("cases/new.yaml"),
        "settings: { greeting: hi }\nexpect:\n  on_request:\n    verdict: next\n    edits:\n      - set_header: { x-greeting: hi }\n"
    );

    made.write("cases/new.yaml", "settings: { greeting: hi }\nbudget: { memory: 1KiB }\nexpect: { on_request: { verdict: next } }\n");
    let said = made.tollgate(&["plugin", "test"]);
    assert!(!said.is_good);
    assert!(
        said.out.contains("KiB of memory, and N KiB are allowed"),
        "{}",
        said.out
    );
    let said = made.tollgate(&["plugin", "test", "--budget", "time=1h"]);
    assert!(
        said.error
            .contains("`1h` is no time such as `200us` or `1ms`"),
        "{}",
        said.error
    );
}

#[test]
fn a_panic_is_told_with_its_words_and_its_line() {
    let made = Made::new("panics");
    made.reword(
        "src/lib.rs",
        "        request.set_header",
        "        assert!(request.header(\"x-name\").is_some(), \"nobody to greet\");\n        request.set_header",
    );
    let line = made
        .read("src/lib.rs")
        .lines()
        .position(|line| line.contains("nobody"))
        .unwrap()
        + 1;
    let said = made.tollgate(&["plugin", "test"]);
    assert!(!said.is_good);
    assert!(
        said.out.contains(&format!(
            "error: panicked at src/lib.rs:{line}:9: nobody to greet"
        )),
        "{}",
        said.out
    );
    // Where it was is beside what is compared, so that a case holds when lines move.
    assert!(
        said.out
            .contains("+ failure: \"trapped: it panicked: nobody to greet\""),
        "{}",
        said.out
    );
    let place = format!(
        " on_request: it trapped: it panicked: nobody to greet (at src/lib.rs:{line}:9, in `panics::"
    );
    assert!(said.out.contains(&place), "{}", said.out);
}

#[test]
fn a_trap_that_is_no_panic_is_told_with_its_function_and_its_line() {
    let made = Made::new("traps");
    made.reword(
        "src/lib.rs",
        "        request.set_header",
        "        std::hint::black_box(dive(1)); // calls\n        request.set_header",
    );
    let text = made.read("src/lib.rs");
    let with = |dive: &str| {
        let dive = format!("fn dive(depth: u64) -> u64 {{\n    {dive} // dives\n}}\n");
        let source = format!("{text}\n#[inline(never)]\n{dive}");
        made.write("src/lib.rs", &source);
        let line = |words: &str| source.lines().position(|line| line.ends_with(words));
        // The function may be told by the line that it begins at.
        let dives = line("// dives").unwrap() + 1;
        let told =
            [dives - 1, dives].map(|dives| format!("(in `traps::dive` at src/lib.rs:{dives}"));
        (line("// calls").unwrap() + 1, told)
    };
    let is_told = |said: &str, told: &[String; 2], rest: &str| {
        let whole = told
            .iter()
            .any(|told| said.contains(&format!("{told}{rest}")));
        assert!(whole, "{told:?}{rest} is not in\n{said}");
    };

    let (_, told) = with("std::hint::black_box(dive(std::hint::black_box(depth) + 1)) + 1");
    let said = made.tollgate(&["plugin", "test", "--junit", "report.xml"]);
    assert!(!said.is_good);
    let begins = " on_request: it trapped: its stack overflowed, since a function is called within itself again and again \
                  (in `traps::dive` at src/lib.rs:";
    assert!(said.out.contains(begins), "{}", said.out);
    let rest = "): bound the depth of `traps::dive`, or give the plugin a larger stack\n";
    is_told(&said.out, &told, rest);
    is_told(&made.read("report.xml"), &told, rest);

    let (calls, told) = with("loop { std::hint::black_box(depth); }");
    let said = made.tollgate(&["plugin", "test"]);
    assert!(!said.is_good);
    let begins =
        " on_request: it ran longer than 10ms in one hook (in `traps::dive` at src/lib.rs:";
    assert!(said.out.contains(begins), "{}", said.out);
    let rest = format!(
        ", called by `traps::TrapsPolicy::on_request` at src/lib.rs:{calls}): have it do less, or raise \
         `limits.hook_time` of the policy\n"
    );
    is_told(&said.out, &told, &rest);

    // What is shipped keeps the names of functions alone, or nothing if that is asked.
    for (symbols, kept) in [("names", true), ("none", false)] {
        let said = made.tollgate(&["plugin", "build", "--symbols", symbols]);
        assert!(said.is_good, "{}", said.error);
        let wasm = fs::read(made.folder().join("traps.wasm")).unwrap();
        let has = |name: &[u8]| wasm.windows(name.len()).any(|window| window == name);
        assert!(!has(b".debug_line"));
        assert_eq!(has(b"traps4dive"), kept, "{symbols}");
    }
}

#[test]
fn the_compilers_own_words_are_shown_as_they_are() {
    let made = Made::new("typo");
    made.reword("src/lib.rs", "Verdict::next()", "Verdict::nxt()");
    let said = made.tollgate(&["plugin", "build"]);
    assert!(!said.is_good);
    assert!(said.error.contains("error[E0599]: no "), "{}", said.error);
    assert!(said.error.contains("--> src/lib.rs:"), "{}", said.error);
    assert!(
        said.error
            .ends_with("error: `typo` does not build; the compiler says above why\n"),
        "{}",
        said.error
    );
    assert!(!made.folder().join("typo.wasm").exists());
}

#[test]
fn a_case_with_a_mistake_is_shown_with_its_line() {
    let made = Made::new("bad-case");
    for (text, message) in [
        (
            "expekt: {}\n",
            "error: cases/bad.yaml:1:1: unknown key `expekt`: did you mean `expect`?\n  |\n1 | expekt: {}\n  | ^\n  expected `about`,",
        ),
        (
            "expect: {}\n",
            "cases/bad.yaml:1:9: nothing is expected, so the case cannot fail",
        ),
        (
            "expect: { on_request: { verdikt: next } }\n",
            "cases/bad.yaml:1:25: unknown key `verdikt`",
        ),
        (
            "request: { headers: { \"a b\": x } }\n",
            "this is no header's name",
        ),
        (
            "request: { json: {}, body: x }\n",
            "`json` and `body` are one and the same",
        ),
        ("request: { path: \"/../x\" }\n", "no path: "),
        (
            "given: { now: yesterday }\n",
            "no time in UTC, such as `2026-01-31T12:00:00Z`",
        ),
        ("answer: { status: 99 }\n", "99 is no status of an answer"),
        (
            "answer: { events: [], json: {} }\n",
            "a stream or a document, not both",
        ),
        ("budget: { time: soon }\n", "`soon` is no time such as"),
        ("settings: [\n", "cases/bad.yaml:"),
    ] {
        made.write("cases/bad.yaml", text);
        let said = made.tollgate(&["plugin", "test"]);
        assert!(!said.is_good);
        assert!(said.error.contains(message), "{text}{}", said.error);
    }
    let deep = format!("settings: {}1{}\n", "{a: ".repeat(100), "}".repeat(100));
    made.write("cases/bad.yaml", &deep);
    assert!(
        made.tollgate(&["plugin", "test"])
            .error
            .contains("nested deeper than 64 levels")
    );
    made.write(
        "cases/bad.yaml",
        &format!("about: {}\n", "x".repeat(2 << 20)),
    );
    let said = made.tollgate(&["plugin", "test"]);
    assert!(
        said.error.contains("larger than a case may be: 1024 KiB"),
        "{}",
        said.error
    );
    fs::remove_dir_all(made.folder().join("cases")).unwrap();
    let said = made.tollgate(&["plugin", "test"]);
    assert!(
        said.error
            .contains("error: bad-case has no cases: write the first one as cases/NAME.yaml"),
        "{}",
        said.error
    );
}

#[test]
fn a_folder_that_is_no_plugins_crate_is_told_apart() {
    let outside = tempfile::tempdir().unwrap();
    let build = |folder: &str| tollgate(outside.path(), &["plugin", "build", folder]).error;
    assert_eq!(
        build("nowhere"),
        "error: there is no crate in nowhere: name the folder of a plugin's crate, or start one with: tollgate \
         plugin new NAME\n"
    );
    let write = |text: &str| {
        fs::create_dir_all(outside.path().join("a/src")).unwrap();
        fs::write(outside.path().join("a/Cargo.toml"), text).unwrap();
        fs::write(outside.path().join("a/src/lib.rs"), "").unwrap();
    };
    write("[workspace]\nmembers = []\n");
    assert!(build("a").contains("is a workspace and no crate"));
    write("[package]\nname = \"a\"\nedition = \"2024\"\n");
    let error = build("a");
    assert!(
        error.contains(
            "makes no .wasm file: write `crate-type = [\"cdylib\", \"rlib\"]` under [lib] in "
        ),
        "{error}"
    );
    write("[package]\nname = \"a\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n");
    let error = build("a");
    assert!(
        error.ends_with(
            "error: `a` builds, and the gateway would refuse it: it does not export `tollgate:policy/policy@0.1.0`, \
             so it is no policy plugin; in Rust, `#[policy]` of tollgate-sdk stands above `impl Policy for …`\n"
        ),
        "{error}"
    );
    write("[package\n");
    assert!(build("a").contains("cargo cannot read "));
}
