//! From a crate's folder to a plugin's file that the gateway takes.
//!
//! Rust makes a core module with the contract in it. It is turned into a component to be
//! checked, as the gateway will, and written as the module that it is, since that is what
//! the gateway runs fastest; as a component for those who want one.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollgate_cases::{
    CaseError, Disproof, SectionError, Symbols, provable, read_folder, strip, with_cases,
};
use tollgate_config::CompileLimits;
use tollgate_sandbox::{Inspected, Inspector, LoadError, componentize, inspect, may_cache_in};

use super::{
    leash,
    toolchain::{Profile, Toolchain, ToolchainError, guests_dir},
};

/// Where a plugin is built, and how.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The crate's folder.
    pub folder: PathBuf,
    /// In a moment, and larger and slower: for trying things out.
    pub quick: bool,
    /// What becomes of the compiler's words.
    pub words: Words,
    /// The program that is run as `<program> compile-worker`; `None`: this process checks
    /// the plugin, without limits on CPU and memory.
    pub checker: Option<PathBuf>,
    /// Whether the file carries the crate's cases.
    pub with_cases: bool,
    /// Whether the file is a component, and not the module that Rust made.
    pub component: bool,
    /// What it tells of its source when it traps.
    pub symbols: Symbols,
    /// What its check may take.
    pub compile: CompileLimits,
    /// Whether what its check compiles is kept in [`Built::compiled`], for who runs it next.
    pub keep_compiled: bool,
    /// Once cancelled, it ends what is at work, cargo and all that cargo started; the build
    /// fails then. Each is in a process group of its own for it, which ctrl-c does not reach.
    pub stop: Option<CancellationToken>,
}

impl BuildOptions {
    /// A build for shipping of the crate in this folder, checked in this process.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            quick: false,
            words: Words::Kept,
            checker: None,
            with_cases: false,
            component: false,
            symbols: Symbols::Names,
            compile: CompileLimits::default(),
            keep_compiled: false,
            stop: None,
        }
    }
}

/// What becomes of what the compiler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// It goes to this process's standard error, as it is.
    Shown,
    /// It is part of the error, if it fails.
    Kept,
}

/// A plugin that was built, and holds.
#[derive(Debug, Clone)]
pub struct Built {
    /// The crate's name.
    pub name: String,
    /// The crate's folder.
    pub folder: PathBuf,
    /// Where cargo keeps what it makes of it.
    pub target_dir: PathBuf,
    /// The file.
    pub wasm: Bytes,
    /// What it is and wants.
    pub inspected: Inspected,
    /// How many cases it carries.
    pub cases: usize,
}

/// Why there is no plugin. `Display` is a whole message for its author.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No crate in the folder.
    #[error(
        "there is no crate in {}: name the folder of a plugin's crate, or start one with: tollgate plugin new NAME",
        .0.display()
    )]
    NoCrate(PathBuf),
    /// A workspace and no crate.
    #[error("{} is a workspace and no crate: name the folder of one of its plugins", .0.display())]
    Workspace(PathBuf),
    /// No `.wasm` comes of it.
    #[error(
        "the crate `{name}` makes no .wasm file: write `crate-type = [\"cdylib\", \"rlib\"]` under [lib] in {}",
        manifest.display()
    )]
    NoCdylib {
        /// The crate's.
        name: String,
        /// Its `Cargo.toml`.
        manifest: PathBuf,
    },
    /// Nothing can be built here.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Cargo does not understand the crate.
    #[error("cargo cannot read {}:\n{words}", manifest.display())]
    Manifest {
        /// The crate's `Cargo.toml`.
        manifest: PathBuf,
        /// Cargo's.
        words: String,
    },
    /// It does not compile.
    #[error("`{name}` does not build{words}")]
    Compile {
        /// The crate's.
        name: String,
        /// The compiler's, where they were kept.
        words: Said,
    },
    /// It compiles, and the gateway would not take it.
    #[error("`{name}` builds, and the gateway would refuse it: {}{}", .error.reason, what_to_do(error))]
    Refused {
        /// The crate's.
        name: String,
        /// Why.
        error: Box<LoadError>,
    },
    /// A case cannot be read.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The cases cannot be put into the file.
    #[error(transparent)]
    Section(#[from] SectionError),
    /// It was told to stop.
    #[error("the build was stopped")]
    Stopped,
    /// No gateway would take the file with these cases in it.
    #[error("`{name}` builds, and every gateway would refuse it with its cases: {error}")]
    Cases {
        /// The crate's.
        name: String,
        /// Why.
        error: Disproof,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// For who wrote the crate, where the reason does not say it.
fn what_to_do(error: &LoadError) -> &'static str {
    match error.code.as_str() {
        "not_a_policy" => "; in Rust, `#[policy]` of tollgate-sdk stands above `impl Policy for …`",
        _ => "",
    }
}

/// What the compiler said, below a line of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(Option<String>);

impl Said {
    /// The words, if they were kept.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(words) => write!(f, ":\n{}", words.trim_end()),
            None => f.write_str("; the compiler says above why"),
        }
    }
}

