//! A child process that ends, with all that it started, when it is told to.
//!
//! It is in a process group of its own, so neither ctrl-c nor a closed terminal reaches it:
//! whoever has it on a leash has to hear of both.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// See the module. Drop it once the child was waited for.
struct Leash(JoinHandle<()>);

impl Leash {
    /// Starts the child, with its standard output and error as the command says, in a
    /// process group of its own. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// It cannot be started.
    fn spawn(command: &mut Command, stop: &CancellationToken) -> io::Result<(Child, Self)> {
        let child = command.process_group(0).spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let stop = stop.clone();
        let pull = Handle::current().spawn(async move {
            stop.cancelled().await;
            if let Some(group) = group {
                // It fails where all have ended.
                let _ = kill_process_group(group, Signal::KILL);
            }
        });
        Ok((child, Self(pull)))
    }
}

/// Runs a command to its end, or to `stop`; without one, as part of this process's group.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(mut command: Command, stop: Option<&CancellationToken>) -> io::Result<Output> {
    command.stdin(Stdio::null());
    let Some(stop) = stop else {
        return command.spawn()?.wait_with_output();
    };
    let (child, leash) = Leash::spawn(&mut command, stop)?;
    let output = child.wait_with_output();
    drop(leash);
    output
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_child_started_ends_with_it() {
        let stop = CancellationToken::new();
        let mut command = Command::new("sh");
        // Its output stays open until the last of them has ended.
        command
            .args(["-c", "sleep 600 & sleep 600"])
            .stdout(Stdio::piped());
        let (child, leash) = Leash::spawn(&mut command, &stop).expect("starts");
        let waits = tokio::task::spawn_blocking(|| child.wait_with_output());
        stop.cancel();
        let output = waits.await.expect("no panic").expect("is waited for");
        assert!(!output.status.success());
        drop(leash);
    }
}
