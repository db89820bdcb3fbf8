//! What the pages show is so: their configurations are read by the configuration's own
//! reader, their commands by the command line's, their names by cargo.
//!
//! Blocks of Rust are doctests of the SDK and of its test kit, the contract's are made
//! from it, and the page of the first policy is followed by a script. A block that
//! nothing can hold to says so in its fence (`yaml,ignore`) and in the text above it.

mod commands;
mod configurations;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// What a fence may say of its block.
const KINDS: &[&str] = &[
    "console",
    "ini",
    "json",
    "rust",
    "rust,no_run",
    "sh",
    "text",
    "toml",
    "wit",
    "yaml",
    "yaml,ignore",
];
/// Blocks that are marked `ignore`: one of Kubernetes.
const IGNORED: usize = 1;
/// Where Rust of pages is compiled.
const DOCTESTS: &[&str] = &["sdk/src/lib.rs", "sdk/testkit/src/lib.rs"];
/// Followed word for word by `tests/first-policy/run`.
const FOLLOWED: &str = "docs/first-policy.md";

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

/// Every page that somebody is meant to read.
fn pages() -> Vec<String> {
    let mut found = vec!["README.md".to_owned()];
    let mut open = vec![root().join("docs")];
    for below in ["examples", "plugins"] {
        let entries = fs::read_dir(root().join(below)).unwrap();
        let folders = entries.map(|entry| entry.unwrap().path());
        let readmes = folders.map(|folder| folder.join("README.md"));
        open.extend(readmes.filter(|readme| readme.is_file()));
        open.push(root().join(below).join("README.md"));
    }
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.strip_prefix(root()).unwrap();
            found.push(name.display().to_string());
        }
    }
    found.sort();
    assert!(found.len() > 50, "the pages are not there");
    found
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
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

/// Those of one kind, at least so many.
fn of_kind(kind: &str, least: usize) -> Vec<Block> {
    let mut found = blocks();
    found.retain(|block| block.kind == kind);
    assert!(found.len() >= least, "{} of {kind}", found.len());
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
fn every_block_says_what_it_is_and_few_are_left_alone() {
    let blocks = blocks();
    let unknown = blocks
        .iter()
        .filter(|block| !KINDS.contains(&block.kind.as_str()));
    let unknown: Vec<_> = unknown.map(Block::place).collect();
    assert!(unknown.is_empty(), "no kind, or none of ours: {unknown:?}");
    let ignored = blocks.iter().filter(|block| block.kind.contains("ignore"));
    let ignored: Vec<_> = ignored.map(Block::place).collect();
    assert_eq!(ignored.len(), IGNORED, "{ignored:?}");
}

#[test]
fn every_page_with_rust_is_compiled() {
    let compiled: String = DOCTESTS.iter().map(|file| read(file)).collect();
    for block in blocks() {
        let is_rust = block.kind.starts_with("rust") && block.page != FOLLOWED;
        let is_compiled = compiled.contains(&format!("/{}\")", block.page));
        assert!(
            !is_rust || is_compiled,
            "{} is in no doctest",
            block.place()
        );
    }
}

#[test]
fn what_is_json_or_toml_is_read() {
    for block in of_kind("json", 2) {
        let read = serde_json::from_str::<Value>(&block.text);
        assert!(read.is_ok(), "{}: {read:?}", block.place());
    }
    for block in of_kind("toml", 2) {
        let read = block.text.parse::<toml::Table>();
        assert!(read.is_ok(), "{}: {read:?}", block.place());
    }
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
