//! Runs a plugin's cases in the sandbox.

mod junit;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tollgate_capabilities::{Capabilities, EmbeddedOptions};
use tollgate_cases::{
    Bench, Budget, Case, CaseError, NotUpdated, Outcome, SectionError, Verdict, read_folder,
    shipped, updated,
};
use tollgate_config::{CompileLimits, SandboxLimits};
use tollgate_sandbox::{Sandbox, SandboxError, SandboxOptions};

pub use junit::junit;

use super::build::{BuildError, BuildOptions, Built, build, from_here, write_whole};

/// Instances alive at once: cases run one after another.
const INSTANCES: u32 = 16;
/// The least room for a plugin's memory.
const MEMORY_LEAST: usize = 64 << 20;

/// What is tested.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The plugin's name.
    pub name: String,
    /// Its file's content.
    pub wasm: Bytes,
    /// Its cases.
    pub cases: Vec<Case>,
    /// Where compiled plugins may be kept.
    pub cache: Option<PathBuf>,
}

/// Why there is nothing to test. `Display` is a whole message.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The crate does not build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A case cannot be read.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The cases within the file cannot be read.
    #[error("{}: {error}", path.display())]
    Section {
        /// The plugin's file.
        path: PathBuf,
        /// Why.
        error: SectionError,
    },
    /// There are none.
    #[error(
        "{0} has no cases: write the first one as cases/NAME.yaml, with `request:` and `settings:`, and let \
         `tollgate plugin test --update` write what comes of it"
    )]
    NoCases(String),
    /// The file carries none.
    #[error("{} carries no cases: name their folder with --cases, or build it with --with-cases", .0.display())]
    NoneWithin(PathBuf),
    /// There are none in the folder that was named, or there is no such folder.
    #[error("there are no cases in {}: a case is a file NAME.yaml there", .0.display())]
    NoneInFolder(PathBuf),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no sandbox on this machine.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Builds the crate in a folder, or takes a plugin's file; its cases are those in `cases`,
/// else in the crate's folder of that name, else within the file.
///
/// # Errors
/// See [`TestError`].
pub async fn subject(
    path: &Path,
    cases: Option<&Path>,
    options: BuildOptions,
) -> Result<Subject, TestError> {
    let subject = if path.is_file() {
        of_file(path, cases)?
    } else {
        let built = build(options).await?;
        of_crate(&built, cases)?
    };
    if !subject.cases.is_empty() {
        return Ok(subject);
    }
    Err(match cases {
        Some(folder) if !folder.is_dir() => TestError::File {
            path: folder.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "there is no such folder"),
        },
        Some(folder) => TestError::NoneInFolder(folder.to_owned()),
        None if path.is_file() => TestError::NoneWithin(path.to_owned()),
        None => TestError::NoCases(subject.name),
    })
}

fn of_crate(built: &Built, cases: Option<&Path>) -> Result<Subject, TestError> {
    let own = from_here(&built.folder.join("cases"));
    Ok(Subject {
        name: built.name.clone(),
        wasm: built.wasm.clone(),
        cases: read_folder(cases.unwrap_or(&own))?,
        cache: built.compiled(),
    })
}

fn of_file(path: &Path, cases: Option<&Path>) -> Result<Subject, TestError> {
    let file = |source| TestError::File {
        path: path.to_owned(),
        source,
    };
    let most = CompileLimits::default().input_bytes.max(64 << 20);
    let size = fs::metadata(path).map_err(file)?.len();
    if size > most {
        let message = format!("{size} bytes, and a plugin has at most {most}");
        return Err(file(io::Error::other(message)));
    }
    let wasm = fs::read(path).map_err(file)?;
    let cases = match cases {
        Some(folder) => read_folder(folder)?,
        None => shipped(&wasm)
            .map(|shipped| shipped.cases)
            .map_err(|error| {
                let path = path.to_owned();
                TestError::Section { path, error }
            })?,
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Subject {
        name: name.replace('_', "-"),
        wasm: wasm.into(),
        cases,
        cache: None,
    })
}

/// What cases are run with.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The program that is run as `<program> compile-worker`; `None`: this process compiles.
    pub compiler: Option<PathBuf>,
    /// Of a policy.
    pub limits: SandboxLimits,
    /// For cases that name none.
    pub budget: Budget,
}

/// What compiling for a test may take: a file that keeps its lines is several times as long as
/// the one that is shipped.
#[must_use]
pub fn compile_limits() -> CompileLimits {
    CompileLimits {
        cpu_time: Duration::from_secs(120),
        memory_bytes: 4 << 30,
        input_bytes: 64 << 20,
    }
}

/// Runs all cases, in order.
///
/// # Errors
/// There is no sandbox on this machine.
pub async fn run(subject: &Subject, options: &TestOptions) -> Result<Vec<Outcome>, TestError> {
    let sandbox = SandboxOptions {
        compiler: options.compiler.clone(),
        cache: subject.cache.clone(),
        instances: INSTANCES,
        memory_bytes: options.limits.memory_bytes.max(MEMORY_LEAST),
    };
    let capabilities = Capabilities::embedded(EmbeddedOptions::default());
    let sandbox: Arc<Sandbox> = Sandbox::new(sandbox, capabilities)?;
    let compile = compile_limits();
    let mut bench = Bench::new(
        sandbox,
        (&subject.name, subject.wasm.clone()),
        (options.limits.clone(), compile),
    );
    let mut outcomes = Vec::with_capacity(subject.cases.len());
    for case in &subject.cases {
        outcomes.push(bench.run(case, options.budget).await);
    }
    Ok(outcomes)
}

/// What became of cases that came otherwise.
#[derive(Debug, Default)]
pub struct Updated<'a> {
    /// Files that say now what was got.
    pub written: Vec<&'a Path>,
    /// Those that are left as they are, and why.
    pub left: Vec<NotUpdated>,
}

/// Writes what was got into the files of cases that came otherwise. Each is written whole or
/// not at all.
///
/// # Errors
/// A file cannot be written.
pub fn update<'a>(subject: &'a Subject, outcomes: &[Outcome]) -> Result<Updated<'a>, TestError> {
    let mut done = Updated::default();
    for (case, outcome) in subject.cases.iter().zip(outcomes) {
        if !matches!(
            outcome.verdict,
            Verdict::Differs(_) | Verdict::ExpectsNothing
        ) {
            continue;
        }
        match updated(case, &outcome.got) {
            Ok(text) => {
                replace(&case.file, &text).map_err(|source| TestError::File {
                    path: case.file.clone(),
                    source,
                })?;
                done.written.push(&case.file);
            }
            Err(why) => done.left.push(why),
        }
    }
    Ok(done)
}

/// A file that is a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let permissions = fs::metadata(&path)?.permissions();
    write_whole(&path, text.as_bytes(), permissions)
}
