//! `tollgate dev`, as an author meets it: a crate is saved, and the gateway answers anew.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tollgate::{
    authoring::build::{BuildError, BuildOptions, build},
    demo::{
        plugins_build::{target_dir, workspace_root},
        standin::{Standin, StandinOptions},
    },
};

use crate::{authoring::Made, client::Ask, fixture::until};

/// For builds, however busy the machine is; the first one builds the SDK as well.
const PATIENCE: Duration = Duration::from_secs(900);

/// `tollgate dev --plain`. All that it starts has `temporary` in its environment.
struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    temporary: tempfile::TempDir,
    /// All lines so far.
    said: String,
}

/// The command in a crate's folder, with temporary files in `temporary`.
fn command(folder: &Path, temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(["dev", "--plain"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target_dir(&workspace_root().unwrap()))
        .env("CARGO_TERM_COLOR", "never")
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Dev {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = command(folder, temporary.path());
        let mut child = command.args(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            temporary,
            said: String::new(),
        }
    }

    /// The next line that has this text.
    async fn says(&mut self, text: &str) -> String {
        self.says_either([text]).await
    }

    /// The next line that has one of these texts.
    async fn says_either<const N: usize>(&mut self, texts: [&str; N]) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("none of {texts:?} in\n{}", self.said));
            let Some(line) = line.unwrap() else {
                panic!("it ended without any of {texts:?}:\n{}", self.said);
            };
            self.said.push_str(&line);
            self.said.push('\n');
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
        }
    }

    /// Where the gateway listens, once it does.
    async fn serves(&mut self) -> SocketAddr {
        let line = self.says("serving: ").await;
        let address = line.split("http://").nth(1).unwrap();
        address.split(' ').next().unwrap().parse().unwrap()
    }

    /// Ends it by a signal; nothing of it is left then.
    async fn ends_by(mut self, signal: Signal) -> ExitStatus {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let status = timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = status.expect("it ends").unwrap();
        assert_eq!(left_behind(self.temporary.path()), Vec::<String>::new());
        status
    }
}