/// Builds a plugin and checks it as the gateway would. Writes what cargo does, and the
/// compiled plugin if it is to be kept.
///
/// # Errors
/// See [`BuildError`].
///
/// # Example
/// ```no_run
/// # async fn example() -> Result<(), tollgate::authoring::build::BuildError> {
/// use tollgate::authoring::build::{BuildOptions, build};
///
/// let built = build(BuildOptions::new("plugins/api-keys")).await?;
/// println!("{}: {} bytes", built.name, built.wasm.len());
/// # Ok(()) }
/// ```
pub async fn build(options: BuildOptions) -> Result<Built, BuildError> {
    let asked = options.clone();
    let compiled = tokio::task::spawn_blocking(move || compile(&asked)).await;
    let mut compiled = compiled.map_err(|panic| BuildError::File {
        path: options.folder.clone(),
        source: io::Error::other(panic),
    })??;
    let refused = |name: &str, error| BuildError::Refused {
        name: name.to_owned(),
        error: Box::new(error),
    };
    let mut wasm = strip(&compiled.wasm, options.symbols)?;
    if options.component {
        let component = componentize(&compiled.name, &wasm);
        wasm = component.map_err(|error| refused(&compiled.name, error))?;
    }
    let mut cases = 0;
    if options.with_cases {
        let found = read_folder(&from_here(&compiled.folder.join("cases")))?;
        wasm = with_cases(&wasm, &found)?;
        let name = || compiled.name.clone();
        let carried = provable(&wasm).map_err(|error| BuildError::Cases {
            name: name(),
            error,
        })?;
        cases = carried.len();
    }
    let wasm = Bytes::from(wasm);
    let cache = options
        .keep_compiled
        .then(|| compiled_dir(&compiled.target_dir));
    let inspector = Inspector {
        program: options.checker.as_deref(),
        limits: &options.compile,
        cache: cache.as_deref(),
    };
    let checking = inspect(inspector, (&compiled.name, wasm.clone()));
    let stop = options.stop.unwrap_or_default();
    let checked = tokio::select! {
        () = stop.cancelled() => return Err(BuildError::Stopped),
        checked = checking => checked,
    };
    Ok(Built {
        inspected: checked.map_err(|error| refused(&compiled.name, error))?,
        name: std::mem::take(&mut compiled.name),
        folder: compiled.folder,
        target_dir: compiled.target_dir,
        wasm,
        cases,
    })
}

impl Built {
    /// Where compiled plugins of its workspace may be kept; `None`: the folder is somebody
    /// else's.
    #[must_use]
    pub fn compiled(&self) -> Option<PathBuf> {
        Some(compiled_dir(&self.target_dir)).filter(|folder| may_cache_in(folder))
    }

    /// Writes the file beside its place and renames it there, so that a gateway that
    /// watches never sees half of it. `None`: `NAME.wasm` in the crate's folder.
    ///
    /// # Errors
    /// The file system refused.
    pub fn write(&self, to: Option<&Path>) -> Result<PathBuf, BuildError> {
        let file = format!("{}.wasm", self.name);
        let path = match to {
            Some(folder) if folder.is_dir() => folder.join(file),
            Some(path) => path.to_owned(),
            None => self.folder.join(file),
        };
        let failed = |source| BuildError::File {
            path: path.clone(),
            source,
        };
        // A temporary file is its owner's alone; a plugin may be read by who runs the gateway.
        write_whole(&path, &self.wasm, fs::Permissions::from_mode(0o644)).map_err(failed)?;
        Ok(path)
    }
}

