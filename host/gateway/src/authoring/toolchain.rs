//! The Rust toolchain that plugins are built with.
//!
//! Adds the target when it is missing. A build has a folder of its own (`guests`, within
//! cargo's), so it neither waits for nor disturbs another, and flags of its own: none
//! that are meant for the machine reach it.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tokio_util::sync::CancellationToken;

use super::leash;

/// What plugins are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How a plugin is built. Each has a folder of its own in cargo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For shipping; of this repository, in its manifest as well.
    Shipped,
    /// The same code, and the file tells its lines: they are taken out of what is shipped.
    Authored,
    /// In a moment, larger and slower. It tells its lines, too.
    Quick,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Shipped => "plugin",
            Self::Authored => "plugin-authored",
            Self::Quick => "plugin-quick",
        }
    }

    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Shipped => &[
                "inherits='release'",
                "lto=true",
                "codegen-units=1",
                "panic='abort'",
                "debug=false",
                "strip='debuginfo'",
            ],
            Self::Authored => &[
                "inherits='release'",
                "lto=true",
                "codegen-units=1",
                "panic='abort'",
                "debug='limited'",
                "strip='none'",
            ],
            Self::Quick => &[
                "inherits='release'",
                "opt-level=1",
                // Built once, and compiled anew by the gateway for each change: the less of
                // it the better.
                "package.\"*\".opt-level='s'",
                // `false` would have the crate's own parts optimised across each other.
                "lto='off'",
                "codegen-units=16",
                "incremental=true",
                "panic='abort'",
                "debug='limited'",
                // The author's own lines are enough.
                "package.\"*\".debug=false",
                "strip='none'",
            ],
        }
    }
}

/// A small stack keeps what a session touches together. Larger for who writes so in
/// `.cargo/config.toml`.
const STACK: &str = "-Clink-arg=-zstack-size=65536";

/// Why nothing can be built on this machine. `Display` is a whole sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A program of the toolchain is not there.
    #[error("cannot run `{tool}` ({source}); install Rust from https://rustup.rs and try again")]
    NoTool {
        /// Its name.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// The target is not there and cannot be added.
    #[error(
        "the Rust target {TARGET} is missing and `rustup target add {TARGET}` could not add it ({reason}); \
         run that command yourself, or install your distribution's package of it"
    )]
    NoTarget {
        /// Why.
        reason: String,
    },
}

/// The programs of the toolchain, each with its first arguments.
pub(crate) struct Toolchain {
    pub(crate) cargo: Vec<OsString>,
    pub(crate) rustc: Vec<OsString>,
    pub(crate) rustup: Vec<OsString>,
}

impl Toolchain {
    pub(crate) fn from_env() -> Self {
        let tool =
            |variable, name: &str| vec![env::var_os(variable).unwrap_or_else(|| name.into())];
        Self {
            cargo: tool("CARGO", "cargo"),
            rustc: tool("RUSTC", "rustc"),
            rustup: vec!["rustup".into()],
        }
    }

    /// Adds the target, if it is missing; `root` is where the toolchain is chosen. `stop` ends
    /// the tools, and it fails then.
    pub(crate) fn ensure_target(
        &self,
        root: &Path,
        stop: Option<&CancellationToken>,
    ) -> Result<(), ToolchainError> {
        if self.has_target(root, stop)? {
            return Ok(());
        }
        let mut add = command(&self.rustup, root);
        add.args(["target", "add", TARGET]);
        let output = match output(add, stop) {
            Ok(output) => output,
            Err(error) => {
                return Err(ToolchainError::NoTarget {
                    reason: format!("rustup cannot be run: {error}"),
                });
            }
        };
        if !output.status.success() {
            return Err(ToolchainError::NoTarget {
                reason: last_line(&output),
            });
        }
        if self.has_target(root, stop)? {
            return Ok(());
        }
        let reason = "it was added, but not to the toolchain that `rustc` belongs to".to_owned();
        Err(ToolchainError::NoTarget { reason })
    }

    /// Whether the target's standard library is installed.
    fn has_target(
        &self,
        root: &Path,
        stop: Option<&CancellationToken>,
    ) -> Result<bool, ToolchainError> {
        let mut ask = command(&self.rustc, root);
        ask.args(["--print", "target-libdir", "--target", TARGET]);
        let output = output(ask, stop).map_err(|source| ToolchainError::NoTool {
            tool: "rustc".to_owned(),
            source,
        })?;
        let folder = String::from_utf8_lossy(&output.stdout);
        let Ok(mut files) = fs::read_dir(folder.trim()) else {
            return Ok(false);
        };
        Ok(files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        }))
    }

    /// `cargo`, to be run at `root`.
    pub(crate) fn cargo(&self, root: &Path) -> Command {
        command(&self.cargo, root)
    }

    /// `cargo build` of what is to become a plugin.
    pub(crate) fn cargo_build(&self, root: &Path, target_dir: &Path, how: Profile) -> Command {
        let mut cargo = self.cargo(root);
        let profile = how.name();
        cargo.args(["build", "--lib", "--target", TARGET, "--profile", profile]);
        cargo.arg("--target-dir").arg(target_dir);
        for setting in how.settings() {
            cargo
                .arg("--config")
                .arg(format!("profile.{profile}.{setting}"));
        }
        if !says_its_stack(root) {
            cargo
                .arg("--config")
                .arg(format!("target.{TARGET}.rustflags=['{STACK}']"));
        }
        cargo
    }
}

/// Whether cargo's own configuration for this folder says how large a stack is to be.
fn says_its_stack(root: &Path) -> bool {
    let files = root
        .ancestors()
        .flat_map(|folder| ["config.toml", "config"].map(|file| folder.join(".cargo").join(file)));
    files
        .filter_map(|file| fs::read_to_string(file).ok())
        .any(|text| text.contains("stack-size"))
}

