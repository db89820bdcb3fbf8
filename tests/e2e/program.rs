//! The real program in a process of its own, and what it logs.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::fixture::until;

/// A command of the program about this configuration.
pub(crate) fn tollgate(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `tollgate run`, and its log so far. Dropped, it is killed.
pub(crate) struct Program {
    pub(crate) child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Program {
    pub(crate) fn start(config: &Path) -> Self {
        Self::of(&mut tollgate(&["run", "--log", "json"], config))
    }

    /// Of a command that logs in JSON.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// All lines so far that have this text.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().map(Value::to_string);
        lines.filter(|line| line.contains(text)).collect()
    }

    /// Waits for a line that has this text.
    pub(crate) async fn logged(&self, text: &str) -> String {
        until(&format!("`{text}` in the log"), || {
            self.lines(text).into_iter().next()
        })
        .await
    }

    /// An address of the line that says that it serves.
    pub(crate) async fn address(&self, name: &str) -> SocketAddr {
        let line = self.logged("serving").await;
        let value = line.split(&format!("\"{name}\":\"")).nth(1).unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    }
}
