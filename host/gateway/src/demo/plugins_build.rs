//! Builds plugins of this workspace to WebAssembly, for the demo and for tests.
//!
//! A build of its own folder (`target/guests`), so it neither waits for nor disturbs
//! the build that called it. Adds the Rust target when it is missing. Knows nothing
//! of what the plugins do.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

/// What plugins are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "plugin";

/// Why plugins could not be built. `Display` is a whole sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "the source of the plugins is not here: no Tollgate workspace at {}; run this from a clone of the repository",
        list(.tried)
    )]
    NoSource { tried: Vec<PathBuf> },
    #[error("cannot run `{tool}` ({source}); install Rust from https://rustup.rs and try again")]
    NoTool { tool: String, source: io::Error },
    #[error(
        "the Rust target {TARGET} is missing and `rustup target add {TARGET}` could not add it ({reason}); \
         run that command yourself, or install your distribution's package of it"
    )]
    NoTarget { reason: String },
    #[error("building {packages} failed:\n{output}")]
    Failed { packages: String, output: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Builds packages of the workspace and copies each to `out_dir/PACKAGE.wasm`; a file
/// that is up to date is not touched. Safe in several processes at once.
///
/// Blocks: run it off the async threads.
///
/// # Errors
/// No source, no toolchain, no target, or a package that does not compile.
///
/// ```no_run
/// # fn main() -> Result<(), tollgate::demo::plugins_build::BuildError> {
/// let files = tollgate::demo::plugins_build::build_guests(&["api-keys"], "plugins".as_ref())?;
/// # Ok(()) }
/// ```
pub fn build_guests(packages: &[&str], out_dir: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let root = workspace_root()?;
    let tools = Tools::from_env();
    let target_dir = target_dir(&root).join("guests");
    make_folder(&target_dir)?;
    make_folder(out_dir)?;
    let lock_path = target_dir.join(".build-and-copy.lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;

    tools.ensure_target(&root)?;
    tools.build(&root, &target_dir, packages)?;
    packages
        .iter()
        .map(|package| {
            let built = target_dir
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{}.wasm", package.replace('-', "_")));
            let out = out_dir.join(format!("{package}.wasm"));
            copy_if_other(&built, &out)?;
            Ok(out)
        })
        .collect()
}

/// The folder of the workspace that this program was built from, or that the current
/// folder is in.
///
/// # Errors
/// When neither has the source.
pub fn workspace_root() -> Result<PathBuf, BuildError> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Some(root) = fs::canonicalize(&built_from)
        .ok()
        .filter(|path| is_workspace(path))
    {
        return Ok(root);
    }
    let current = env::current_dir().unwrap_or_default();
    match current.ancestors().find(|path| is_workspace(path)) {
        Some(root) => Ok(root.to_owned()),
        None => Err(BuildError::NoSource {
            tried: vec![built_from, current],
        }),
    }
}

fn is_workspace(path: &Path) -> bool {
    path.join("Cargo.toml").is_file() && path.join("sdk/wit/policy.wit").is_file()
}

/// Where the workspace's builds are kept.
pub fn target_dir(root: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}

/// The programs of the toolchain, each with its first arguments.
struct Tools {
    cargo: Vec<OsString>,
    rustc: Vec<OsString>,
    rustup: Vec<OsString>,
}

impl Tools {
    fn from_env() -> Self {
        let tool =
            |variable, name: &str| vec![env::var_os(variable).unwrap_or_else(|| name.into())];
        Self {
            cargo: tool("CARGO", "cargo"),
            rustc: tool("RUSTC", "rustc"),
            rustup: vec!["rustup".into()],
        }
    }

    fn ensure_target(&self, root: &Path) -> Result<(), BuildError> {
        if self.has_target(root)? {
            return Ok(());
        }
        let mut add = command(&self.rustup, root);
        let output = match add.args(["target", "add", TARGET]).output() {
            Ok(output) => output,
            Err(error) => {
                return Err(BuildError::NoTarget {
                    reason: format!("rustup cannot be run: {error}"),
                });
            }
        };
        if !output.status.success() {
            return Err(BuildError::NoTarget {
                reason: last_line(&output),
            });
        }
        if self.has_target(root)? {
            return Ok(());
        }
        let reason = "it was added, but not to the toolchain that `rustc` belongs to".to_owned();
        Err(BuildError::NoTarget { reason })
    }

    /// Whether the target's standard library is installed.
    fn has_target(&self, root: &Path) -> Result<bool, BuildError> {
        let mut ask = command(&self.rustc, root);
        let output = ask
            .args(["--print", "target-libdir", "--target", TARGET])
            .output()
            .map_err(|source| BuildError::NoTool {
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

    fn build(&self, root: &Path, target_dir: &Path, packages: &[&str]) -> Result<(), BuildError> {
        let mut cargo = command(&self.cargo, root);
        cargo
            .args([
                "build",
                "--quiet",
                "--profile",
                PROFILE,
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(target_dir);
        for package in packages {
            cargo.args(["-p", package]);
        }
        let output = cargo.output().map_err(|source| BuildError::NoTool {
            tool: "cargo".to_owned(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(BuildError::Failed {
            packages: packages.join(", "),
            output,
        })
    }
}

/// A command in the workspace, without what the caller's own build left in the
/// environment and without flags that are meant for the machine's own target.
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
        let meant_for_another_build = ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_INCREMENTAL"]
            .contains(&&*text)
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_TARGET_")
            || (text.starts_with("CARGO_BUILD_") && text != "CARGO_BUILD_JOBS");
        if meant_for_another_build {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    command
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it gave no reason")
        .trim()
        .to_owned()
}

/// Writes beside the file and renames, so that nobody ever reads half of it.
pub(super) fn copy_if_other(from: &Path, to: &Path) -> Result<(), BuildError> {
    let bytes = fs::read(from).map_err(at(from))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    replace(to, &bytes).map(drop)
}

/// Replaces a file by a rename, as an editor does. Tells the moment before it: who
/// watches the file may be done with it before this returns.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<Instant, BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(at(folder))?;
    io::Write::write_all(&mut beside, bytes).map_err(at(path))?;
    let renamed = Instant::now();
    beside.persist(path).map_err(|error| BuildError::File {
        path: path.to_owned(),
        source: error.error,
    })?;
    Ok(renamed)
}

fn make_folder(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |source| BuildError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<OsString> {
        ["sh", "-c", text, "tool"].map(OsString::from).to_vec()
    }

    /// Tools whose library folder is `folder`, with a `rustup` that runs `add`.
    fn tools(folder: &Path, add: &str) -> Tools {
        Tools {
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
        tools.ensure_target(dir.path()).expect("is added");
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
            .ensure_target(dir.path())
            .expect_err("cannot be added")
            .to_string();
        assert_eq!(
            error,
            "the Rust target wasm32-unknown-unknown is missing and `rustup target add wasm32-unknown-unknown` \
             could not add it (error: no network); run that command yourself, or install your distribution's \
             package of it"
        );
    }

    #[test]
    fn without_rustup_the_message_says_so() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = Tools {
            rustup: vec!["no-such-rustup".into()],
            ..tools(&dir.path().join("lib"), "")
        };
        let error = tools
            .ensure_target(dir.path())
            .expect_err("cannot be added")
            .to_string();
        assert!(error.contains("(rustup cannot be run: "), "{error}");
    }

    #[test]
    fn a_package_that_does_not_compile_shows_the_compilers_words() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = Tools {
            cargo: script("echo 'error[E0425]' >&2; exit 101"),
            ..tools(dir.path(), "")
        };
        let error = tools
            .build(dir.path(), dir.path(), &["a", "b"])
            .expect_err("fails")
            .to_string();
        assert_eq!(error, "building a, b failed:\nerror[E0425]\n");
    }

    #[test]
    fn flags_that_are_meant_for_the_machine_do_not_reach_the_plugins() {
        let dir = tempfile::tempdir().expect("is made");
        for (file, text) in [
            (
                "Cargo.toml",
                "[package]\nname='tiny'\nedition='2024'\n[lib]\ncrate-type=['cdylib']\n[profile.plugin]\ninherits='release'",
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
        Tools::from_env()
            .build(dir.path(), &target, &["tiny"])
            .expect("is built");
        let wasm = fs::read(target.join(TARGET).join(PROFILE).join("tiny.wasm")).expect("is there");
        assert!(wasm.starts_with(b"\0asm"));
    }

    #[test]
    fn a_file_that_is_the_same_is_not_touched() {
        let dir = tempfile::tempdir().expect("is made");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "one").expect("is written");
        copy_if_other(&from, &to).expect("is copied");
        let before = fs::metadata(&to)
            .and_then(|file| file.modified())
            .expect("is there");
        copy_if_other(&from, &to).expect("is left");
        assert_eq!(
            fs::metadata(&to)
                .and_then(|file| file.modified())
                .expect("is there"),
            before
        );
        fs::write(&from, "two").expect("is written");
        copy_if_other(&from, &to).expect("is replaced");
        assert_eq!(fs::read(&to).expect("is there"), b"two");
    }
}
