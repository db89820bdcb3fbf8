//! Lines of what rustc compiled, and of what nobody would have.

use std::{fs, process::Command};

use wasm_encoder::{CustomSection, Module};

use super::*;

/// Built by the compiler that builds this, with its lines.
fn compiled(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.rs"), source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["mine.rs", "--crate-type", "cdylib", "--edition", "2024"])
        .args(["--target", "wasm32-unknown-unknown", "-Cpanic=abort"])
        .args(["-Copt-level=1", "-Cdebuginfo=1"])
        .current_dir(folder.path())
        .status();
    assert!(built.unwrap().success());
    fs::read(folder.path().join("mine.wasm")).unwrap()
}

const SOURCE: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn outer(n: u32) -> u32 {
    inlined(n) + 1
}

#[inline(always)]
fn inlined(n: u32) -> u32 {
    if n == 7 {
        core::arch::wasm32::unreachable() // here
    }
    n
}
"#;

fn line_of(words: &str) -> u32 {
    let lines = SOURCE.lines();
    lines.take_while(|line| !line.contains(words)).count() as u32 + 1
}

/// The spots of every row, function by function.
fn all(lines: &Lines) -> Vec<Vec<Spot<'_>>> {
    let rows = lines.rows.iter();
    rows.map(|row| lines.find(row.0, row.1)).collect()
}

#[test]
fn a_line_is_told_with_the_functions_that_it_was_inlined_into() {
    let lines = Lines::as_it_came(&compiled(SOURCE)).unwrap();
    let inner = Spot {
        function: "mine::inlined",
        file: "mine.rs",
        line: line_of("// here"),
    };
    let outer = Spot {
        function: "outer",
        file: "mine.rs",
        line: line_of("inlined(n) + 1"),
    };
    let found = all(&lines);
    assert!(found.contains(&vec![inner, outer]), "{found:?}");
    assert_eq!(lines.find(u32::MAX, 0), []);
}

#[test]
fn what_lines_are_of_survives_being_written_down() {
    let lines = Lines::as_it_came(&compiled(SOURCE)).unwrap();
    let text = serde_json::to_string(&lines).unwrap();
    let read: Lines = serde_json::from_str(&text).unwrap();
    assert_eq!(all(&read), all(&lines));
}

/// The module with other bytes in its sections of debug information.
fn with_debug_info(module: &[u8], change: impl Fn(&str, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let sections = DebugInfo::sections(module).unwrap();
    let mut changed = Module::new().finish();
    let end = module.len();
    changed.extend(&module[8..end]);
    let mut names: Vec<_> = sections.keys().copied().collect();
    names.sort_unstable();
    for name in names {
        // The last of a name counts.
        let data = change(name, sections[name]);
        let section = CustomSection {
            name: name.into(),
            data: data.into(),
        };
        wasm_encoder::Section::append_to(&section, &mut changed);
    }
    changed
}

#[test]
fn a_table_that_is_too_long_is_none() {
    let module = compiled(SOURCE);
    let moved = as_they_are(&module).unwrap();
    let is_some = |most| Lines::within(most, &module, &moved).is_some();
    assert!(is_some(MOST));
    assert!(!is_some(Most { rows: 3, ..MOST }));
    assert!(!is_some(Most {
        names_bytes: 3,
        ..MOST
    }));
}

#[test]
fn hostile_debug_information_is_borne() {
    let module = compiled(SOURCE);
    // What it says is wrong then, and it is said.
    for (name, change) in [
        (
            "nothing",
            Box::new(|_: &[u8]| Vec::new()) as Box<dyn Fn(&[u8]) -> Vec<u8>>,
        ),
        (
            "half",
            Box::new(|data: &[u8]| data[..data.len() / 2].to_vec()),
        ),
        ("ones", Box::new(|data: &[u8]| vec![0xff; data.len()])),
        ("zeros", Box::new(|data: &[u8]| vec![0; data.len()])),
        (
            "others",
            Box::new(|data: &[u8]| data.iter().map(|byte| byte ^ 0x15).collect()),
        ),
        (
            "bits",
            Box::new(|data: &[u8]| {
                let bytes = data.iter().enumerate();
                bytes
                    .map(|(nth, byte)| byte ^ u8::from(nth % 97 == 13))
                    .collect()
            }),
        ),
    ] {
        for only in [
            None,
            Some(".debug_info"),
            Some(".debug_line"),
            Some(".debug_abbrev"),
        ] {
            let hostile = with_debug_info(&module, |section, data| {
                match only.is_none_or(|only| only == section) {
                    true => change(data),
                    false => data.to_vec(),
                }
            });
            if let Some(lines) = Lines::as_it_came(&hostile) {
                for spot in all(&lines).into_iter().flatten() {
                    for word in [spot.function, spot.file] {
                        assert!(word.len() <= PATH_BYTES_MAX, "{name} {only:?}: {word}");
                        assert!(
                            !word.contains(char::is_control),
                            "{name} {only:?}: {word:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn without_debug_information_there_are_no_lines() {
    let plain = wat::parse_str("(module (func unreachable))").unwrap();
    assert!(!are_there(&plain) && Lines::as_it_came(&plain).is_none());
    assert!(!are_there(b"\0asm"));
}
