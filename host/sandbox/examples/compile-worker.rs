//! The compiling child, as a program of its own: what the gateway's own binary is
//! when it is run with this argument.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("compile-worker") => tollgate_sandbox::compile_worker(),
        _ => ExitCode::FAILURE,
    }
}
