//! A folder with a configuration and plugins, and the ways to change them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::fixture;

/// What a folder holds at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// No policies.
    Plain,
    /// The policy `greeting`, of the plugin `greeting.wasm`.
    Greeted,
    /// The policy `budget`, of the plugin `token-budget.wasm`.
    Budgeted,
}

/// A folder that is removed with it.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) upstream: String,
    start: Start,
    _keep: TempDir,
}

impl Folder {
    /// With the configuration of the mark `one`.
    pub(super) fn new(start: Start, upstream: &str) -> Self {
        let folder = Self::empty(start, upstream);
        folder.save(folder.config("one"));
        folder
    }

    /// With plugins, and no configuration yet.
    pub(super) fn empty(start: Start, upstream: &str) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = Self {
            path: keep.path().canonicalize().unwrap(),
            upstream: upstream.to_owned(),
            start,
            _keep: keep,
        };
        fs::create_dir(folder.path.join("plugins")).unwrap();
        folder.restore_plugin();
        folder
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join("tollgate.yaml")
    }

    pub(super) fn plugin(&self) -> PathBuf {
        let name = match self.start {
            Start::Plain | Start::Greeted => "greeting",
            Start::Budgeted => "token-budget",
        };
        self.path.join(format!("plugins/{name}.wasm"))
    }

    /// A whole configuration: the upstream shows `mark` in its answers. A policy has all
    /// the time that a busy machine takes.
    pub(super) fn config(&self, mark: &str) -> String {
        let (order, policies) = match self.start {
            Start::Plain => ("", "{}"),
            Start::Greeted => (
                "greeting",
                "{ greeting: { plugin: greeting, on_error: refuse } }",
            ),
            Start::Budgeted => (
                "budget",
                "\n  budget:\n    plugin: token-budget\n    on_error: refuse\n    grants: { limits: true }\n    \
                 settings:\n      default: { tokens: 1000000, period: 1h }\n      on_missing_caller: share",
            ),
        };
        let (upstream, cache) = (&self.upstream, fixture::cache());
        format!(
            r#"listen: 127.0.0.1:0
admin: 127.0.0.1:0
plugins: plugins/
cache: {}
upstreams:
  standin: {{ endpoints: [ "http://{upstream}" ], headers: {{ x-standin-mark: "{mark}" }} }}
sandbox: {{ hook_time: 5s, exchange_time: 9s }}
policies: {policies}
routes:
  - {{ name: all, match: {{ path: "/v1/*" }}, policies: [ {order} ], upstream: standin }}
"#,
            cache.display()
        )
    }

    /// Replaces the configuration by a rename, as careful editors do.
    pub(super) fn save(&self, text: impl AsRef<[u8]>) {
        replace(&self.file(), text);
    }

    /// The configuration with some text at its end.
    pub(super) fn append(&self, text: &str) {
        self.save(self.config("two") + text);
    }

    /// The configuration with one text for another.
    pub(super) fn reword(&self, from: &str, to: &str) {
        let text = self.config("two");
        assert!(text.contains(from), "no `{from}` in:\n{text}");
        self.save(text.replacen(from, to, 1));
    }

    /// Puts these bytes where the plugin is.
    pub(super) fn save_plugin(&self, bytes: impl AsRef<[u8]>) {
        replace(&self.plugin(), bytes);
    }

    fn restore_plugin(&self) {
        let name = match self.start {
            Start::Plain => return,
            Start::Greeted => "greeting-v1",
            Start::Budgeted => "token-budget",
        };
        self.save_plugin(fs::read(fixture::guest(name)).unwrap());
    }

    /// Makes everything good again, with another mark.
    pub(super) fn mend(&self, mark: &str) {
        for path in [self.plugin(), self.file()] {
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path).unwrap();
            }
        }
        self.restore_plugin();
        self.save(self.config(mark));
    }
}

/// Writes beside the file and renames.
pub(super) fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("beside");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Points the link elsewhere in one step.
pub(super) fn relink(link: &Path, target: &str) {
    let beside = link.with_file_name("beside");
    symlink(target, &beside).unwrap();
    fs::rename(beside, link).unwrap();
}

/// Runs a program of the system in the folder.
pub(super) fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .status();
    assert!(
        status.unwrap().success(),
        "{program} {}",
        arguments.join(" ")
    );
}
