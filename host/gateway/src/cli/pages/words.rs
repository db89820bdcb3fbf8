//! The product's own words: what pages show of its messages stands in its source.
//!
//! A message is put together from pieces of strings, with values between them. A page's
//! text holds if it is nothing but such pieces, with `…` or a named sample for a value.

use std::{fs, path::PathBuf};

use super::{Block, Rule, of_rule, read, root};

/// What stands for a value, in a page and in a string of the source.
const VALUE: char = '…';
/// A piece that is part of a longer one is told by so many letters at least.
const PART: usize = 6;

/// A block of text that the product says, where its words stand, and values in it.
struct Said {
    page: &'static str,
    sources: &'static [&'static str],
    values: &'static [&'static str],
}

const SAID: &[Said] = &[
    Said {
        page: "docs/errors.md",
        sources: &["host/sandbox/src/failure.rs", "host/sandbox/src/place.rs"],
        values: &[
            "nobody to greet",
            "src/lib.rs:31:9",
            "src/lib.rs:31",
            "src/lib.rs:44",
            "src/lib.rs:52",
            "greeter::Greeter::on_request",
            "greeter::depth",
            "greeter::scan",
            "10ms",
        ],
    },
    Said {
        page: "plugins/model-rules/README.md",
        sources: &["plugins/model-rules/src"],
        values: &[
            "0",
            "\"temperature stays within bounds\"",
            "/temperature",
            "2",
            "1",
        ],
    },
    Said {
        page: "plugins/schema-guard/README.md",
        sources: &["plugins/schema-guard/src"],
        values: &[
            "/max_tokens",
            "/tools/1/function/name",
            "100000",
            "4096",
            "1",
            "search",
            "db_*",
            "rm",
        ],
    },
];

/// Messages that `docs/errors.md` lists under a heading, and where their words stand.
const LISTED: &[(&str, &[&str])] = &[
    (
        "What is refused at load",
        &["host/sandbox/src", "host/cases/src/prove.rs"],
    ),
    ("Traps and time-outs", &["host/sandbox/src/failure.rs"]),
];

/// Causes of a trap that no author is told: a hook is stopped at its bound, and that is said.
const NEVER_TOLD: &[&str] = &["it was interrupted"];

/// Rust files, one by one or all below a folder.
fn rust_files(paths: &[&str]) -> Vec<PathBuf> {
    let mut open: Vec<_> = paths.iter().map(|path| root().join(path)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "{paths:?}");
    found
}

/// The strings in Rust below these paths, tests aside, with `…` for what is filled in.
pub(super) fn literals(paths: &[&str]) -> Vec<String> {
    let texts = rust_files(paths).into_iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        literals_of(text.split("#[cfg(test)]").next().unwrap())
    });
    texts.collect()
}

fn literals_of(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['/', '"', '\'']) {
        rest = &rest[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else if let Some(begun) = rest.strip_prefix('"') {
            let (text, length) = literal(begun);
            found.push(filled_in(&text));
            length + 1
        } else {
            1
        };
        rest = &rest[skipped..];
    }
    found
}

/// The string that begins here, and how much of the source it takes.
fn literal(source: &str) -> (String, usize) {
    let mut text = String::new();
    let mut characters = source.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, at + 1),
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, '\n')) => {
                    while characters
                        .next_if(|(_, next)| next.is_whitespace())
                        .is_some()
                    {}
                }
                Some((_, other)) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    (text, source.len())
}

/// A string of `format!`, with `…` in the place of what is filled in.
fn filled_in(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            out.push_str(brace);
            rest = &rest[1..];
        } else if brace == "{" {
            out.push(VALUE);
            rest = rest.split_once('}').map_or("", |(_, rest)| rest);
        }
    }
    out + rest
}

/// What of the text is no piece of these strings, from where that begins.
pub(super) fn unsaid<'a>(text: &'a str, strings: &[String]) -> Option<&'a str> {
    let pieces: Vec<_> = strings.iter().flat_map(|text| text.split(VALUE)).collect();
    let is_blank = |character: char| character == VALUE || character.is_whitespace();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return None;
        }
        let said = pieces.iter().map(|piece| begun(rest, piece.trim())).max();
        match said {
            Some(length @ 1..) => rest = &rest[length..],
            _ => return Some(rest),
        }
    }
}

/// How much of the beginning of `text` stands in the piece, if that tells anything.
fn begun(text: &str, piece: &str) -> usize {
    if !piece.is_empty() && text.starts_with(piece) {
        return piece.len();
    }
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    let ends = text.char_indices().map(|(at, _)| at).skip(PART);
    let mut longest = 0;
    for end in ends.chain([text.len()]) {
        let (part, rest) = text.split_at(end);
        if end < PART || !piece.contains(part.trim_end()) {
            break;
        }
        if !(is_word(part.chars().next_back()) && is_word(rest.chars().next())) {
            longest = end;
        }
    }
    longest
}

