//! The compiling child process, both ends of it.
//!
//! The gateway runs `<program> compile-worker`, writes one job to its standard
//! input and reads one result from its standard output. The child limits its own
//! CPU time and memory before it looks at a byte of the plugin.

use std::{
    io::{Read, Write},
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Artefact, Code, Facts, Job, Made, Refusal, pipeline};

/// The most that a child may hand back, in bytes.
const OUTPUT_MAX: u64 = 512 << 20;

/// What the child is sent first. What configures the plugin comes after it, then the plugin.
#[derive(Serialize, Deserialize)]
struct Order {
    job: Job,
    setup_bytes: u64,
}

/// What it answers first. The artefact's code comes after it, then what configures.
#[derive(Serialize, Deserialize)]
struct Answer {
    facts: Result<Facts, Refusal>,
    code_bytes: u64,
}

/// Compiles in a child of `program`.
pub(super) async fn compile(
    program: &Path,
    job: &Job,
    wasm: &[u8],
    setup: Option<&[u8]>,
) -> Result<Made, Refusal> {
    if wasm.len() as u64 > job.limits.input_bytes {
        return Err(pipeline::too_large(wasm.len(), job));
    }
    // A child that waits without using CPU is not bounded by its CPU limit.
    let patience = Duration::from_secs(job.limits.cpu_seconds * 4 + 10);
    match tokio::time::timeout(patience, talk(program, job, (wasm, setup))).await {
        Ok(answer) => answer,
        Err(_) => Err(Refusal::new(
            "compile_budget",
            format!("compiling took longer than {patience:?} and was stopped"),
        )),
    }
}

async fn talk(
    program: &Path,
    job: &Job,
    (wasm, setup): (&[u8], Option<&[u8]>),
) -> Result<Made, Refusal> {
    let failed = |what: &str, error: std::io::Error| {
        Refusal::new(
            "compile",
            format!("the compiler ({}) {what}: {error}", program.display()),
        )
    };
    let mut child = tokio::process::Command::new(program)
        .arg("compile-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_clear()
        // Address space that an allocator reserves ahead of need would count as used.
        .env("MIMALLOC_ARENA_RESERVE", "32768")
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("cannot be started", error))?;
    let (mut stdin, stdout) = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, stdout),
        _ => {
            return Err(Refusal::new(
                "compile",
                "the compiler has no standard streams",
            ));
        }
    };
    let setup = setup.unwrap_or_default();
    let order = Order {
        job: job.clone(),
        setup_bytes: setup.len() as u64,
    };
    let header =
        serde_json::to_vec(&order).map_err(|error| Refusal::new("compile", error.to_string()))?;
    let write = async {
        stdin
            .write_all(&(header.len() as u64).to_le_bytes())
            .await?;
        stdin.write_all(&header).await?;
        stdin.write_all(setup).await?;
        stdin.write_all(wasm).await?;
        stdin.shutdown().await?;
        drop(stdin);
        Ok::<_, std::io::Error>(())
    };
    let mut output = Vec::new();
    let mut limited = stdout.take(OUTPUT_MAX);
    // A child that was stopped stops reading: what counts is how it ended.
    let (_written, read) = tokio::join!(write, limited.read_to_end(&mut output));
    read.map_err(|error| failed("could not be read", error))?;
    let status = child
        .wait()
        .await
        .map_err(|error| failed("was lost", error))?;
    if !status.success() {
        return Err(stopped(status, job));
    }
    decode(output)
}

fn stopped(status: std::process::ExitStatus, job: &Job) -> Refusal {
    let limits = &job.limits;
    // The kernel stops by a signal; a compiler that ended on its own met a bug.
    let code = if status.code().is_none() {
        "compile_budget"
    } else {
        "compile"
    };
    Refusal::new(
        code,
        format!(
            "compiling it was stopped ({status}): it crashed the compiler, or needs more than {} s of CPU or {} MiB of memory (`compile` in the configuration)",
            limits.cpu_seconds,
            limits.address_bytes >> 20,
        ),
    )
}

fn decode(output: Vec<u8>) -> Result<Made, Refusal> {
    let broken = || Refusal::new("compile", "the compiler's answer cannot be read");
    let mut output = Bytes::from(output);
    let mut part = |bytes: u64| {
        let bytes = usize::try_from(bytes).ok()?;
        (bytes <= output.len()).then(|| output.split_to(bytes))
    };
    let length = part(8).ok_or_else(broken)?;
    let length: [u8; 8] = length[..].try_into().map_err(|_| broken())?;
    let header = part(u64::from_le_bytes(length)).ok_or_else(broken)?;
    let answer: Answer = serde_json::from_slice(&header).map_err(|_| broken())?;
    let facts = answer.facts?;
    let code = Code::Bytes(part(answer.code_bytes).ok_or_else(broken)?);
    Ok(Made {
        artefact: Artefact { facts, code },
        setup: (!output.is_empty()).then_some(output),
    })
}

/// The whole life of a compiling child process: limits itself, reads one job from
/// standard input, writes the artefact to standard output.
///
/// # Example
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     match std::env::args().nth(1).as_deref() {
///         Some("compile-worker") => tollgate_sandbox::compile_worker(),
///         _ => std::process::ExitCode::FAILURE,
///     }
/// }
/// ```
pub fn compile_worker() -> ExitCode {
    match serve_one() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve_one() -> std::io::Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut length = [0; 8];
    stdin.read_exact(&mut length)?;
    let mut header = vec![
        0;
        usize::try_from(u64::from_le_bytes(length))
            .unwrap_or(0)
            .min(64 << 20)
    ];
    stdin.read_exact(&mut header)?;
    let Order { job, setup_bytes } = serde_json::from_slice(&header)?;
    limit_ourselves(&job)?;
    let mut setup = Vec::new();
    stdin.by_ref().take(setup_bytes).read_to_end(&mut setup)?;
    let setup = (!setup.is_empty()).then_some(&setup[..]);
    let mut wasm = Vec::new();
    stdin
        .take(job.limits.input_bytes + 1)
        .read_to_end(&mut wasm)?;
    // Nothing of it is used any more where it panics.
    let run = || pipeline::run(&job, &wasm, setup);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Refusal::new(
            "compile",
            "the compiler fails on it, so it is not whole or not sound",
        ))
    });
    let (facts, code, setup) = match made {
        Ok(Made {
            artefact:
                Artefact {
                    facts,
                    code: Code::Bytes(code),
                },
            setup,
        }) => (Ok(facts), code, setup.unwrap_or_default()),
        Ok(_) => return Err(std::io::ErrorKind::Other.into()),
        Err(refusal) => (Err(refusal), Bytes::new(), Bytes::new()),
    };
    let header = serde_json::to_vec(&Answer {
        facts,
        code_bytes: code.len() as u64,
    })?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&(header.len() as u64).to_le_bytes())?;
    stdout.write_all(&header)?;
    stdout.write_all(&code)?;
    stdout.write_all(&setup)?;
    stdout.flush()
}

fn limit_ourselves(job: &Job) -> std::io::Result<()> {
    let hard = |value: u64| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(Resource::Cpu, hard(job.limits.cpu_seconds))?;
    setrlimit(Resource::As, hard(job.limits.address_bytes))?;
    setrlimit(Resource::Core, hard(0))?;
    Ok(())
}
