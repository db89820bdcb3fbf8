//! Builds a plugin's crate to WebAssembly with cargo.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// The profile of `tollgate plugin build`, and the stack that it gives: what is tested is
/// what is shipped, and what one of them built is there for the other.
const PROFILE: &str = "plugin";
const SETTINGS: [&str; 6] = [
    "inherits='release'",
    "lto=true",
    "codegen-units=1",
    "panic='abort'",
    "debug=false",
    "strip='debuginfo'",
];
const STACK: &str = "-Clink-arg=-zstack-size=65536";

/// Why there is no `.wasm` file.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// cargo could not be run.
    #[error("cargo cannot be run: {0}")]
    Cargo(#[from] std::io::Error),
    /// The build failed; the compiler's messages are on standard error.
    #[error(
        "{0} does not build for wasm32-unknown-unknown (if the target is missing: rustup target add wasm32-unknown-unknown)"
    )]
    Failed(PathBuf),
    /// There is no `cdylib` in the crate.
    #[error("{0} makes no .wasm file: it needs `crate-type = [\"cdylib\", \"rlib\"]` under [lib]")]
    NoCdylib(PathBuf),
}

/// Builds the crate in `folder` and returns its `.wasm` file. Uses a target folder
/// of its own below the workspace's, so that it never waits for the build it is part of.
pub(crate) fn build(folder: &Path, features: &[&str]) -> Result<PathBuf, BuildError> {
    let manifest = folder.join("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "build",
            "--lib",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(SETTINGS.iter().flat_map(|setting| {
            [
                "--config".to_owned(),
                format!("profile.{PROFILE}.{setting}"),
            ]
        }))
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_folder(&manifest)?)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(std::process::Stdio::inherit());
    if !says_its_stack(folder) {
        cargo
            .arg("--config")
            .arg(format!("target.{TARGET}.rustflags=['{STACK}']"));
    }
    if !features.is_empty() {
        cargo.arg("--features").arg(features.join(","));
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(BuildError::Failed(folder.to_owned()));
    }
    artefact(&output.stdout, &manifest).ok_or_else(|| BuildError::NoCdylib(folder.to_owned()))
}

/// Whether cargo's own configuration for this folder says how large a stack is to be.
fn says_its_stack(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let files = folder
        .ancestors()
        .flat_map(|folder| ["config.toml", "config"].map(|file| folder.join(".cargo").join(file)));
    files
        .filter_map(|file| fs::read_to_string(file).ok())
        .any(|text| text.contains("stack-size"))
}

fn target_folder(manifest: &Path) -> Result<PathBuf, BuildError> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest)
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let target = metadata["target_directory"].as_str().unwrap_or("target");
    Ok(Path::new(target).join("guests"))
}

/// Finds the file in cargo's messages, one JSON object a line.
fn artefact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let manifest = manifest.canonicalize().ok()?;
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| {
            message["manifest_path"]
                .as_str()
                .is_some_and(|path| Path::new(path) == manifest)
        })
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
}
