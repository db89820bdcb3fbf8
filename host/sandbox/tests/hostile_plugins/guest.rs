//! The programs that the tests need: the hostile guest and the compiling child.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use bytes::Bytes;

/// `target`, wherever this test was built.
fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    // target/<profile>/deps/<test>
    exe.ancestors()
        .nth(3)
        .expect("a test lies in target/<profile>/deps")
        .to_owned()
}

/// The hostile guest's bytes, built once.
pub(crate) fn hostile() -> Bytes {
    static WASM: OnceLock<Bytes> = OnceLock::new();
    WASM.get_or_init(|| {
        let guests = target().join("guests");
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--profile",
                "plugin",
                "--target",
                "wasm32-unknown-unknown",
                "-p",
                "hostile",
            ])
            .arg("--target-dir")
            .arg(&guests)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .status()
            .expect("cargo can be run");
        assert!(built.success(), "the hostile guest does not build");
        let path = guests.join("wasm32-unknown-unknown/plugin/hostile.wasm");
        std::fs::read(path).expect("it was just built").into()
    })
    .clone()
}

/// The example `compile-worker`, which cargo builds along with the tests.
pub(crate) fn compile_worker() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    let profile = exe
        .ancestors()
        .nth(2)
        .expect("a test lies in target/<profile>/deps");
    let worker = profile.join("examples/compile-worker");
    assert!(
        worker.exists(),
        "build it first: cargo build -p tollgate-sandbox --examples"
    );
    worker
}
