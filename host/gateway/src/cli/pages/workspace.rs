//! What the repository has for commands to name: packages, targets, files, the admin
//! port's requests.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use super::{
    commands::{Shown, wrong_of_ours},
    read, root,
    words::literals,
};

/// Where a file of the repository is, if a word begins so.
const FOLDERS: &[&str] = &["docs", "examples", "host", "plugins", "sdk", "tests"];
/// Where cargo leaves a plugin that it builds.
const BUILT: &str = "target/wasm32-unknown-unknown/plugin/";
/// The admin port, as pages have it.
const ADMIN: &str = "http://127.0.0.1:9901";
/// What cargo does with the pages' commands; their options are looked up.
const CARGO: &[&str] = &["bench", "build", "install", "run", "test"];
/// Options of criterion, which measures `session`.
const CRITERION: &[&str] = &["--quick"];

/// What there is in the workspace to name.
pub(super) struct Workspace {
    packages: BTreeSet<String>,
    tests: BTreeSet<String>,
    benches: BTreeSet<String>,
    manifest: String,
    /// Of each of [`CARGO`].
    options: Vec<(&'static str, BTreeSet<String>)>,
    /// What stands in the benchmarks' strings.
    measured: Vec<String>,
    routes: Vec<String>,
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let out = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{arguments:?}");
    out.stdout
}

/// The options that `cargo COMMAND -h` tells of.
fn options(command: &str) -> BTreeSet<String> {
    let help = String::from_utf8(cargo(&[command, "-h"])).unwrap();
    let ends = |character: char| !character.is_ascii_alphanumeric() && character != '-';
    let words = help.split(ends).filter(|word| word.starts_with('-'));
    words.map(str::to_owned).collect()
}

/// The paths that the admin port answers.
fn routes() -> Vec<String> {
    let source = read("host/gateway/src/admin/mod.rs");
    let found = source.split(".route(\"").skip(1);
    let found: Vec<_> = found
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    assert!(found.iter().any(|route| route == "/readyz"));
    found
}

impl Workspace {
    pub(super) fn read() -> Self {
        let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
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
            manifest: read("Cargo.toml"),
            options: CARGO.iter().map(|&name| (name, options(name))).collect(),
            measured: literals(&["tests/bench"]),
            routes: routes(),
        }
    }

    /// What is wrong with the words of a command, the program's name first.
    pub(super) fn wrong_of(&self, words: &[String], shown: Shown) -> Option<String> {
        let (program, rest) = words.split_first()?;
        let wrong = match program.rsplit('/').next()? {
            "tollgate" => wrong_of_ours(words, shown),
            "cargo" => self.wrong(rest, shown),
            _ => None,
        };
        wrong.or_else(|| words.iter().find_map(|word| self.missing(word)))
    }

    /// What a word names that is not there.
    fn missing(&self, word: &str) -> Option<String> {
        let is_there = if let Some(path) = word.strip_prefix(ADMIN) {
            self.is_asked(path)
        } else if let Some(file) = word.strip_prefix(BUILT) {
            let plugin = file.trim_end_matches(".wasm").replace('_', "-");
            plugin == "*" || self.packages.contains(&plugin)
        } else {
            let is_ours = word
                .split_once('/')
                .is_some_and(|(folder, _)| FOLDERS.contains(&folder));
            !is_ours || root().join(word).exists()
        };
        (!is_there).then(|| format!("there is no {word}"))
    }

    /// Whether the admin port answers this path.
    pub(super) fn is_asked(&self, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or(path);
        self.routes.iter().any(|route| {
            let (mut wanted, mut given) = (route.split('/'), path.split('/'));
            loop {
                match (wanted.next(), given.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(given)) if wanted == given => {}
                    (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                    }
                    _ => return false,
                }
            }
        })
    }

    /// What is wrong with the words behind `cargo`.
    fn wrong(&self, words: &[String], shown: Shown) -> Option<String> {
        let of_others = words.iter().position(|word| word == "--");
        let (own, others) = words.split_at(of_others.unwrap_or(words.len()));
        let others = others.get(1..).unwrap_or_default();
        let (command, own) = own.split_first()?;
        let known = self.options.iter().find(|(name, _)| name == command);
        match known {
            Some((_, options)) => {
                let mut given = own.iter().filter(|word| word.starts_with('-'));
                if let Some(option) = given.find(|word| !options.contains(*word)) {
                    return Some(format!("cargo {command} has no {option}"));
                }
            }
            // Its own program, which need not be installed.
            None if command == "deny" => {}
            None => return Some(format!("cargo {command} is not known here")),
        }
        let mut named = own.iter().zip(own.iter().skip(1));
        if let Some((flag, name)) = named.find(|(flag, name)| !self.is_there(flag, name)) {
            return Some(format!("there is no {flag} {name}"));
        }
        match command.as_str() {
            "run" => {
                let program = std::iter::once("tollgate".to_owned());
                let ours: Vec<_> = program.chain(others.iter().cloned()).collect();
                wrong_of_ours(&ours, shown)
            }
            "bench" => {
                let mut words = others.iter();
                let unknown = words.find(|word| !self.is_measured(word))?;
                Some(format!("no benchmark has {unknown} in its name"))
            }
            _ => None,
        }
    }

    /// Whether benchmarks know the option, or have the word in their names.
    fn is_measured(&self, word: &String) -> bool {
        let mut texts = self.measured.iter();
        if word.starts_with('-') {
            return CRITERION.contains(&word.as_str()) || texts.any(|text| text == word);
        }
        word.split_whitespace()
            .all(|word| self.measured.iter().any(|text| text.contains(word)))
    }

    fn is_there(&self, flag: &str, name: &str) -> bool {
        match flag {
            "-p" | "--package" => self.packages.contains(name),
            "--test" => self.tests.contains(name),
            "--bench" => self.benches.contains(name),
            "--profile" => {
                ["dev", "release"].contains(&name)
                    || self.manifest.contains(&format!("[profile.{name}]"))
            }
            "--path" => root().join(name).join("Cargo.toml").is_file(),
            _ => true,
        }
    }

    /// Whether a path of the repository leads somewhere.
    pub(super) fn has_path(path: &str) -> bool {
        let path = Path::new(path);
        path.is_relative() && root().join(path).exists()
    }
}
