//! Requests that are answered before their body was read: the answer says whether its
//! connection goes on.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::{raw, statuses},
    fixture::{PATIENCE, Site},
};

/// Each path is refused in another way, and none needs the body for it.
const CONFIG: &str = r#"
policies: { probe: { PROBE, on_error: refuse, settings: { blind: true, refuse: { status: 401, code: no_key, message: none } } } }
upstreams:
  standin: { endpoints: [ "http://UPSTREAM" ] }
  full: { endpoints: [ "http://UPSTREAM" ], concurrency: { total: 1, queue: { length: 0 } } }
  gone: { endpoints: [ "http://127.0.0.1:1" ] }
limits: { request_body: 1MiB }
routes:
  - { match: { path: /v1/models }, upstream: standin }
  - { match: { path: /policy }, policies: [ probe ], upstream: standin }
  - { match: { path: /gone }, upstream: gone }
  - { match: { path: /v1/chat/completions }, upstream: full }
"#;

fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_leaves_a_body_unread_says_that_it_is_the_last() {
    let site = Site::start(CONFIG).await;
    let held = site.chat().behaving("stall-before").begin();
    site.seen("one that stays", |seen| seen.requests == 1).await;
    let half = "content-length: 1000";
    for (path, lines, status) in [
        ("/nowhere", half, 404),
        ("/policy", half, 401),
        ("/gone", half, 502),
        ("/v1/chat/completions", half, 503),
        ("/nowhere", "content-length: 2000000", 413),
        (
            "/nowhere",
            "content-length: 1000\r\nexpect: 100-continue",
            404,
        ),
    ] {
        let request = post(path, lines, "{\"half\":");
        let answer = raw(site.gateway.addr(), request.as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        let said = answer
            .to_lowercase()
            .matches("\r\nconnection: close\r\n")
            .count();
        assert_eq!(said, 1, "{path}: {answer}");
    }
    drop(held);
    assert_eq!(site.standin.seen().requests, 1);
}

#[tokio::test]
async fn a_body_that_is_there_already_costs_no_connection() {
    let site = Site::start(CONFIG).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    for (path, status) in [("/nowhere", "404"), ("/policy", "401"), ("/gone", "502")] {
        let request = post(path, "content-length: 2", "{}");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The object of an error ends so.
        while !answer.ends_with(b"}}") {
            let read = timeout(PATIENCE, client.read_buf(&mut answer)).await;
            assert!(read.unwrap().unwrap() > 0, "{path}: {answer:?}");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            !answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
}