/// The text with `…` for each of the values, the longest first.
fn without(text: &str, values: &[&str]) -> String {
    let mut values = values.to_vec();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let value = VALUE.to_string();
    values.iter().fold(text.to_owned(), |text, sample| {
        assert!(text.contains(sample), "{sample} is in no text");
        text.replace(sample, &value)
    })
}

pub(super) fn is_said(block: &Block) -> bool {
    SAID.iter().any(|said| said.page == block.page)
}

/// The messages in the first cells of the table below a heading.
fn messages(heading: &str) -> Vec<String> {
    let page = read("docs/errors.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| {
        let (cell, _) = row.split_once(" | ").unwrap();
        let ticks = 1 + cell.len() - cell.trim_start_matches('`').len();
        let inner = cell[ticks - 1..].strip_suffix(&"`".repeat(ticks));
        inner.unwrap().trim().to_owned()
    });
    cells.collect()
}

#[test]
fn messages_in_blocks_are_the_products_own() {
    let blocks = of_rule(Rule::Said, SAID.len());
    assert_eq!(blocks.len(), SAID.len(), "one of each page");
    for block in blocks {
        let said = SAID.iter().find(|said| said.page == block.page).unwrap();
        let text = without(&block.text, said.values);
        let unsaid = unsaid(&text, &literals(said.sources));
        assert_eq!(unsaid, None, "{}", block.place());
    }
}

#[test]
fn messages_in_the_list_of_errors_are_the_products_own() {
    for (heading, sources) in LISTED {
        let (messages, strings) = (messages(heading), literals(sources));
        assert!(messages.len() > 8, "{heading}: {messages:?}");
        for message in messages {
            assert_eq!(unsaid(&message, &strings), None, "{message}");
        }
    }
}

/// What a message says first, before values, brackets and advice.
fn head(message: &str) -> &str {
    let ends = [": ", "; ", " (", ", "];
    let end = ends.iter().filter_map(|end| message.find(end)).min();
    message[..end.unwrap_or(message.len())].trim()
}

#[test]
fn every_way_in_which_a_hook_fails_is_in_the_list() {
    let source = read("host/sandbox/src/failure.rs");
    let part = |from: &str, to: &str| {
        let (_, rest) = source.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let variants = part("pub enum Failure {", "\n}\n");
    let messages_of = literals_of(&variants);
    let count = variants.matches("#[error(").count();
    assert_eq!(messages_of.len(), count, "a message of each variant");
    let late = part("impl OutOfTime {", "\n}\n");
    let causes = part("pub(crate) fn cause(", "\n}\n");
    let said = [messages_of, literals_of(&late), literals_of(&causes)].concat();
    assert!(said.len() > 15, "{said:?}");

    let listed = messages("Traps and time-outs");
    let shown = of_rule(Rule::Said, 1);
    let shown = shown.iter().find(|block| block.page == "docs/errors.md");
    let shown = &shown.unwrap().text;
    for message in &said {
        let head = head(message);
        let is_value = head == VALUE.to_string();
        let is_listed = listed.iter().any(|listed| {
            let begins = listed.strip_suffix(VALUE).unwrap_or(listed).trim();
            listed.starts_with(head) || (listed.ends_with(VALUE) && head.starts_with(begins))
        });
        assert!(
            is_value || is_listed || NEVER_TOLD.contains(&head) || shown.contains(head),
            "not in docs/errors.md under \"Traps and time-outs\": {head}"
        );
    }
}

#[test]
fn the_strings_of_a_source_are_found_whole() {
    let code = r#"
// "no string"
const QUOTE: char = '"'; // nor "this"
f("a {} b {{c}} {name:?}", "one \
    line", "say \"x\"\n");
"#;
    assert_eq!(
        literals_of(code),
        ["a … b {c} …", "one line", "say \"x\"\n"]
    );
}

#[test]
fn what_the_product_does_not_say_is_found() {
    let strings =
        literals_of(r#"("it imports `{x}`, which is not granted: add it", "trapped: {y}", "s")"#);
    for (text, rest) in [
        ("it imports `…`, which is not granted", None),
        ("trapped: it imports `…`, which is not …", None),
        ("it imports `kv`, which", Some("kv`, which")),
        ("it imports `…`, which is forbidden", Some("forbidden")),
        ("trapped: sorry", Some("orry")),
        ("it imports `…`, which is not grantable", Some("grantable")),
    ] {
        assert_eq!(unsaid(text, &strings), rest, "{text}");
    }
}