fn compiled_dir(target_dir: &Path) -> PathBuf {
    target_dir.join(".compiled")
}

/// A path from the working folder on, where it is within it.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(fs::canonicalize);
    let within = here.ok().and_then(|here| path.strip_prefix(here).ok());
    within.unwrap_or(path).to_owned()
}

/// Writes a file beside its place and renames it there: it is never seen half-written, and what
/// was there before stays if it fails.
pub(super) fn write_whole(
    path: &Path,
    content: &[u8],
    permissions: fs::Permissions,
) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    io::Write::write_all(&mut beside, content)?;
    beside.as_file().set_permissions(permissions)?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

struct Compiled {
    name: String,
    folder: PathBuf,
    target_dir: PathBuf,
    wasm: Vec<u8>,
}

fn compile(options: &BuildOptions) -> Result<Compiled, BuildError> {
    let no_crate = || BuildError::NoCrate(options.folder.clone());
    let folder = fs::canonicalize(&options.folder).map_err(|_| no_crate())?;
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(no_crate());
    }
    let tools = Toolchain::from_env();
    let (name, target_dir) = read_manifest(&tools, &manifest, options.stop.as_ref())?;
    tools.ensure_target(&folder, options.stop.as_ref())?;
    let profile = if options.quick {
        Profile::Quick
    } else {
        Profile::Authored
    };
    let mut cargo = tools.cargo_build(&folder, &target_dir, profile);
    cargo
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .stderr(match options.words {
            Words::Shown => Stdio::inherit(),
            Words::Kept => Stdio::piped(),
        });
    let output = run(cargo, options.stop.as_ref())?;
    if !output.status.success() {
        let words = match options.words {
            Words::Shown => None,
            Words::Kept => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        };
        let words = Said(words);
        return Err(BuildError::Compile { name, words });
    }
    let Some(file) = artefact(&output.stdout, &manifest) else {
        return Err(BuildError::NoCdylib { name, manifest });
    };
    let wasm = fs::read(&file).map_err(|source| BuildError::File { path: file, source })?;
    Ok(Compiled {
        name,
        folder,
        target_dir,
        wasm,
    })
}

fn run(
    command: Command,
    stop: Option<&CancellationToken>,
) -> Result<std::process::Output, ToolchainError> {
    leash::run(command, stop).map_err(|source| ToolchainError::NoTool {
        tool: "cargo".to_owned(),
        source,
    })
}

/// The crate's name, and where plugins of its workspace are built.
fn read_manifest(
    tools: &Toolchain,
    manifest: &Path,
    stop: Option<&CancellationToken>,
) -> Result<(String, PathBuf), BuildError> {
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let metadata = metadata(tools, manifest, stop)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice);
    let package = packages
        .unwrap_or_default()
        .iter()
        .find(|package| package["manifest_path"].as_str().map(Path::new) == Some(manifest));
    let Some(package) = package else {
        return Err(BuildError::Workspace(folder.to_owned()));
    };
    let name = package["name"].as_str().unwrap_or_default().to_owned();
    let targets = package["targets"].as_array().map(Vec::as_slice);
    let is_cdylib = |target: &Value| {
        let kinds = target["crate_types"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    if !targets.unwrap_or_default().iter().any(is_cdylib) {
        let manifest = manifest.to_owned();
        return Err(BuildError::NoCdylib { name, manifest });
    }
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let own = metadata["target_directory"].as_str();
    Ok((name, guests_dir(Path::new(root), own)))
}

/// What cargo knows of a crate and of its workspace, without looking for what they depend on.
pub(super) fn metadata(
    tools: &Toolchain,
    manifest: &Path,
    stop: Option<&CancellationToken>,
) -> Result<Value, BuildError> {
    let mut cargo = tools.cargo(manifest.parent().unwrap_or(Path::new(".")));
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(manifest)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = run(cargo, stop)?;
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(BuildError::Manifest {
        manifest: manifest.to_owned(),
        words: words.trim_end().to_owned(),
    })
}

/// Finds the file in cargo's messages, one JSON object a line.
fn artefact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["manifest_path"].as_str().map(Path::new) == Some(manifest))
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|is| is == "wasm"))
}
