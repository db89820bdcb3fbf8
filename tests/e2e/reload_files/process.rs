//! The real program: its signals, its log, its exit codes.

use std::net::TcpListener;

use tokio::process::Command;
use tollgate::demo::standin::Standin;

use super::{
    folder::{Folder, Start, replace},
    ground::{mark, standin},
};
use crate::{
    client::Ask,
    fixture::PATIENCE,
    program::{Program, tollgate},
};

/// A gateway in a process of its own, on files that change.
struct Process {
    program: Program,
    folder: Folder,
    _standin: Standin,
}

impl Process {
    async fn start() -> Self {
        let standin = standin().await;
        let folder = Folder::new(Start::Plain, &standin.addr.to_string());
        Self {
            program: Program::start(&folder.file()),
            folder,
            _standin: standin,
        }
    }

    async fn signal(&self, name: &str) {
        let id = self.program.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status()
            .await;
        assert!(status.unwrap().success());
    }

    async fn mark(&self) -> String {
        mark(
            &Ask::chat(self.program.address("addr").await, "small")
                .send()
                .await,
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_looks_at_the_files_and_sigterm_ends_well() {
    let mut process = Process::start().await;
    assert_eq!(process.mark().await, "one");
    process.signal("HUP").await;
    process.program.logged("nothing changed").await;

    replace(&process.folder.file(), process.folder.config("two"));
    process.signal("HUP").await;
    process.program.logged("swapped").await;
    assert_eq!(process.mark().await, "two");

    replace(&process.folder.file(), "colour: blue\n");
    process.signal("HUP").await;
    let line = process.program.logged("change refused").await;
    for part in [
        "tollgate.yaml:1:1: unknown key `colour`",
        "config",
        "load",
        "ERROR",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(process.mark().await, "two");

    process.signal("TERM").await;
    let ended = tokio::time::timeout(PATIENCE, process.program.child.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_in_use_is_named_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new(Start::Plain, "127.0.0.1:9");
    for flag in ["--listen", "--admin"] {
        let output = tollgate(&["run", flag, &address], &folder.file())
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&address) && said.contains(&flag[2..]),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_configuration_that_is_refused_ends_it_with_the_words_of_check() {
    let folder = Folder::new(Start::Plain, "127.0.0.1:9");
    folder.append("colour: blue\n");
    let run = tollgate(&["run"], &folder.file()).output().await.unwrap();
    let check = tollgate(&["check"], &folder.file()).output().await.unwrap();
    assert_eq!((run.status.code(), check.status.code()), (Some(1), Some(1)));
    let (run, check) = (
        String::from_utf8(run.stderr).unwrap(),
        String::from_utf8(check.stderr).unwrap(),
    );
    assert!(run.contains(check.trim_end()), "{run}\n---\n{check}");
}
