//! From saving a file of a plugin's crate to the first exchange on the new version.
//!
//! `tollgate dev` with the crate that `tollgate plugin new` makes. Each round writes another
//! answer into the source and asks until it comes:
//!   cargo bench --bench dev                   ten rounds
//!   cargo bench --bench dev -- 30             thirty

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tollgate::demo::plugins_build::{target_dir, workspace_root};

const ROUNDS: usize = 10;
/// Between two asks.
const PAUSE: Duration = Duration::from_millis(2);
/// For one round, and for the first build.
const PATIENCE: Duration = Duration::from_secs(600);
/// Lines that wait to be looked at.
const LINES_MAX: usize = 1000;
const NAME: &str = "measured-loop";

fn main() -> anyhow::Result<()> {
    let given = env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let rounds = given.unwrap_or(ROUNDS).max(1);
    let outside = tempfile::tempdir()?;
    let folder = outside.path().join(NAME);
    let root = workspace_root()?;
    let made = tollgate(outside.path())
        .args(["plugin", "new", NAME])
        .stdout(Stdio::null())
        .status()?;
    if !made.success() {
        bail!("`tollgate plugin new` failed");
    }
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let source = folder.join("src/lib.rs");
    let text = fs::read_to_string(&source)?;

    let dev = Dev::start(&folder)?;
    let serving = dev.says("serving: ")?;
    let address = serving.split("http://").nth(1).unwrap_or_default();
    let address = address.split(' ').next().unwrap_or_default().to_owned();
    dev.says("live: ")?;
    println!("| round | saved to answered, s | of it cargo and the check, s |\n|--:|--:|--:|");
    let mut took = Vec::with_capacity(rounds);
    for round in 1..=rounds {
        let answer = format!("round-{round}");
        let refusal = format!("Verdict::refuse(418, \"{answer}\", \"Measured.\")");
        let changed = text.replace("Verdict::next()", &refusal);
        let saved = Instant::now();
        fs::write(&source, changed)?;
        let answered = until_answered(&address, &answer, saved)?;
        let live = dev.says("live: ")?;
        let built = live.split("built in ").nth(1).unwrap_or_default();
        let built = built.split(' ').next().unwrap_or_default();
        println!("| {round} | {:.2} | {built} |", answered.as_secs_f64());
        took.push(answered);
    }
    took.sort_unstable();
    println!(
        "\nof {rounds}: least {:.2} s, median {:.2} s, longest {:.2} s",
        took[0].as_secs_f64(),
        took[rounds / 2].as_secs_f64(),
        took[rounds - 1].as_secs_f64()
    );
    Ok(())
}

fn tollgate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(folder);
    command
}

fn until_answered(address: &str, answer: &str, saved: Instant) -> anyhow::Result<Duration> {
    while saved.elapsed() < PATIENCE {
        if ask(address)?.contains(answer) {
            return Ok(saved.elapsed());
        }
        thread::sleep(PAUSE);
    }
    bail!("no answer `{answer}` within {PATIENCE:?}");
}

/// One request over a connection of its own, and all that came.
fn ask(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).context("the gateway is gone")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = r#"{"model":"standin-small","messages":[{"role":"user","content":"hi"}]}"#;
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut came = String::new();
    stream.read_to_string(&mut came)?;
    Ok(came)
}

/// `tollgate dev`, until it is dropped.
struct Dev {
    child: Child,
    /// What it prints is read as it comes, or it would wait for that.
    lines: mpsc::Receiver<String>,
}

impl Dev {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut child = tollgate(folder)
            .args(["dev", "--plain"])
            .env("CARGO_TARGET_DIR", target_dir(&workspace_root()?))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("its output is piped")?;
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            // Exchanges are not looked at.
            for line in lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The next line that has this text.
    fn says(&self, text: &str) -> anyhow::Result<String> {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("it did not say `{text}`, but:\n{said}"))?;
            if line.contains(text) {
                return Ok(line);
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok();
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            // It fails where it has ended by itself.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}
