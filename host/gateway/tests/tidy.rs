//! The pages and the code agree: walls, guarantees, metrics, links.
//!
//! Reads files and nothing else, so it runs before anything is tried out.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every file below these folders with this extension; a file stands for itself.
fn files(below: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = below.iter().map(|path| root().join(path)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let is_built = path.file_name().is_some_and(|name| name == "target");
            let entries = fs::read_dir(&path).unwrap().filter(|_| !is_built);
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Rust text without its comments and without what stands in strings.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string(rest),
            'r' if rest.starts_with("r\"")
                || rest.starts_with("r#\"")
                || rest.starts_with("r##") =>
            {
                raw_string(rest)
            }
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            other => {
                out.push(other);
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        out.push(' ');
        rest = &rest[skipped..];
    }
    out
}

fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..]
        .find(&end)
        .map_or(text.len(), |at| start + at + end.len())
}

/// Whether `name` stands in `code` as a whole word or path.
fn names(code: &str, name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let stands_alone = |(at, _): (usize, &str)| {
        let before = code.as_bytes()[..at].last().copied();
        let after = code.as_bytes()[at + name.len()..].first().copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    code.match_indices(name).any(stands_alone)
        || name
            .strip_prefix("crate::")
            .is_some_and(|module| grouped(code).iter().any(|used| used == module))
}

/// The modules `a` and `b` of `crate::{a::…, b::…}`.
fn grouped(code: &str) -> Vec<String> {
    const GROUP: &str = "crate::{";
    let mut items = Vec::new();
    for (at, _) in code.match_indices(GROUP) {
        let (mut depth, mut item) = (1, String::new());
        for character in code[at + GROUP.len()..].chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' if depth == 1 => items.push(std::mem::take(&mut item)),
                _ if depth == 1 => item.push(character),
                _ => {}
            }
        }
        items.push(item);
    }
    let first = |item: &String| item.trim().split("::").next().unwrap_or("").to_owned();
    items.iter().map(first).collect()
}

