//! The binary: everything is in the library.

use std::process::ExitCode;

/// Exchanges allocate on one thread and free on another; the system's allocator pays
/// for that and for large blocks, of which an instance has many.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::main()
}
