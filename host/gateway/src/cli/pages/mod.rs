//! What the pages show is so: each code block falls under one rule, and each rule has a
//! test. Configurations are read by the configuration's own reader, commands by the
//! command line's, messages are compared with the source that says them.
//!
//! Rust is compiled elsewhere (see [`Rule::Compiled`]). A block that no rule fits fails,
//! so a new kind of block needs a rule and its test before it can be shown.

mod commands;
mod configurations;
mod service;
mod shown;
mod words;
mod workspace;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use workspace::Workspace;

/// What holds a block to the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Rust: a doctest of the SDK or its test kit, or on the page that a script follows.
    Compiled,
    /// The contract, which the SDK's test `reference` makes the page from.
    Contract,
    /// Commands in a shell, maybe with what they print.
    Commands,
    /// A configuration, a part of one, or a policy's entry.
    Configuration,
    /// A case of a plugin.
    Case,
    /// Kubernetes' probes of the admin port.
    Probes,
    /// A unit of systemd.
    Unit,
    /// A manifest or cargo's configuration: the template has the same.
    Manifest,
    /// A body of a request, which the plugin's own test of its README sends.
    Json,
    /// A file of endpoints.
    Endpoints,
    /// Messages of the product.
    Said,
    /// A drawing.
    Picture,
}

/// Where Rust of pages is compiled.
const DOCTESTS: &[&str] = &["sdk/src/lib.rs", "sdk/testkit/src/lib.rs"];
/// Followed word for word by `tests/first-policy/run`.
const FOLLOWED: &str = "docs/first-policy.md";
/// The page of the contract.
const CONTRACT: &str = "docs/reference/contract.md";
/// What only drawings have in them.
const STROKES: &[char] = &['─', '│', '▶', '◀'];
/// The name that the template of a README is read with.
const FILLED_IN: &str = "short-prompts";

