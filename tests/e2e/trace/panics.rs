//! What a plugin's panic says, and where.

use tollgate::{
    demo::standin::{Standin, StandinOptions},
    trace::Trace,
};

use super::{Watcher, step};
use crate::{
    client::Ask,
    fixture::{lay_out, probing},
    program::Program,
};

/// How a panic of the probe begins where it says this.
fn panicked(source: &str, file: &str, says: &str) -> String {
    let line = source.lines().position(|line| line.contains(says)).unwrap() + 1;
    format!("panicked at tests/guests/probe/src/{file}:{line}:")
}

fn said(trace: &Trace, hook: &str) -> String {
    let step = step(trace, "probe", hook);
    let failure = step.failure.as_ref().unwrap();
    assert_eq!(failure.kind, "trapped");
    assert!(
        failure.reason.starts_with("trapped: it panicked: ")
            && failure.reason.contains(" (at tests/guests/probe/src/"),
        "{}",
        failure.reason
    );
    let line = step.calls.iter().find(|call| call.call == "log.write");
    let line = &line.unwrap().arguments;
    assert_eq!(line["level"], "error");
    line["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_panics_words_and_place_are_in_the_trace_and_in_the_log() {
    let options = StandinOptions::behaving("tokens=1").unwrap();
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options);
    let standin = standin.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("canary.txt"), "canary-of-the-secret").unwrap();
    lay_out(folder.path(), &probing("mark: one"), &standin);
    let program = Program::start(&folder.path().join("tollgate.yaml"));
    let addr = program.address("addr").await;
    let mut watcher = Watcher::ask(program.address("admin").await, "", None).await;
    watcher.line().await;

    let place = panicked(
        include_str!("../../guests/probe/src/deed.rs"),
        "deed.rs",
        "panic!(\"trapped, as told\")",
    );
    let ask = Ask::chat(addr, "small").header("x-probe", "trap");
    ask.send().await;
    let said_in_trace = said(&watcher.trace().await, "on_request");
    assert!(said_in_trace.starts_with(&place), "{said_in_trace}");
    assert!(
        said_in_trace.ends_with(": trapped, as told"),
        "{said_in_trace}"
    );
    program.logged(&said_in_trace).await;

    // Not even its first hook was asked.
    let place = panicked(
        include_str!("../../guests/probe/src/lib.rs"),
        "lib.rs",
        "        assert!(",
    );
    let ask = Ask::new(addr, "POST", "/v1/chat/completions?x-probe=trap@open");
    ask.json(serde_json::json!({ "model": "small" }))
        .send()
        .await;
    let trace = watcher.trace().await;
    let said_in_trace = said(&trace, "open");
    assert!(said_in_trace.starts_with(&place), "{said_in_trace}");
    assert!(
        said_in_trace.contains("trapped when it opened"),
        "{said_in_trace}"
    );
    program.logged(&said_in_trace).await;
}
