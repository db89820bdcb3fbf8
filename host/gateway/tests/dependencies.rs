//! Every dependency is what `deny.toml` says it may be.
//!
//! A check of licences, bans and sources with what is at hand, on every run of the
//! tests; `deny.toml` says how to run the tool that the file is made for.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// What cargo knows of the packages that are built here.
fn metadata() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).unwrap()
}

fn packages(metadata: &Value) -> &[Value] {
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 200, "the dependencies are not there");
    packages
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn policy() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deny.toml");
    std::fs::read_to_string(file).unwrap()
}

/// The texts of the list that begins after `start`.
fn listed<'a>(toml: &'a str, start: &str) -> Vec<&'a str> {
    let (_, list) = toml.split_once(start).unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether one may choose so among the licences that all are allowed.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    !words.is_empty() && any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is = all_of(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        is |= all_of(rest, allowed);
    }
    is
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        is &= one(rest, allowed);
    }
    is
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let is = any_of(rest, allowed);
            let closed = rest.first() == Some(&")");
            *rest = rest.get(1..).unwrap_or_default();
            is && closed
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.contains(licence)
        }
        [] => false,
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let (metadata, policy) = (metadata(), policy());
    let allowed = listed(&policy, "allow = [");
    assert!(allowed.contains(&"MIT"), "the list is not there");
    let wrong: Vec<_> = packages(&metadata)
        .iter()
        .filter(|package| !is_allowed(text(&package["license"]), &allowed))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "not in deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn a_choice_of_licences_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause"];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND BSD-3-Clause", true),
        ("(GPL-3.0 OR MIT) AND ISC", false),
        ("GPL-3.0 OR MIT AND ISC", false),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0", true),
        ("Apache-2.0", false),
        ("MIT MIT", false),
        ("(MIT", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn nobody_depends_on_what_is_not_theirs_to_name() {
    let (metadata, policy) = (metadata(), policy());
    let banned: BTreeMap<&str, Vec<&str>> = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \""))
        .map(|line| {
            let name = line.split('"').next().unwrap();
            let has = line.contains("wrappers");
            (
                name,
                if has {
                    listed(line, "wrappers = [")
                } else {
                    Vec::new()
                },
            )
        })
        .collect();
    assert!(banned.contains_key("wasmtime"), "the bans are not there");
    let names: BTreeMap<&str, &str> = packages(&metadata)
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut wrong = Vec::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let dependent = names[text(&node["id"])];
        for dependency in node["dependencies"].as_array().unwrap() {
            let name = names[text(dependency)];
            if banned
                .get(name)
                .is_some_and(|wrappers| !wrappers.contains(&dependent))
            {
                wrong.push(format!("{dependent} depends on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_comes_from_the_one_registry_in_a_version_that_is_said() {
    let metadata = metadata();
    let mut sources = BTreeSet::new();
    for package in packages(&metadata) {
        let source = text(&package["source"]);
        sources.extend((!source.is_empty()).then_some(source));
        if source.is_empty() {
            let dependencies = package["dependencies"].as_array().unwrap();
            let any = dependencies
                .iter()
                .find(|dependency| dependency["req"] == "*");
            assert!(
                any.is_none(),
                "{}: any version of {}",
                package["name"],
                any.unwrap()["name"]
            );
        }
    }
    let is_registry =
        |source: &str| source.starts_with("registry+") && source.ends_with("/crates.io-index");
    assert!(
        sources.len() == 1 && sources.iter().all(|source| is_registry(source)),
        "{sources:?}"
    );
}
