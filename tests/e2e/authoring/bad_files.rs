//! Files that are no plugins, or none for this gateway.

use std::fs;

use super::tollgate;
use crate::fixture;

/// A module that imports something and has no contract in it.
const FOREIGN: &[u8] = &[
    0, b'a', b's', b'm', 1, 0, 0, 0, // header
    1, 4, 1, 0x60, 0, 0, // a type: no parameters, no results
    2, 9, 1, 3, b'e', b'n', b'v', 1, b'f', 0, 0, // import env.f
];

#[test]
fn a_file_that_is_no_plugin_is_told_with_what_it_is() {
    let outside = tempfile::tempdir().unwrap();
    let probe = fs::read(fixture::guest("api-keys")).unwrap();
    let mut other = probe.clone();
    for at in 0..other.len() - 6 {
        if other[at..].starts_with(b"@0.1.0") {
            other[at..at + 6].copy_from_slice(b"@9.1.0");
        }
    }
    for (name, bytes, message) in [
        ("empty", &b""[..], "the file is empty"),
        (
            "script",
            b"#!/bin/sh\n",
            "the file is not WebAssembly: it does not begin with `\\0asm`",
        ),
        (
            "text",
            b"(module)",
            "the file is WebAssembly text; build it to binary first",
        ),
        (
            "cut",
            &probe[..probe.len() / 2],
            "the module is not valid: unexpected end",
        ),
        (
            "foreign",
            FOREIGN,
            "the module has no contract in it, so it is no policy plugin: build it with the SDK",
        ),
        (
            "other",
            &other,
            "it is built for contract tollgate:policy@9.1.0; this gateway speaks 0.1.0: build it with the SDK of \
             this version",
        ),
    ] {
        let file = format!("{name}.wasm");
        fs::write(outside.path().join(&file), bytes).unwrap();
        let said = tollgate(outside.path(), &["plugin", "inspect", &file]);
        let start = format!("error: {file}: {message}");
        assert!(
            !said.is_good && said.error.starts_with(&start),
            "{}",
            said.error
        );
    }
    let said = tollgate(outside.path(), &["plugin", "inspect", "."]);
    assert!(
        said.error.contains(".: is no file; name a plugin's file"),
        "{}",
        said.error
    );
    let said = tollgate(outside.path(), &["plugin", "inspect", "none.wasm"]);
    assert!(
        said.error.contains("none.wasm: cannot be read"),
        "{}",
        said.error
    );
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let outside = tempfile::tempdir().unwrap();
    let file = fs::File::create(outside.path().join("huge.wasm")).unwrap();
    file.set_len(5 << 30).unwrap();
    for command in ["inspect", "test"] {
        let said = tollgate(outside.path(), &["plugin", command, "huge.wasm"]);
        assert!(
            !said.is_good && said.error.contains("5368709120 bytes"),
            "{}",
            said.error
        );
    }
}
