//! Commands on pages: those of `tollgate` go through its own command line, those of cargo
//! name what is in the workspace, and scripts that are called are there.

use std::{collections::BTreeSet, process::Command};

use clap::{Parser, error::ErrorKind};
use serde_json::Value;

use super::{blocks, pages, read, root};
use crate::cli::Arguments;

/// What may stand before a command, or be the whole of one, in a shell.
const WORDS_OF_SHELLS: &[&str] = &["until", "if", "while", "do", "then", "{", "}", "done", "fi"];

/// The simple commands of a line of shell, as words. Substitutions are left as they stand.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut found, mut words) = (Vec::new(), Vec::new());
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                if let Some(next) = characters.next().filter(|next| *next != '\n') {
                    word.get_or_insert_default().push(next);
                }
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, ';' | '|' | '&' | '\n') => {
                words.extend(word.take());
                found.push(std::mem::take(&mut words));
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    found.push(words);
    let plain = |words: Vec<String>| {
        let is_shells = |word: &String| WORDS_OF_SHELLS.contains(&word.as_str());
        let command = words.into_iter().skip_while(is_shells);
        // What is redirected comes last.
        command
            .take_while(|word| !word.starts_with('>') && !word.starts_with('<'))
            .collect::<Vec<_>>()
    };
    let found = found.into_iter().map(plain);
    found.filter(|words| !words.is_empty()).collect()
}

/// The lines of a block that are commands, with those that they go on in.
fn lines(kind: &str, text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let command = match kind {
            "console" => line.strip_prefix("$ "),
            _ => Some(line),
        };
        match (goes_on, command, lines.last_mut()) {
            (true, _, Some(last)) => last.extend(["\n", line]),
            (false, Some(command), _) => lines.push(command.to_owned()),
            _ => {
                goes_on = false;
                continue;
            }
        }
        goes_on = line.ends_with('\\');
    }
    lines
}

/// How much of a command is there.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Whole,
    /// Within a sentence, maybe without what it needs.
    Named,
}

/// What the command line says of these words, the program's name first.
fn wrong_of_ours(words: &[String], shown: Shown) -> Option<String> {
    let error = Arguments::try_parse_from(words).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => shown == Shown::Named,
        _ => false,
    };
    (!is_fine).then(|| error.to_string())
}

/// What there is in the workspace to name.
struct Workspace {
    packages: BTreeSet<String>,
    tests: BTreeSet<String>,
    benches: BTreeSet<String>,
    profiles: String,
}

impl Workspace {
    fn read() -> Self {
        let out = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(out.status.success());
        let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let name = |named: &Value| named["name"].as_str().unwrap().to_owned();
        let targets = |kind: &str| {
            let all = packages
                .iter()
                .flat_map(|package| package["targets"].as_array().unwrap());
            let is_kind = |target: &&Value| target["kind"][0] == kind;
            all.filter(is_kind).map(name).collect()
        };
        Self {
            packages: packages.iter().map(name).collect(),
            tests: targets("test"),
            benches: targets("bench"),
            profiles: root_manifest(),
        }
    }

    /// What is wrong with the words behind `cargo`.
    fn wrong(&self, words: &[String], shown: Shown) -> Option<String> {
        let of_others = words.iter().position(|word| word == "--");
        let (own, others) = words.split_at(of_others.unwrap_or(words.len()));
        let command = own.first().map(String::as_str);
        match command {
            Some("build" | "test" | "bench" | "run" | "install" | "deny") | None => {}
            Some(other) => return Some(format!("cargo {other} is not known here")),
        }
        let mut named = own.iter().zip(own.iter().skip(1));
        let missing = named.find(|(flag, name)| !self.is_there(flag, name));
        if let Some((flag, name)) = missing {
            return Some(format!("there is no {flag} {name}"));
        }
        if command != Some("run") {
            return None;
        }
        let ours = others.iter().skip(1).cloned();
        let ours: Vec<_> = std::iter::once("tollgate".to_owned()).chain(ours).collect();
        wrong_of_ours(&ours, shown)
    }