/// Files in the temporary folder, and processes that were started with it.
fn left_behind(temporary: &Path) -> Vec<String> {
    let mut left: Vec<String> = fs::read_dir(temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    let mark = format!("TMPDIR={}", temporary.display());
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let is_ours = environment
            .split(|byte| *byte == 0)
            .any(|one| one == mark.as_bytes());
        if is_ours {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            left.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    left
}

async fn status(addr: SocketAddr) -> u16 {
    Ask::chat(addr, "standin-small").send().await.status
}

/// A policy that refuses with this status.
fn refusing(made: &Made, from: &str, status: u16) {
    let to = format!("Verdict::refuse({status}, \"changed\", \"Changed.\")");
    made.reword("src/lib.rs", from, &to);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_answers_and_what_does_not_hold_is_shown_while_the_old_version_serves() {
    let made = Made::new("inner-loop");
    let mut dev = Dev::start(&made.folder(), &["--sample"]);
    let addr = dev.serves().await;
    let live = dev.says("live: ").await;
    assert!(
        live.starts_with("live: generation 1, inner-loop 0.1.0 (")
            && live.contains("settings of the case greets; built in "),
        "{live}"
    );
    // The samples: a plain one and a stream, with what the policy changed.
    for stream in ["", ", stream yes"] {
        let head = dev.says("POST /v1/chat/completions 200 complete").await;
        assert!(!head.is_empty());
        let facts = dev.says("route chat").await;
        assert!(facts.contains(stream), "{facts}");
        dev.says("set-header x-greeting").await;
        assert_eq!(dev.says("+ ").await.trim(), "+ hello");
    }
    assert_eq!(status(addr).await, 200);

    refusing(&made, "Verdict::next()", 418);
    dev.says("live: generation 2").await;
    assert_eq!(status(addr).await, 418);

    made.reword("src/lib.rs", "fn open(", "fn opne(");
    dev.says("setback: inner-loop does not build; generation 2 goes on:")
        .await;
    dev.says("error: there is no hook `opne`").await;
    assert_eq!(status(addr).await, 418);

    made.reword("src/lib.rs", "fn opne(", "fn open(");
    dev.says_either(["unchanged: ", "live: generation 3"]).await;
    made.write("dev.yaml", "settings: { greeting: \"\" }\n");
    dev.says("setback: inner-loop is refused; generation ")
        .await;
    dev.says("says nothing").await;
    made.write("dev.yaml", "settings:\n  greting: hello\n");
    dev.says("setback: inner-loop is refused; generation ")
        .await;
    assert_eq!(status(addr).await, 418);

    made.write("dev.yaml", "settings: { greeting: good day }\n");
    let live = dev.says("live: generation ").await;
    assert!(live.contains("settings of dev.yaml"), "{live}");
    assert!(dev.ends_by(Signal::INT).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_fails_keeps_a_version_out_where_cases_are_proven() {
    let made = Made::new("proven-loop");
    made.reword(
        "src/lib.rs",
        "tollgate_sdk::prelude::*;",
        "tollgate_sdk::prelude::*; fn broken(",
    );
    let mut dev = Dev::start(&made.folder(), &["--with-cases"]);
    dev.says("setback: proven-loop does not build; nothing serves yet:")
        .await;
    made.reword("src/lib.rs", " fn broken(", "");
    let addr = dev.serves().await;
    dev.says("live: generation 1").await;
    made.reword(
        "src/lib.rs",
        "set_header(\"x-greeting\"",
        "set_header(\"x-other\"",
    );
    dev.says("setback: proven-loop is refused; generation 1 goes on:")
        .await;
    assert_eq!(status(addr).await, 200);
    assert!(dev.ends_by(Signal::TERM).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_that_it_depends_on_by_path_is_followed_too() {
    let made = Made::new("by-path");
    let words = made.folder().parent().unwrap().join("words");
    fs::create_dir_all(words.join("src")).unwrap();
    let manifest = "[package]\nname = \"words\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::write(words.join("Cargo.toml"), manifest).unwrap();
    let status_is = |status: u16| {
        let text = format!("pub const STATUS: u16 = {status};\n");
        fs::write(words.join("src/lib.rs"), text).unwrap();
    };
    status_is(418);
    let mut dev = Dev::start(&made.folder(), &[]);
    let addr = dev.serves().await;
    dev.says("live: generation 1").await;
    // From now on, though it was not there when the loop began.
    let crates = "[dependencies]\nwords = { path = \"../words\" }";
    made.reword("Cargo.toml", "[dependencies]", crates);
    let refuses = "Verdict::refuse(words::STATUS, \"changed\", \"Changed.\")";
    made.reword("src/lib.rs", "Verdict::next()", refuses);
    while status(addr).await != 418 {
        dev.says("live: generation ").await;
    }
    status_is(419);
    while status(addr).await != 419 {
        dev.says("live: generation ").await;
    }
    assert!(dev.ends_by(Signal::TERM).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_the_middle_of_a_build_and_cargo_with_it() {
    let made = Made::new("endless-build");
    let mark = made.folder().join("began");
    let script = format!(
        "fn main() {{ std::fs::write({mark:?}, \"\").unwrap(); loop {{ std::thread::park() }} }}"
    );
    made.write("build.rs", &script);
    // As well when its terminal is closed.
    for signal in [Signal::TERM, Signal::HUP] {
        let mut dev = Dev::start(&made.folder(), &[]);
        dev.says("building").await;
        appears(&mark).await;
        fs::remove_file(&mark).unwrap();
        assert!(dev.ends_by(signal).await.success(), "{signal:?}");
    }
}

async fn appears(file: &Path) {
    let appears = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, appears).await.expect("it appears");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_ends_while_the_plugin_is_checked() {
    let made = Made::new("slowly-checked");
    let temporary = tempfile::tempdir().unwrap();
    let (begun, checker) = (
        temporary.path().join("begun"),
        temporary.path().join("checker"),
    );
    let script = format!("#!/bin/sh\n/bin/touch {begun:?}\nexec /bin/sleep 600\n");
    fs::write(&checker, script).unwrap();
    fs::set_permissions(&checker, fs::Permissions::from_mode(0o755)).unwrap();
    let stop = CancellationToken::new();
    let builds = tokio::spawn(build(BuildOptions {
        quick: true,
        checker: Some(checker),
        stop: Some(stop.clone()),
        ..BuildOptions::new(made.folder())
    }));
    appears(&begun).await;
    stop.cancel();
    let built = timeout(Duration::from_secs(60), builds).await;
    let built = built.expect("it ends").unwrap();
    assert!(matches!(built, Err(BuildError::Stopped)), "{built:?}");
}

/// A crate, served in front of a model server of its author's and with settings of a file.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_a_model_and_a_file_of_settings_can_be_named() {
    let made = Made::new("own-upstream");
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), StandinOptions::default())
        .await
        .unwrap();
    let settings = made.folder().join("other.yaml");
    fs::write(&settings, "settings: { greeting: of the file }\n").unwrap();
    let arguments = [
        ("--upstream", standin.url()),
        ("--model", "llama-9".to_owned()),
        ("--settings", settings.display().to_string()),
    ];
    let arguments: Vec<&str> = arguments
        .iter()
        .flat_map(|(name, value)| [*name, value.as_str()])
        .chain(["--sample"])
        .collect();
    let mut dev = Dev::start(&made.folder(), &arguments);
    let serving = dev.says("serving: ").await;
    assert!(
        serving.contains(&format!("in front of {}", standin.url())),
        "{serving}"
    );
    let live = dev.says("live: generation 1").await;
    assert!(live.contains("other.yaml"), "{live}");
    dev.says("POST /v1/chat/completions 200 complete").await;
    let greeted = |greeting: &str| {
        let seen = standin.seen();
        seen.last.iter().any(|request| {
            request.header("x-greeting") == Some(greeting) && request.json()["model"] == "llama-9"
        })
    };
    assert!(greeted("of the file"), "{:?}", standin.seen());

    // The file is followed, too.
    fs::write(&settings, "settings: { greeting: of another day }\n").unwrap();
    dev.says("live: generation 2").await;
    until("the other greeting", || {
        greeted("of another day").then_some(())
    })
    .await;
    assert!(dev.ends_by(Signal::INT).await.success());
    standin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_though_nobody_reads_what_it_prints() {
    let made = Made::new("unread-loop");
    let mut dev = Dev::start(&made.folder(), &[]);
    let addr = dev.serves().await;
    dev.says("live: ").await;
    // More lines than a pipe holds.
    for _ in 0..600 {
        assert_eq!(status(addr).await, 200);
    }
    assert!(dev.ends_by(Signal::INT).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_configuration_is_served_with_the_crate_in_place_of_its_plugin() {
    let made = Made::new("own-config");
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), StandinOptions::default())
        .await
        .unwrap();
    let site = tempfile::tempdir().unwrap();
    let config = site.path().join("tollgate.yaml");
    let text = format!(
        "plugins: none-here/\ncache: off\n\
         policies: {{ greeter: {{ plugin: own-config, on_error: refuse, settings: {{ greeting: own }} }} }}\n\
         upstreams: {{ model: {{ endpoints: [ \"{}\" ] }} }}\n\
         routes: [ {{ policies: [ greeter ], upstream: model }} ]\n",
        standin.url()
    );
    fs::write(&config, text).unwrap();
    let mut dev = Dev::start(&made.folder(), &["--config", config.to_str().unwrap()]);
    let addr = dev.serves().await;
    let live = dev.says("live: generation 1").await;
    assert!(live.contains("settings of the configuration"), "{live}");
    assert_eq!(status(addr).await, 200);
    let seen = standin.seen();
    let greeted = seen.last.iter().any(|request| {
        let greeting = request.header("x-greeting");
        greeting.is_some_and(|greeting| greeting == "own")
    });
    assert!(greeted, "{seen:?}");
    assert!(dev.ends_by(Signal::INT).await.success());
    standin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_is_drawn_and_the_terminal_left_as_it_was() {
    let made = Made::new("on-screen");
    let temporary = tempfile::tempdir().unwrap();
    let log: PathBuf = temporary.path().join("typescript");
    let program = env!("CARGO_BIN_EXE_tollgate");
    let mut command = Command::new("script");
    let mut child = command
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(format!(
            "stty rows 30 cols 110 && '{program}' dev && stty -a"
        ))
        .arg(&log)
        .current_dir(made.folder())
        .env("CARGO_TARGET_DIR", target_dir(&workspace_root().unwrap()))
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut drawn = String::new();
    let mut until = async |text: &str| {
        let mut buffer = [0; 4096];
        while !drawn.contains(text) {
            let read = timeout(PATIENCE, screen.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("no `{text}` in {drawn:?}"));
            let read = read.unwrap();
            assert!(read > 0, "no `{text}` in {drawn:?}");
            drawn.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    until("\u{1b}[?1049h").await;
    until("for a sample").await;
    keys.write_all(b"s").await.unwrap();
    until("x-greeting").await;
    keys.write_all(b"q").await.unwrap();
    until("\u{1b}[?1049l").await;
    until("\u{1b}[?25h").await;
    // Lines are read and echoed as before.
    until(" icanon").await;
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_crate_is_said_at_once() {
    let nowhere = tempfile::tempdir().unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let mut command = command(nowhere.path(), temporary.path());
    let output = command.stderr(Stdio::piped()).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains("there is no crate in .: "), "{error}");
}
