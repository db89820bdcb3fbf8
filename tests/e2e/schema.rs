//! `tollgate schema`, and the copy of its output that the examples name.

use std::{fs, path::Path, path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::fixture::guest;

/// The standard plugins.
pub(crate) const STANDARD: &[&str] = &[
    "anthropic",
    "api-keys",
    "cache",
    "jwt",
    "model-router",
    "model-rules",
    "open-inference",
    "prompt-template",
    "rate-limit",
    "redact",
    "schema-guard",
    "token-budget",
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

async fn schema(arguments: &[&str]) -> (String, String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("schema").args(arguments).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.success(),
    )
}

/// Of all standard plugins.
async fn whole() -> String {
    let folder = tempfile::tempdir().unwrap();
    for name in STANDARD {
        fs::copy(guest(name), folder.path().join(format!("{name}.wasm"))).unwrap();
    }
    let (text, said, is_fine) = schema(&["--plugins", folder.path().to_str().unwrap()]).await;
    assert!(is_fine && said.is_empty(), "{said}");
    text
}

#[tokio::test]
async fn the_examples_hold_to_the_schema_that_they_name() {
    let (file, made) = (examples().join("tollgate.schema.json"), whole().await);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &made).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == made,
        "run with UPDATE_GOLDEN=1 and commit examples/tollgate.schema.json"
    );
    let validator = jsonschema::validator_for(&serde_json::from_str(&made).unwrap()).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let config = entry.unwrap().path().join("tollgate.yaml");
        let Ok(text) = fs::read_to_string(&config) else {
            continue;
        };
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            "# yaml-language-server: $schema=../tollgate.schema.json",
            "{}",
            config.display()
        );
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        // What other languages' tools make is not built here, and so its settings are not known.
        let plugins = value["policies"].as_object().unwrap().values();
        let is_standard = |policy: &Value| STANDARD.contains(&policy["plugin"].as_str().unwrap());
        let is_known = plugins.into_iter().all(is_standard);
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", config.display());
        count += 1;
        // What an editor is to show.
        let wrong = |change: fn(&mut Value)| {
            let mut value = value.clone();
            change(&mut value);
            !validator.is_valid(&value)
        };
        assert!(wrong(|value| value["listn"] = "127.0.0.1:1".into()));
        let misspell = |value: &mut Value| {
            let policies = value["policies"].as_object_mut().unwrap();
            policies.values_mut().next().unwrap()["settings"]["colour"] = "blue".into();
        };
        assert!(
            !is_known || wrong(misspell),
            "a setting that the plugin does not have"
        );
    }
    assert!(count >= 4, "{count}");
}

#[tokio::test]
async fn what_is_no_plugin_is_left_out_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(guest("redact"), folder.path().join("redact.wasm")).unwrap();
    fs::write(folder.path().join("broken.wasm"), "no wasm").unwrap();
    let file = folder.path().join("out.json");
    let arguments = [
        "--plugins",
        folder.path().to_str().unwrap(),
        "--output",
        file.to_str().unwrap(),
    ];
    let (out, said, is_fine) = schema(&arguments).await;
    assert!(is_fine && out.is_empty());
    assert!(
        said.contains("left out") && said.contains("broken.wasm"),
        "{said}"
    );
    assert!(said.contains("the settings of 1 plugins"), "{said}");
    let written: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert!(written["$defs"]["settings-of-redact"]["properties"]["kinds"].is_object());
    let config = folder.path().join("tollgate.yaml");
    let text = "listen: 127.0.0.1:0\nplugins: .\nupstreams: { u: { endpoints: [ \"http://127.0.0.1:9\" ] } }\n\
                routes: [ { match: { path: \"/*\" }, upstream: u } ]\n";
    fs::write(&config, text).unwrap();
    let (out, said, is_fine) = schema(&["--config", config.to_str().unwrap()]).await;
    assert!(is_fine && said.contains("broken.wasm"), "{said}");
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed, written, "the same plugins, found in another way");
    let (_, said, is_fine) = schema(&["--config", "nowhere.yaml"]).await;
    assert!(!is_fine && said.contains("--plugins"), "{said}");
}