/// The rows of the table below this heading, cell by cell.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let (_, section) = page.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn no_folder_names_what_it_must_not_know() {
    let walls = table("docs/architecture.md", "The walls");
    assert!(walls.len() > 8, "the table of walls is not there");
    let mut breaches = Vec::new();
    for wall in &walls {
        let folder = wall[0].trim_matches('`');
        let found = files(&[folder], "rs");
        assert!(!found.is_empty(), "there is no code in {folder}");
        for file in found {
            let code = code(&fs::read_to_string(&file).unwrap());
            let named = quoted(&wall[1])
                .into_iter()
                .filter(|name| names(&code, name));
            breaches.extend(named.map(|name| format!("{} names {name}", shown(&file))));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_name_is_found_in_code_and_not_in_comments_or_strings() {
    let text = r##"
// notify::Watcher
use crate::{admin::Admin, serve::{control::X, Y}};
const A: &str = "clap \" axum"; const B: &str = r#"reqwest " hyper"#; const C: char = '"';
fn f() { my_wasm(); tokio::spawn(g()) }
"##;
    let code = code(text);
    for (name, is_there) in [
        ("notify", false),
        ("clap", false),
        ("axum", false),
        ("reqwest", false),
        ("hyper", false),
        ("wasm", false),
        ("tokio", true),
        ("crate::admin", true),
        ("crate::serve", true),
        ("crate::control", false),
    ] {
        assert_eq!(names(&code, name), is_there, "{name}");
    }
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    for file in files(&["host", "sdk", "plugins", "examples", "tests"], "rs") {
        let code = code(&fs::read_to_string(&file).unwrap());
        for marker in ["todo!", "dbg!", "unimplemented!"] {
            assert!(!code.contains(marker), "{} has a {marker}", shown(&file));
        }
    }
}

/// Whether there is a test `file::test`, the file by as much of its path as tells it.
fn is_test(reference: &str, sources: &[(String, String)]) -> bool {
    let Some((file, test)) = reference.split_once("::") else {
        return false;
    };
    sources.iter().any(|(path, text)| {
        let is_here = path == file || path.ends_with(&format!("/{file}"));
        is_here && (text.contains(&format!("\ndef {test}(")) || is_marked(text, test))
    })
}

/// Whether the function has an attribute that makes it a test.
fn is_marked(text: &str, function: &str) -> bool {
    let Some(at) = text.find(&format!("fn {function}(")) else {
        return false;
    };
    let above = text[..at].rfind('\n').unwrap_or(0);
    let attributes = text[..above].lines().rev().take(6);
    attributes
        .take_while(|line| !matches!(line.trim(), "" | "}" | "{"))
        .any(|line| line.contains("test]") || line.contains("test("))
}

#[test]
fn every_guarantee_names_tests_that_are_there() {
    let mut sources = Vec::new();
    for extension in ["rs", "py"] {
        for file in files(&["host", "sdk", "plugins", "tests"], extension) {
            sources.push((shown(&file), fs::read_to_string(&file).unwrap()));
        }
    }
    let page = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let promises: Vec<&str> = page.split("\n- ").skip(1).collect();
    assert!(promises.len() > 20, "the guarantees are not there");
    let mut wrong = Vec::new();
    for promise in promises {
        let promise = promise.split("\n\n").next().unwrap();
        let tests = quoted(promise)
            .into_iter()
            .filter(|text| text.contains("::"));
        let tests: Vec<_> = tests.collect();
        if tests.is_empty() {
            wrong.push(format!("no test is named: {promise}"));
        }
        let missing = tests.iter().filter(|test| !is_test(test, &sources));
        wrong.extend(missing.map(|test| format!("there is no test {test}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_operators_page_lists_every_metric_and_no_other() {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let listed = quoted(&page);
    let sources = files(&["host/gateway/src", "host/capabilities/src"], "rs");
    let all: String = sources
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let is_metric = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        text.starts_with("tollgate_") && text.bytes().all(plain)
    };
    let given = all.split('"').filter(|text| is_metric(text));
    let unlisted: Vec<_> = given.filter(|name| !listed.contains(name)).collect();
    assert!(
        unlisted.is_empty(),
        "not in docs/operating.md: {unlisted:?}"
    );
    let metrics = listed.iter().filter(|name| is_metric(name));
    let invented: Vec<_> = metrics
        .filter(|name| !all.contains(&format!("\"{name}")))
        .collect();
    assert!(invented.is_empty(), "there is no such metric: {invented:?}");
    let rows = table("docs/operating.md", "Metrics");
    let mut named: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    named.sort_unstable();
    let twice: Vec<_> = named.windows(2).filter(|two| two[0] == two[1]).collect();
    assert!(twice.is_empty(), "more than one row: {twice:?}");
}

/// The keys that this code writes into a line of JSON.
fn keys_written(code: &str) -> Vec<&str> {
    let text = code.split("#[cfg(test)]").next().unwrap();
    let is_key = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        !word.is_empty() && word.bytes().all(plain)
    };
    let escaped = text.match_indices("\\\"").map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        rest.split_once("\\\":").map_or("", |(key, _)| key)
    });
    let given = text.split("key!(").skip(1).filter_map(|rest| {
        let (word, after) = rest.strip_prefix('"')?.split_once('"')?;
        after.starts_with(')').then_some(word)
    });
    escaped.chain(given).filter(|word| is_key(word)).collect()
}

#[test]
fn the_operators_page_names_every_key_of_the_access_log() {
    let code = root().join("host/gateway/src/telemetry/access.rs");
    let code = fs::read_to_string(code).unwrap();
    let written = keys_written(&code);
    for expected in [
        "time",
        "model",
        "queue_us",
        "edits",
        "bypassed",
        "cached_tokens",
    ] {
        assert!(written.contains(&expected), "{expected} is not found");
    }
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let (_, section) = page.split_once("### The access log\n").unwrap();
    let listed = quoted(section.split("\n## ").next().unwrap());
    let unlisted: Vec<_> = written.iter().filter(|key| !listed.contains(key)).collect();
    assert!(
        unlisted.is_empty(),
        "not in docs/operating.md under \"The access log\": {unlisted:?}"
    );
}

#[test]
fn the_life_of_a_request_names_every_error() {
    let code = root().join("host/gateway/src/serve/errors.rs");
    let code = fs::read_to_string(code).unwrap();
    let (_, table) = code.split_once("fn entry(&self)").unwrap();
    let table = table.split("\n    }\n").next().unwrap();
    let codes: Vec<_> = table.split('"').skip(1).step_by(2).collect();
    assert!(codes.len() > 30 && codes.contains(&"policy_failed"));
    let page = fs::read_to_string(root().join("docs/life-of-a-request.md")).unwrap();
    let listed = quoted(page.split_once("| status | code | |").unwrap().1);
    let unlisted: Vec<_> = codes.iter().filter(|code| !listed.contains(code)).collect();
    assert!(
        unlisted.is_empty(),
        "not in docs/life-of-a-request.md: {unlisted:?}"
    );
}

/// The targets of a page's links, outside of its code.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_in_code = false;
    for line in page.lines() {
        is_in_code ^= line.trim_start().starts_with("```");
        if !is_in_code {
            let targets = line.split("](").skip(1);
            found.extend(targets.filter_map(|target| Some(target.split_once(')')?.0.to_owned())));
        }
    }
    found
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in files(
        &["README.md", "docs", "plugins", "examples", "sdk/template"],
        "md",
    ) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            // The book has pages, and no folders.
            let leads_nowhere = match target.canonicalize() {
                Ok(found) => found.is_dir() && found.starts_with(root().join("docs")),
                Err(_) => true,
            };
            if leads_nowhere || !(wanted.is_empty() || has_anchor(&target, wanted)) {
                broken.push(format!("{}: {link}", shown(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_has_its_place_in_the_book() {
    let book = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed = links(&book);
    let pages = files(&["docs"], "md");
    let pages = pages
        .into_iter()
        .filter(|page| page.file_name().unwrap() != "SUMMARY.md");
    let docs = root().join("docs");
    let named = pages.map(|page| page.strip_prefix(&docs).unwrap().display().to_string());
    let missing: Vec<_> = named.filter(|page| !listed.contains(page)).collect();
    assert!(
        missing.is_empty(),
        "not in docs/SUMMARY.md: {missing:?}; a page is found through the book"
    );
}

fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    let lower = heading
        .trim()
        .chars()
        .filter(kept)
        .flat_map(char::to_lowercase);
    lower
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// The texts of the list of settings after this mark.
fn profile_after(file: &str, mark: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("{file}"));
    let (list, _) = rest.split_once(']').unwrap();
    let texts = list.split('"').skip(1).step_by(2);
    texts.map(str::to_owned).collect()
}

#[test]
fn the_test_kit_builds_a_plugin_as_it_is_shipped() {
    let command = "host/gateway/src/authoring/toolchain.rs";
    let shipped = profile_after(command, "Self::Shipped => &[");
    assert!(shipped.len() > 4, "{shipped:?}");
    let kit = "sdk/testkit/src/build.rs";
    assert_eq!(profile_after(kit, "const SETTINGS: [&str; 6] = ["), shipped);
    let stack = |file: &str| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let line = text.lines().find(|line| line.starts_with("const STACK"));
        line.unwrap().to_owned()
    };
    assert_eq!(stack(kit), stack(command));
}

#[test]
fn pages_fit_a_screen_in_width_and_records_in_length() {
    let mut wrong = Vec::new();
    for page in files(&["README.md", "docs"], "md") {
        let text = fs::read_to_string(&page).unwrap();
        let long = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.chars().count() > 120);
        wrong.extend(long.map(|(at, _)| format!("{}:{} is too wide", shown(&page), at + 1)));
        if page.parent().unwrap().ends_with("decisions") && text.lines().count() > 40 {
            wrong.push(format!("{} is too long", shown(&page)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hooks_are_written_as_their_authors_write_them() {
    const HOOKS: [&str; 7] = [
        "request", "attempt", "response", "events", "finish", "pick", "tick",
    ];
    // The contract is where they are called otherwise, as are records of before.
    let is_of_contract = |path: &PathBuf| {
        let path = shown(path);
        path.starts_with("docs/decisions")
            || path.starts_with("host/sandbox/tests")
            || ["docs/reference/contract.md", "docs/introduction.md"].contains(&&*path)
    };
    let pages = files(&["README.md", "docs", "examples", "plugins", "sdk"], "md");
    let code = files(&["host", "sdk", "plugins", "tests"], "rs");
    let all = pages.into_iter().chain(code);
    let mut wrong = Vec::new();
    for file in all.filter(|file| !is_of_contract(file)) {
        let text = fs::read_to_string(&file).unwrap();
        // The names of exports, and the file of a decision.
        let text = text
            .replace("session.on-", "")
            .replace("\"on-tick", "")
            .replace("0022-on-pick-is", "");
        let other = HOOKS.map(|hook| format!("on-{hook}"));
        if let Some(other) = other.iter().find(|other| names(&text, other)) {
            wrong.push(format!("{}: `{other}`", shown(&file)));
        }
    }
    assert!(wrong.is_empty(), "with `_`, please: {}", wrong.join("\n"));
}
