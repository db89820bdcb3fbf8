//! `tollgate plugin`, as an author meets it: every command in a process of its own, every
//! message as it is shown.

#[path = "authoring/bad_files.rs"]
mod bad_files;
#[path = "authoring/cases.rs"]
mod cases;
#[path = "authoring/first_policy.rs"]
mod first_policy;
#[path = "authoring/mistakes.rs"]
mod mistakes;
#[path = "authoring/shipped.rs"]
mod shipped;
#[path = "authoring/standard.rs"]
mod standard;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tollgate::demo::plugins_build::{target_dir, workspace_root};

/// What a command said and how it ended.
struct Said {
    is_good: bool,
    out: String,
    error: String,
}

/// Runs `tollgate` in a folder.
fn tollgate(folder: &Path, arguments: &[&str]) -> Said {
    let root = workspace_root().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target_dir(&root))
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap();
    said(&output)
}

fn said(output: &Output) -> Said {
    Said {
        is_good: output.status.success(),
        out: steady(&String::from_utf8_lossy(&output.stdout)),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Without what differs from run to run and from compiler to compiler.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut kept: Vec<&str> = Vec::new();
        for (nth, word) in words.iter().enumerate() {
            let unit = words
                .get(nth + 1)
                .map_or("", |next| next.trim_end_matches(','));
            let is_hash = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_measured = ["µs", "KiB"].contains(&unit) && word.parse::<f64>().is_ok();
            kept.push(match word {
                _ if is_hash => "HASH",
                _ if is_measured => "N",
                word => word,
            });
        }
        // What stands in columns is as wide as the widest.
        out.push_str(if line.starts_with(' ') { " " } else { "" });
        out.push_str(&kept.join(" "));
        out.push('\n');
    }
    out
}

/// A crate that `plugin new` made, outside of the repository.
pub(crate) struct Made {
    outside: tempfile::TempDir,
    name: String,
}

impl Made {
    pub(crate) fn new(name: &str) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let said = tollgate(outside.path(), &["plugin", "new", name]);
        assert!(said.is_good, "{}", said.error);
        let made = Self {
            outside,
            name: name.to_owned(),
        };
        // The versions that are here already, so that nothing has to be fetched.
        let lock = workspace_root().unwrap().join("Cargo.lock");
        fs::copy(lock, made.folder().join("Cargo.lock")).unwrap();
        made
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.outside.path().join(&self.name)
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.folder().join(file), text).unwrap();
    }

    pub(crate) fn reword(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{text}");
        self.write(file, &text.replace(from, to));
    }

    fn tollgate(&self, arguments: &[&str]) -> Said {
        tollgate(&self.folder(), arguments)
    }
}
