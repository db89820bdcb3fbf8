//! Builds plugins of this workspace to WebAssembly, for the demo and for tests.
//!
//! A build of its own folder (`target/guests`), so it neither waits for nor disturbs
//! the build that called it. Knows nothing of what the plugins do.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::authoring::toolchain::{Profile, TARGET, Toolchain, ToolchainError, guests_dir};

/// Why plugins could not be built. `Display` is a whole sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "the source of the plugins is not here: no Tollgate workspace at {}; run this from a clone of the repository",
        list(.tried)
    )]
    NoSource { tried: Vec<PathBuf> },
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
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
    let tools = Toolchain::from_env();
    let target_dir = guests_dir(&root, None);
    make_folder(&target_dir)?;
    make_folder(out_dir)?;
    let lock_path = target_dir.join(".build-and-copy.lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;

    tools.ensure_target(&root, None)?;
    build(&tools, (&root, &target_dir), packages)?;
    packages
        .iter()
        .map(|package| {
            let built = target_dir
                .join(TARGET)
                .join("plugin")
                .join(format!("{}.wasm", package.replace('-', "_")));
            let out = out_dir.join(format!("{package}.wasm"));
            copy_if_other(&built, &out)?;
            Ok(out)
        })
        .collect()
}

fn build(
    tools: &Toolchain,
    (root, target_dir): (&Path, &Path),
    packages: &[&str],
) -> Result<(), BuildError> {
    let mut cargo = tools.cargo_build(root, target_dir, Profile::Shipped);
    cargo.arg("--quiet");
    for package in packages {
        cargo.args(["-p", package]);
    }
    let output = cargo.output().map_err(|source| ToolchainError::NoTool {
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
    use crate::authoring::toolchain::tests::{script, tools};

    #[test]
    fn a_package_that_does_not_compile_shows_the_compilers_words() {
        let dir = tempfile::tempdir().expect("is made");
        let tools = Toolchain {
            cargo: script("echo 'error[E0425]' >&2; exit 101"),
            ..tools(dir.path(), "")
        };
        let error = build(&tools, (dir.path(), dir.path()), &["a", "b"])
            .expect_err("fails")
            .to_string();
        assert_eq!(error, "building a, b failed:\nerror[E0425]\n");
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