/// The rule that a block falls under; `None`: nothing would notice if it were wrong.
fn rule(block: &Block) -> Option<Rule> {
    let has_strokes = block.text.contains(STROKES);
    match block.kind.as_str() {
        "rust" | "rust,no_run" => Some(Rule::Compiled),
        "wit" if block.page == CONTRACT => Some(Rule::Contract),
        "console" | "sh" => Some(Rule::Commands),
        "yaml" if configurations::is_case(block) => Some(Rule::Case),
        "yaml" => Some(Rule::Configuration),
        "yaml,kubernetes" => Some(Rule::Probes),
        "ini" => Some(Rule::Unit),
        "toml" => Some(Rule::Manifest),
        "json" if block.page == "plugins/prompt-template/README.md" => Some(Rule::Json),
        "text" if has_strokes => Some(Rule::Picture),
        "text" if words::is_said(block) => Some(Rule::Said),
        "text" if block.text.starts_with("# vllm.txt: ") => Some(Rule::Endpoints),
        _ => None,
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap()
}

/// A code block of a page.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    page: String,
    line: usize,
    kind: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// Every page of the repository but the changelog, which tells of what was; templates of
/// pages are among them.
fn pages() -> Vec<String> {
    const NO_PAGES: &[&str] = &["CHANGELOG.md", "node_modules", "target"];
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_page = [".md", ".md.tmpl"].iter().any(|end| name.ends_with(end));
            if name.starts_with('.') || NO_PAGES.contains(&name.as_str()) {
                continue;
            } else if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if is_page {
                let path = entry.path();
                let path = path.strip_prefix(root()).unwrap();
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "the pages are not there");
    found
}

fn read(page: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    match page.ends_with(".tmpl") {
        true => text.replace("{{name}}", FILLED_IN),
        false => text,
    }
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        let is_other = line.trim_start().starts_with("~~~");
        assert!(!is_other, "{page}:{}: fences are ``` here", at + 1);
        match (&mut open, fence) {
            (None, Some(kind)) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: at + 1,
                    kind: kind.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a code block without its end");
    blocks
}

/// All blocks of all pages.
fn blocks() -> Vec<Block> {
    let of_page = |page: &String| blocks_of(page, &read(page));
    pages().iter().flat_map(of_page).collect()
}

/// Those that fall under a rule, at least so many.
fn of_rule(wanted: Rule, least: usize) -> Vec<Block> {
    let mut found = blocks();
    found.retain(|block| rule(block) == Some(wanted));
    assert!(found.len() >= least, "{} of {wanted:?}", found.len());
    found
}

#[test]
fn a_block_is_what_stands_between_two_fences() {
    let page = "```yaml\na: 1\n```\ntext `code`\n  ```sh\n  b\n  ```\n";
    let block = |line, kind: &str, text: &str| Block {
        page: "p".to_owned(),
        line,
        kind: kind.to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(
        blocks_of("p", page),
        [block(1, "yaml", "a: 1\n"), block(5, "sh", "  b\n")]
    );
}

#[test]
fn every_block_falls_under_a_rule() {
    let blocks = blocks();
    let of_none = blocks.iter().filter(|block| rule(block).is_none());
    let of_none: Vec<_> = of_none
        .map(|block| format!("{} ({})", block.place(), block.kind))
        .collect();
    assert!(
        of_none.is_empty(),
        "nothing would notice if these were wrong; see `Rule`: {of_none:?}"
    );
    assert!(blocks.len() > 200, "{}", blocks.len());
}

#[test]
fn a_block_that_nothing_holds_is_under_no_rule() {
    let block = |kind: &str, text: &str| {
        rule(&Block {
            page: "docs/new.md".to_owned(),
            line: 1,
            kind: kind.to_owned(),
            text: text.to_owned(),
        })
    };
    for (kind, text) in [
        ("", "a"),
        ("text", "some message"),
        ("json", "{}"),
        ("yaml,ignore", "a: 1"),
        ("python", "pass"),
        ("wit", "type x = u8;"),
    ] {
        assert_eq!(block(kind, text), None, "{kind}");
    }
    assert_eq!(block("yaml", "a: 1"), Some(Rule::Configuration));
    assert_eq!(block("yaml", "expect: {}"), Some(Rule::Case));
}

#[test]
fn every_page_with_rust_is_compiled() {
    let compiled: String = DOCTESTS.iter().map(|file| read(file)).collect();
    for block in of_rule(Rule::Compiled, 20) {
        let is_compiled = compiled.contains(&format!("/{}\")", block.page));
        assert!(
            is_compiled || block.page == FOLLOWED,
            "{} is in no doctest",
            block.place()
        );
    }
}

#[test]
fn the_contract_is_the_page_that_is_made_from_it() {
    assert!(of_rule(Rule::Contract, 50).len() >= 50);
    assert!(read("sdk/tests/reference.rs").contains(&format!("\"../{CONTRACT}\"")));
}

#[test]
fn bodies_are_json_and_the_plugins_test_sends_them() {
    for block in of_rule(Rule::Json, 2) {
        let read = serde_json::from_str::<Value>(&block.text);
        assert!(read.is_ok(), "{}: {read:?}", block.place());
    }
    let test = read("plugins/prompt-template/tests/it/settings.rs");
    assert!(test.contains("readme.split(\"```json\")"));
}

/// A file of the template, with a version for the SDK.
fn templates(file: &str) -> toml::Table {
    let text = read(file).replace("{{sdk}}", "\"0.1\"");
    text.parse().unwrap()
}

#[test]
fn manifests_are_those_that_the_template_makes() {
    let made = [
        templates("sdk/template/Cargo.toml.tmpl"),
        templates("sdk/template/.cargo/config.toml"),
    ];
    for block in of_rule(Rule::Manifest, 2) {
        let shown = block.text.parse::<toml::Table>().unwrap();
        assert!(made.contains(&shown), "{}: {shown:?}", block.place());
    }
}

#[test]
fn a_file_of_endpoints_is_read_as_the_gateway_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    for block in of_rule(Rule::Endpoints, 1) {
        let file = folder.path().join("vllm.txt");
        fs::write(&file, &block.text).unwrap();
        let found = tollgate_upstreams::discovery::read_list(&file).unwrap();
        assert_eq!(found.len(), 2, "{}", block.place());
    }
}

#[test]
fn drawings_name_hooks_and_folders_that_there_are() {
    const HOOKS: &[&str] = &[
        "on_request",
        "on_attempt",
        "on_pick",
        "on_response",
        "on_event",
        "on_events",
        "on_end",
        "on_finish",
        "on_tick",
    ];
    let ends = |character: char| !character.is_ascii_alphanumeric() && !"_/.-".contains(character);
    let mut count = 0;
    for block in of_rule(Rule::Picture, 8) {
        for word in block.text.split(ends) {
            let is_known = match word {
                hook if hook.starts_with("on_") => HOOKS.contains(&hook),
                path if path.starts_with("host/") => Workspace::has_path(path),
                _ => continue,
            };
            count += 1;
            assert!(is_known, "{}: there is no {word}", block.place());
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn the_fleet_on_the_page_is_the_examples() {
    let shown = blocks_of("docs/upstreams.md", &read("docs/upstreams.md"));
    let example = read("examples/vllm-fleet/tollgate.yaml");
    assert_eq!(shown[0].kind, "yaml");
    assert!(
        example.ends_with(&shown[0].text),
        "docs/upstreams.md begins with another configuration than examples/vllm-fleet has"
    );
}

#[test]
fn the_page_of_the_standard_plugins_has_a_line_for_each() {
    let page = read("docs/standard-plugins.md");
    let folders = fs::read_dir(root().join("plugins")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let mut count = 0;
    for folder in folders.filter(|folder| folder.join("Cargo.toml").is_file()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let link = format!("\n| [{name}](../plugins/{name}/README.md) |");
        assert_eq!(page.matches(&link).count(), 1, "{name}");
        count += 1;
    }
    assert!(count >= 12, "{count}");
}
