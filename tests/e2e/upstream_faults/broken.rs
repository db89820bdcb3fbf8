//! Plain answers that break off or fall silent behind a good head.

use super::*;
use crate::{
    client::{raw, statuses},
    scripted::{Said, Scripted},
};

/// Of each, nothing has reached the client when it breaks: the head alone came, or a part of
/// a document that is of no use by itself.
const MENDED: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"id\":\"x",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 50\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n",
];

#[tokio::test]
async fn an_answer_that_breaks_before_the_client_saw_a_byte_is_a_502_and_may_be_made_again() {
    let good = standin("").await;
    for bytes in MENDED {
        let said = String::from_utf8_lossy(bytes);
        let bad = Babbling::start(bytes).await;
        let site = Site::start(&at(&[url(bad.addr)], "")).await;
        let answer = site.chat().send().await;
        assert_eq!(answer.refusal(), (502, "upstream_failed".to_owned()));
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(
            (outcomes(&line), line["attempts"].as_u64()),
            (vec!["reset"], Some(1))
        );

        let endpoints = [url(bad.addr), good.url()];
        let site = Site::start(&at(&endpoints, "retries: { on: [ reset ] }")).await;
        let line = ask_until_tried(&site).await;
        assert_eq!(outcomes(&line), ["reset"], "{said}");

        let site = Site::start(&in_line(&url(bad.addr), &good.url(), "")).await;
        assert_eq!(site.chat().send().await.json()["model"], "other", "{said}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_behind_bytes_that_the_client_saw_is_cut_and_made_once() {
    let good = standin("").await;
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{\"id\":\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 65537\r\n\r\n{\"id\":",
        b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 50\r\n\r\n12345",
    ] {
        let said = String::from_utf8_lossy(bytes);
        let bad = Babbling::start(bytes).await;
        let site = Site::start(&in_line(&url(bad.addr), &good.url(), "")).await;
        let answer = site.chat().stream().await;
        assert_eq!(answer.status, 200, "{said}");
        assert!(answer.try_text().await.is_err(), "{said}");
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(
            (&line["attempts"], &line["error"]),
            (&1.into(), &"upstream_failed".into()),
            "{said}"
        );
    }
    assert_eq!(good.seen().requests, 0);
}

#[tokio::test]
async fn an_answer_that_falls_silent_behind_its_head_is_a_504_and_may_be_made_again() {
    let silent = Scripted::saying(Said::json(200, &serde_json::json!({})).stall_after(0)).await;
    let silent = url(silent.addr);
    let good = standin("").await;
    let waits = "timeouts: { between_bytes: 300ms }";
    let site = Site::start(&at(std::slice::from_ref(&silent), waits)).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (504, "upstream_silent".to_owned()));
    let site = Site::start(&in_line(&silent, &good.url(), waits)).await;
    assert_eq!(site.chat().send().await.json()["model"], "other");
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["between_bytes_timeout"], "{line}");
}

#[tokio::test]
async fn an_error_that_another_try_follows_is_not_waited_for() {
    let bad = Scripted::saying(Said::json(503, &serde_json::json!({})).stall_after(0)).await;
    let good = standin("").await;
    // Nothing but the status can lead there in the time of this test.
    let waits = "fallback_on: [ 503 ], timeouts: { between_bytes: 1h, total: 1h }";
    let site = Site::start(&in_line(&url(bad.addr), &good.url(), waits)).await;
    assert_eq!(site.chat().send().await.json()["model"], "other");
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["status"], "{line}");
}

#[tokio::test]
async fn an_answer_without_a_body_passes_at_once() {
    for (method, bytes, status) in [
        (
            "HEAD",
            &b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"[..],
            200,
        ),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 50\r\n\r\n",
            304,
        ),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-trailer: 1\r\n\r\n",
            200,
        ),
        // The end of the connection is the end of the body.
        ("GET", b"HTTP/1.0 200 OK\r\n\r\n", 200),
    ] {
        let said = String::from_utf8_lossy(bytes);
        let behind = Babbling::start(bytes).await;
        let near = format!(
            "upstreams: {{ near: {{ endpoints: [ \"{}\" ] }} }}",
            url(behind.addr)
        );
        let site = Site::start(&format!("{near}\nroutes: [ {{ upstream: near }} ]\n")).await;
        let ask = format!("{method} /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = raw(site.gateway.addr(), ask.as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{said}");
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(line["ending"], "complete", "{said}: {line}");
    }
}

#[tokio::test]
async fn a_head_passes_while_the_request_is_still_on_its_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let near = format!(
        "upstreams: {{ near: {{ endpoints: [ \"{}\" ] }} }}",
        url(addr)
    );
    let site = Site::start(&format!("{near}\nroutes: [ {{ upstream: near }} ]\n")).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let ask = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none";
    client.write_all(ask).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert!(read_until(&mut server, "one").await.starts_with("POST /x"));
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    server.write_all(head).await.unwrap();
    // Only now the client says the rest.
    assert!(
        read_until(&mut client, "\r\n\r\n")
            .await
            .contains(" 200 OK")
    );
    client.write_all(b"two").await.unwrap();
    read_until(&mut server, "two").await;
    server.write_all(b"4\r\nboth\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut client, "both").await;
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut came = Vec::new();
    while !came.windows(end.len()).any(|bytes| bytes == end.as_bytes()) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut came)).await;
        let read = read.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&came));
    }
    String::from_utf8(came).unwrap()
}
