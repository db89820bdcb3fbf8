//! Commands on pages: those of `tollgate` go through its own command line, those of cargo
//! name what is in the workspace, and files of the repository that they name are there.

use clap::{Parser, error::ErrorKind};

use super::{Rule, of_rule, pages, read, workspace::Workspace};
use crate::cli::Arguments;

/// What may stand before a command, or be the whole of one, in a shell.
const WORDS_OF_SHELLS: &[&str] = &["until", "if", "while", "do", "then", "{", "}", "done", "fi"];

/// The simple commands of a line of shell, as words. Substitutions are left as they stand.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
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
pub(super) fn lines(kind: &str, text: &str) -> Vec<String> {
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
pub(super) enum Shown {
    Whole,
    /// Within a sentence, maybe without what it needs.
    Named,
}

/// What the command line says of these words, the program's name first.
pub(super) fn wrong_of_ours(words: &[String], shown: Shown) -> Option<String> {
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

#[test]
fn every_command_in_a_block_is_one() {
    let workspace = Workspace::read();
    let (mut wrongs, mut count) = (Vec::new(), 0);
    for block in of_rule(Rule::Commands, 60) {
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
        ("cargo bench --bench session -- 'policy jwt'", false),
        ("cargo bench --bench sessions", true),
        ("cargo test --test e2e -p tollgate", false),
        ("cargo test -p tollgates", true),
        ("cargo build --profile plugged", true),
        ("cargo boil", true),
        ("cargo build --relase", true),
        ("cargo bench --bench load -- --quick trace", false),
        ("cargo bench --bench load -- traces-of-nothing", true),
        ("cargo bench --bench load -- --quickly", true),
        ("tests/nothing/run", true),
        ("curl --whatever", false),
        ("cp examples/tollgate.schema.json x", false),
        ("cp examples/nothing.json x", true),
        (
            "ls target/wasm32-unknown-unknown/plugin/greeting_v1.wasm",
            false,
        ),
        (
            "ls target/wasm32-unknown-unknown/plugin/greeting_v9.wasm",
            true,
        ),
        ("curl -s http://127.0.0.1:9901/metrics/spent", false),
        ("curl -s http://127.0.0.1:9901/ready", true),
    ] {
        let wrong = workspace.wrong_of(&commands(line)[0], Shown::Whole);
        assert_eq!(wrong.is_some(), is_wrong, "{line}: {wrong:?}");
    }
}
