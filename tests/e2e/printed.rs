//! What commands print, where nobody reads it: `tollgate schema | true`.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::fixture::guest;

#[test]
fn a_command_whose_reader_has_left_ends_as_ever_and_says_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file(
        "good.yaml",
        "upstreams: { up: { endpoints: [ \"http://127.0.0.1:9\" ] } }\nroutes: [ { upstream: up } ]\n",
    );
    let bad = file("bad.yaml", "routes: 1\n");
    let plugin = guest("api-keys").display().to_string();
    for (arguments, status) in [
        (&["schema"][..], 0),
        (&["check", "--config", &good], 0),
        (&["check", "--config", &good, "--json"], 0),
        (&["check", "--config", &bad], 1),
        (&["plugin", "inspect", &plugin], 0),
        (&["plugin", "inspect", &plugin, "--schema"], 0),
        (&["plugin", "inspect", "nowhere.wasm"], 1),
        (&["run", "--config", &bad], 1),
    ] {
        let told = |stdout: Stdio, stderr: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
            command.args(arguments).stdin(Stdio::null());
            command.stdout(stdout).stderr(stderr);
            command.output()
        };
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let both = [closed.try_clone().unwrap(), closed.try_clone().unwrap()];
        let output = told(closed.into(), Stdio::piped()).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        let [out, err] = both.map(Stdio::from);
        let output = told(out, err).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}, 2>&1");
    }
}
