//! A process that has no file descriptor left: whoever is there is served, whoever comes
//! waits, and the log stays short.

use std::{fs, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tokio::net::TcpStream;
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::{
    client::Ask,
    fixture::{PATIENCE, until},
    program::Program,
};

/// So many descriptors are left, for a crowd that is larger.
const LEFT: usize = 12;
const CROWD: usize = 64;

async fn ask(client: &mut SendRequest<Empty<Bytes>>) -> u16 {
    let request = Request::get("/v1/models").header("host", "gateway");
    let answer = client.send_request(request.body(Empty::new()).unwrap());
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}

/// Lets the process open so many more files and sockets than it has now.
fn leave_descriptors(program: &Program, count: usize) {
    let open = fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap();
    let most = Some((open.count() + count) as u64);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    let id = Pid::from_raw(i32::try_from(program.id()).unwrap());
    prlimit(id, Resource::Nofile, limit).unwrap();
}

/// A number of a line; large ones are written as text.
fn number(line: &str, name: &str) -> u64 {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = line[name].to_string();
    let number = text.trim_matches('"').parse();
    number.unwrap_or_else(|_| panic!("{name} in {line}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_those_who_are_there_are_served_and_others_wait() {
    let options = StandinOptions::default();
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options);
    let standin = standin.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tollgate.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
         upstreams: {{ standin: {{ endpoints: [ \"http://{}\" ] }} }}\n\
         routes: [ {{ upstream: standin }} ]\n",
        standin.addr
    );
    fs::write(&config, text).unwrap();
    let program = Program::start(&config);
    let addr = program.address("addr").await;

    // One who is there, with a connection to the upstream.
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut there, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    assert_eq!(ask(&mut there).await, 200);

    leave_descriptors(&program, LEFT);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(addr).await.unwrap());
    }
    let said = program.logged("cannot accept connections").await;
    assert!(
        said.contains("WARN") && said.contains("open files"),
        "{said}"
    );
    let waiting = tokio::spawn(async move { Ask::new(addr, "GET", "/v1/models").send().await });
    for _ in 0..10 {
        assert_eq!(ask(&mut there).await, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!waiting.is_finished(), "there was room all the time");

    drop(crowd);
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert_eq!(waited.expect("it is served").unwrap().status, 200);
    // Told with the first connection after a second in which nothing failed.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while program.lines("accepting connections again").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it is not over");
        let answer = Ask::new(addr, "GET", "/v1/models").send().await;
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let over = program.logged("accepting connections again").await;
    // Each failure is followed by a rest of a tenth of a second.
    let (failures, took_ms) = (number(&over, "failures"), number(&over, "took_ms"));
    assert!(failures - 1 <= took_ms / 100, "{over}");
    assert!(failures > 3, "{over}");
    let told = program.lines("cannot accept connections").len() as u64;
    assert!(told <= 1 + took_ms / 10_000, "{told} lines in {took_ms} ms");
    assert_eq!(ask(&mut there).await, 200);
    driver.abort();
    until("all of the crowd is gone", || {
        let open = fs::read_dir(format!("/proc/{}/fd", program.id())).ok()?;
        (open.count() <= CROWD).then_some(())
    })
    .await;
}
