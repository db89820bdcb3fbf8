//! The cases in `cases/`, in the gateway's sandbox.
//!
//! `tollgate` has the sandbox, so none is compiled here: the one in the path runs them, or
//! the one that the environment variable `TOLLGATE` names.

use std::{env, process::Command};

#[test]
fn every_case_holds_in_the_sandbox() {
    let tollgate = env::var_os("TOLLGATE").unwrap_or_else(|| "tollgate".into());
    let ran = Command::new(&tollgate)
        .args(["plugin", "test", env!("CARGO_MANIFEST_DIR")])
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "`{}` cannot be run: {error}. Put `tollgate` into your PATH, or where it is into TOLLGATE; \
                 `cargo test --lib` runs the native tests alone",
                tollgate.to_string_lossy()
            )
        });
    print!("{}", String::from_utf8_lossy(&ran.stdout));
    eprint!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "a case does not hold, or could not be run: see above");
}
