//! `docs/reference/contract.md` is the contract in words. To write it anew:
//! `UPDATE_GOLDEN=1 cargo test -p tollgate-sdk --test reference`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{fmt::Write, fs};

const CONTRACT: &str = "wit/policy.wit";
const PAGE: &str = "../docs/reference/contract.md";

const HEAD: &str = "# Contract reference

What a plugin exports and may import, made from [`sdk/wit/policy.wit`](../../sdk/wit/policy.wit)
(`sdk/tests/reference.rs`). Authors in Rust need the SDK's pages alone; this is for those who come from another
language, and for those who want to know what crosses the boundary.
";

#[test]
fn the_reference_is_what_the_contract_says() {
    let page = page(&fs::read_to_string(CONTRACT).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        page == written,
        "{PAGE} is not what the contract says: run with UPDATE_GOLDEN=1 and commit"
    );
}

/// The lines of one item, its comment apart.
#[derive(Default)]
struct Item {
    comment: Vec<String>,
    lines: Vec<String>,
}

fn page(contract: &str) -> String {
    let mut page = HEAD.to_owned();
    let mut lines = contract.lines().peekable();
    let mut comment = Vec::new();
    while let Some(line) = lines.next() {
        let text = line.trim();
        if let Some(words) = text.strip_prefix("///") {
            comment.push(words.trim().to_owned());
        } else if let Some(package) = text.strip_prefix("package ") {
            let package = package.trim_end_matches(';');
            writeln!(page, "\nThe package is `{package}`.\n").unwrap();
            say(&mut page, &mut comment);
        } else if let Some(name) = block(text, "interface") {
            writeln!(page, "\n## Interface `{name}`\n").unwrap();
            say(&mut page, &mut comment);
            for item in items(&mut lines) {
                show(&mut page, item);
            }
        } else if let Some(name) = block(text, "world") {
            writeln!(page, "\n## World `{name}`\n").unwrap();
            if !comment.is_empty() {
                say(&mut page, &mut comment);
                page.push('\n');
            }
            for item in items(&mut lines) {
                writeln!(page, "- `{}`", item.lines.join(" ").trim_end_matches(';')).unwrap();
            }
        } else {
            assert!(
                text.is_empty() || text.starts_with('@'),
                "not understood: {line}"
            );
        }
    }
    page
}

fn block<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    let name = line.strip_prefix(kind)?.strip_suffix('{')?;
    Some(name.trim())
}

/// What stands in an interface or a world, to its closing brace.
fn items<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = Item::default();
    let mut depth = 0;
    for line in lines.by_ref() {
        let text = line.trim();
        if depth == 0 && text == "}" {
            assert!(item.lines.is_empty(), "an item without an end");
            return items;
        }
        match text.strip_prefix("///") {
            Some(words) if item.lines.is_empty() => item.comment.push(words.trim().to_owned()),
            _ if text.is_empty() || text.starts_with('@') => {}
            _ => item
                .lines
                .push(line.strip_prefix("  ").unwrap_or(line).to_owned()),
        }
        if text.starts_with("///") {
            continue;
        }
        depth += text.matches('{').count();
        depth -= text.matches('}').count();
        if depth == 0 && text.ends_with([';', '}']) {
            items.push(std::mem::take(&mut item));
        }
    }
    panic!("a block without an end");
}

fn show(page: &mut String, mut item: Item) {
    let first = item.lines[0].trim();
    if first.starts_with("use ") {
        return;
    }
    let name = first
        .split([':', '{', '='])
        .next()
        .unwrap_or_default()
        .trim();
    writeln!(page, "\n### `{name}`\n").unwrap();
    if !item.comment.is_empty() {
        say(page, &mut item.comment);
        page.push('\n');
    }
    writeln!(page, "```wit\n{}\n```", item.lines.join("\n")).unwrap();
}

/// The comment as it stands: its lines are short enough.
fn say(page: &mut String, comment: &mut Vec<String>) {
    for line in comment.drain(..) {
        page.push_str(&line);
        page.push('\n');
    }
}
