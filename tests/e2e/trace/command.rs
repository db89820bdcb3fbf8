//! `tollgate trace`, in a process of its own.

use std::{net::SocketAddr, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};
use tollgate::trace::Line;

use crate::fixture::{PATIENCE, Site, probing};

struct Watching {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
}

fn command(admin: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(["trace", "--admin", &admin.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("TOLLGATE_ADMIN_TOKEN")
        .kill_on_drop(true);
    command
}

impl Watching {
    /// Watches already when it returns.
    async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut watching = Self {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        };
        assert!(watching.error().await.contains("watching the gateway"));
        watching
    }

    async fn error(&mut self) -> String {
        let line = timeout(PATIENCE, self.errors.next_line()).await;
        line.expect("a line").unwrap().unwrap_or_default()
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.out.next_line()).await;
        line.expect("a line").unwrap().unwrap_or_default()
    }

    async fn code(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.expect("it ends").unwrap().code()
    }
}

#[tokio::test]
async fn the_command_shows_exchanges_to_a_person_and_as_lines_of_json() {
    let site = Site::start(&probing("request: { set_json: { /temperature: 0.5 } }")).await;
    let admin = site.gateway.admin_addr();
    let mut person = Watching::start(command(admin, &["--count", "1", "--model", "sm*"])).await;
    let mut program = Watching::start(command(admin, &["--json"])).await;
    site.chat().set("temperature", 1).send().await;
    let mut shown = String::new();
    while let line @ 1.. = person.out.get_mut().read_line(&mut shown).await.unwrap() {
        assert!(line < 4096);
    }
    assert!(
        shown.contains("POST /v1/chat/completions 200 complete"),
        "{shown}"
    );
    assert!(
        shown.contains("set-json /temperature\n      - 1\n      + 0.5\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "no colours but on a terminal");
    assert_eq!(person.code().await, Some(0));
    let line: Line = serde_json::from_str(&program.line().await).unwrap();
    assert!(matches!(line, Line::Trace(trace) if trace.model.as_deref() == Some("small")));
}

#[tokio::test]
async fn the_command_says_why_there_is_nothing_to_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token.txt"), "a-token\n").unwrap();
    let config = format!(
        "admin_token: watch\nsecrets: {{ watch: {{ file: token.txt }} }}\n{}",
        crate::fixture::chat_through("", "")
    );
    let site = Site::start_in(folder, &config, "tokens=1").await;
    let admin = site.gateway.admin_addr();
    for (token, why) in [
        (None, "and none was given: set TOLLGATE_ADMIN_TOKEN"),
        (
            Some(""),
            "TOLLGATE_ADMIN_TOKEN is empty: put the token there",
        ),
        (
            Some("tokens"),
            "has another token than the one in the environment variable",
        ),
    ] {
        let mut asking = command(admin, &[]);
        asking.envs(token.map(|token| ("TOLLGATE_ADMIN_TOKEN", token)));
        let refused = asking.output().await.unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(why), "{said}");
        assert!(
            !said.contains("a-token") && !said.contains("tokens"),
            "{said}"
        );
    }
    let mut by_variable = command(admin, &[]);
    by_variable.env("TOLLGATE_ADMIN_TOKEN", "a-token");
    drop(Watching::start(by_variable).await);
    let file = site.folder.path().join("token.txt");
    drop(Watching::start(command(admin, &["--token-file", file.to_str().unwrap()])).await);
    assert!(site.stop_within(PATIENCE).await.0);
    let mut nobody = command(admin, &[]).spawn().unwrap();
    let mut said = String::new();
    let mut errors = nobody.stderr.take().unwrap();
    errors.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("there is no gateway to be reached"), "{said}");
    assert!(!nobody.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_command_waits_for_a_gateway_that_went_away() {
    let config = probing("mark: one");
    let mut site = Site::start(&config).await;
    let admin = site.gateway.admin_addr();
    let mut watching = Watching::start(command(admin, &["--json"])).await;
    let options = tollgate::Options {
        admin: Some(admin),
        instances: 64,
        compiler: Some(env!("CARGO_BIN_EXE_tollgate").into()),
        ..tollgate::Options::new(site.folder.path().join("tollgate.yaml"))
    };
    let again = async || {
        // Its port is free when the one before has let go of it.
        loop {
            if let Ok(gateway) = tollgate::Gateway::start(options.clone()).await {
                return gateway;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let Site { gateway, .. } = &mut site;
    let placeholder = {
        let mut elsewhere = options.clone();
        elsewhere.admin = None;
        tollgate::Gateway::start(elsewhere).await.unwrap()
    };
    std::mem::replace(gateway, placeholder)
        .stop_within(PATIENCE)
        .await;
    assert!(watching.error().await.contains("went away"));
    *gateway = timeout(PATIENCE, again()).await.unwrap();
    assert!(watching.error().await.contains("it is back"));
    site.chat().send().await;
    let line: Line = serde_json::from_str(&watching.line().await).unwrap();
    assert!(matches!(line, Line::Trace(_)));
}