    fn is_there(&self, flag: &str, name: &str) -> bool {
        match flag {
            "-p" | "--package" => self.packages.contains(name),
            "--test" => self.tests.contains(name),
            "--bench" => self.benches.contains(name),
            "--profile" => {
                ["dev", "release"].contains(&name)
                    || self.profiles.contains(&format!("[profile.{name}]"))
            }
            "--path" => root().join(name).join("Cargo.toml").is_file(),
            _ => true,
        }
    }

    fn wrong_of(&self, words: &[String], shown: Shown) -> Option<String> {
        let (program, rest) = words.split_first()?;
        match program.rsplit('/').next()? {
            "tollgate" => wrong_of_ours(words, shown),
            "cargo" => self.wrong(rest, shown),
            _ => {
                let is_ours = ["tests/", "examples/"]
                    .iter()
                    .any(|folder| program.starts_with(folder));
                (is_ours && !root().join(program).is_file())
                    .then(|| format!("there is no {program}"))
            }
        }
    }
}

fn root_manifest() -> String {
    read("Cargo.toml")
}

#[test]
fn every_command_in_a_block_is_one() {
    let workspace = Workspace::read();
    let (mut wrongs, mut count) = (Vec::new(), 0);
    for block in blocks() {
        if !matches!(block.kind.as_str(), "console" | "sh") {
            continue;
        }
        for line in lines(&block.kind, &block.text) {
            for words in commands(&line) {
                count += 1;
                let wrong = workspace.wrong_of(&words, Shown::Whole);
                wrongs.extend(
                    wrong.map(|what| format!("{}: {}: {what}", block.place(), words.join(" "))),
                );
            }
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(count > 100, "{count}");
}

/// What stands between backticks on one line, outside of blocks.
fn spans(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_in_block = false;
    for line in page.lines() {
        is_in_block ^= line.trim_start().starts_with("```");
        let parts: Vec<_> = line.split('`').collect();
        if !is_in_block && parts.len() % 2 == 1 {
            found.extend(parts.iter().skip(1).step_by(2).map(|&span| span.to_owned()));
        }
    }
    found
}

#[test]
fn every_command_in_a_sentence_is_one() {
    let workspace = Workspace::read();
    let (mut wrongs, mut count) = (Vec::new(), 0);
    for page in pages() {
        for span in spans(&read(&page)) {
            let is_command = ["tollgate ", "cargo "]
                .iter()
                .any(|program| span.starts_with(program));
            for words in commands(&span).iter().filter(|_| is_command) {
                count += 1;
                let wrong = workspace.wrong_of(words, Shown::Named);
                wrongs.extend(wrong.map(|what| format!("{page}: {span}: {what}")));
            }
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(count > 50, "{count}");
}

#[test]
fn a_line_of_shell_is_read_as_a_shell_does() {
    let text = "$ until a 'b c' | d; do e \"f g\"; done # h\nno\n$ i \\\n  j > k &\n";
    let found: Vec<_> = lines("console", text)
        .iter()
        .flat_map(|line| commands(line))
        .collect();
    let expected: [&[&str]; 4] = [&["a", "b c"], &["d"], &["e", "f g"], &["i", "j"]];
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_command_is_found() {
    let workspace = Workspace::read();
    for (line, is_wrong) in [
        ("tollgate run --config a.yaml", false),
        ("target/release/tollgate run", true),
        ("tollgate run --confg a.yaml", true),
        ("tollgate walk", true),
        ("cargo run --release -- demo --once", false),
        ("cargo run --release -- demo --twice", true),
        ("cargo bench --bench session -- any", false),
        ("cargo bench --bench sessions", true),
        ("cargo test --test e2e -p tollgate", false),
        ("cargo test -p tollgates", true),
        ("cargo build --profile plugged", true),
        ("cargo boil", true),
        ("tests/nothing/run", true),
        ("curl --whatever", false),
    ] {
        let wrong = workspace.wrong_of(&commands(line)[0], Shown::Whole);
        assert_eq!(wrong.is_some(), is_wrong, "{line}: {wrong:?}");
    }
}