/// Where cargo builds plugins of a workspace: within its own folder.
pub(crate) fn guests_dir(root: &Path, own: Option<&str>) -> PathBuf {
    let own = match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => root.join(dir),
        None => own.map_or_else(|| root.join("target"), PathBuf::from),
    };
    own.join("guests")
}

/// A command at `root`, without what the caller's own build left in the environment and
/// without flags that are meant for the machine's own target.
fn command(tool: &[OsString], root: &Path) -> Command {
    let (program, first) = tool
        .split_first()
        .map_or((OsString::new(), &[][..]), |(name, rest)| {
            (name.clone(), rest)
        });
    let mut command = Command::new(program);
    command.args(first).current_dir(root);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let meant_for_another_build = [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_INCREMENTAL",
        ]
        .contains(&&*text)
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_TARGET_")
            || (text.starts_with("CARGO_BUILD_") && text != "CARGO_BUILD_JOBS");
        if meant_for_another_build {
            command.env_remove(&name);
        }
    }
    command
}

/// What a tool says, and none of it to the terminal.
fn output(mut tool: Command, stop: Option<&CancellationToken>) -> io::Result<Output> {
    tool.stdout(Stdio::piped()).stderr(Stdio::piped());
    leash::run(tool, stop)
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it gave no reason")
        .trim()
        .to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn script(text: &str) -> Vec<OsString> {
        ["sh", "-c", text, "tool"].map(OsString::from).to_vec()
    }

    /// Tools whose library folder is `folder`, with a `rustup` that runs `add`.
    pub(crate) fn tools(folder: &Path, add: &str) -> Toolchain {
        Toolchain {
            cargo: script("false"),
            rustc: script(&format!("echo {}", folder.display())),
            rustup: script(&add.replace("FOLDER", &folder.display().to_string())),
        }
    }

    #[test]
    fn a_missing_target_is_added() {
        let dir = tempfile::tempdir().expect("is made");
        let folder = dir.path().join("lib");
        let tools = tools(
            &folder,
            r#"[ "$*" = "target add wasm32-unknown-unknown" ] && mkdir FOLDER && touch FOLDER/libcore-1.rlib"#,
        );
        tools.ensure_target(dir.path(), None).expect("is added");
        assert!(folder.join("libcore-1.rlib").exists());
    }

    #[test]
    fn a_target_that_cannot_be_added_is_said_with_the_reason_and_what_to_do() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = tools(
            &dir.path().join("lib"),
            "echo 'error: no network' >&2; exit 1",
        );
        let error = tools
            .ensure_target(dir.path(), None)
            .expect_err("cannot be added")
            .to_string();
        assert_eq!(
            error,
            "the Rust target wasm32-unknown-unknown is missing and `rustup target add wasm32-unknown-unknown` \
             could not add it (error: no network); run that command yourself, or install your distribution's \
             package of it"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_tool_that_hangs_ends_when_it_is_told_to() {
        let dir = tempfile::tempdir().expect("is made");
        let begun = dir.path().join("begun");
        let hangs = format!("touch {}; sleep 600 & wait", begun.display());
        let stop = CancellationToken::new();
        let adds = tokio::task::spawn_blocking({
            let (stop, root) = (stop.clone(), dir.path().to_owned());
            move || tools(&root.join("lib"), &hangs).ensure_target(&root, Some(&stop))
        });
        while !begun.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stop.cancel();
        assert!(adds.await.expect("no panic").is_err());
    }

    #[test]
    fn without_rustup_the_message_says_so() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = Toolchain {
            rustup: vec!["no-such-rustup".into()],
            ..tools(&dir.path().join("lib"), "")
        };
        let error = tools
            .ensure_target(dir.path(), None)
            .expect_err("cannot be added")
            .to_string();
        assert!(error.contains("(rustup cannot be run: "), "{error}");
    }

    fn arguments(command: &Command) -> String {
        let arguments = command
            .get_args()
            .map(|argument| argument.to_string_lossy());
        arguments.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stack_is_small_unless_the_crates_own_configuration_says_what_it_is() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = Toolchain::from_env();
        let built = |root: &Path| arguments(&tools.cargo_build(root, root, Profile::Shipped));
        assert!(built(dir.path()).contains("-zstack-size=65536"));
        let folder = dir.path().join(".cargo");
        fs::create_dir(&folder).expect("is made");
        let own =
            "[target.wasm32-unknown-unknown]\nrustflags = [\"-Clink-arg=-zstack-size=131072\"]";
        fs::write(folder.join("config.toml"), own).expect("is written");
        assert!(!built(&dir.path().join("within")).contains("stack-size"));
    }

    #[test]
    fn flags_that_are_meant_for_the_machine_do_not_reach_the_plugins() {
        let dir = tempfile::tempdir().expect("is made");
        for (file, text) in [
            (
                "Cargo.toml",
                "[package]\nname='tiny'\nedition='2024'\n[lib]\ncrate-type=['cdylib']\n[workspace]",
            ),
            ("src/lib.rs", ""),
            (
                ".cargo/config.toml",
                "[build]\nrustflags=['-Clink-arg=-fuse-ld=no-such-linker']",
            ),
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(path, text).expect("is written");
        }
        let target = dir.path().join("guests");
        for profile in [Profile::Shipped, Profile::Authored, Profile::Quick] {
            let mut cargo = Toolchain::from_env().cargo_build(dir.path(), &target, profile);
            let output = cargo.output().expect("runs");
            assert!(output.status.success(), "{}", last_line(&output));
            let wasm = fs::read(target.join(TARGET).join(profile.name()).join("tiny.wasm"));
            assert!(wasm.expect("is there").starts_with(b"\0asm"));
        }
    }
}
