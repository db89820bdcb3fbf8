//! Framing and heads of HTTP/1.1, as bytes on the wire: what could be read in two ways
//! goes no further, everything else is written anew.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    client::{raw, statuses},
    fixture::{Site, chat_through},
};

/// Short times and small sizes, so that bounds are met soon.
pub(crate) const TIGHT: &str = "
limits: { request_header: 8KiB, request_body: 64KiB }
timeouts: { header: 400ms, idle: 150ms, request_body: 400ms, first_byte: 400ms }
";

pub(crate) async fn open_site() -> Site {
    Site::start(&chat_through("", "")).await
}

/// A chat request with these lines instead of its framing, and this body.
pub(crate) fn framed(lines: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}\r\n\r\n{body}"
    )
}

const BODY: &str = r#"{"model":"small","messages":[]}"#;
/// The body in one chunk, and a request behind it that must never be one.
const SMUGGLED: &str = "1f\r\n{\"model\":\"small\",\"messages\":[]}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// Lengths that could be read in two ways.
fn ambiguous_lengths() -> Vec<(&'static str, String)> {
    let mut cases = Vec::new();
    for length in [
        "31,31",
        "31, 32",
        "+31",
        "-1",
        "-0",
        "0x1f",
        "3_1",
        "3 1",
        "",
        "31;",
        "99999999999999999999999",
    ] {
        cases.push((
            "a content-length that is none",
            framed(&format!("content-length: {length}"), BODY),
        ));
    }
    cases.push((
        "two content-lengths",
        framed("content-length: 31\r\ncontent-length: 30", BODY),
    ));
    cases.push((
        "a space before the colon",
        framed("content-length : 31", BODY),
    ));
    cases
}

/// Chunks that could be read in two ways.
fn ambiguous_chunks() -> Vec<(&'static str, String)> {
    let mut cases = Vec::new();
    cases.push((
        "two transfer-encodings",
        framed(
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            SMUGGLED,
        ),
    ));
    for coding in [
        "xchunked",
        "identity",
        "chunked, identity",
        "gzip, chunked",
        "gzip",
        "chunked;q=1",
        "\u{b}chunked",
        "chunked, gzip",
        "",
        "\"chunked\"",
    ] {
        cases.push((
            "a transfer-encoding that is not chunked",
            framed(&format!("transfer-encoding: {coding}"), SMUGGLED),
        ));
    }
    cases.push((
        "a transfer-encoding with a space before its colon",
        framed("transfer-encoding : chunked", SMUGGLED),
    ));
    cases.push((
        "a folded transfer-encoding",
        framed("transfer-encoding:\r\n chunked", SMUGGLED),
    ));
    for size in [
        "0x1f",
        "+1f",
        "-1",
        "1f_",
        "",
        " ",
        "1000000000000001f",
        "zz",
    ] {
        let body = format!("{size}\r\n{BODY}\r\n0\r\n\r\n");
        cases.push((
            "a chunk size that is none",
            framed("transfer-encoding: chunked", &body),
        ));
    }
    cases.push((
        "a chunk longer than its size",
        framed(
            "transfer-encoding: chunked",
            "5\r\n{\"model\":\"small\"}\r\n0\r\n\r\n",
        ),
    ));
    cases
}

fn malformed_heads() -> Vec<(&'static str, String)> {
    let get = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n\r\n");
    vec![
        ("no host", get("GET /v1/models HTTP/1.1", "accept: */*")),
        (
            "two hosts",
            get("GET /v1/models HTTP/1.1", "host: a\r\nhost: a"),
        ),
        (
            "a host with a path",
            get("GET /v1/models HTTP/1.1", "host: a/b@c"),
        ),
        (
            "a list of hosts",
            get("GET /v1/models HTTP/1.1", "host: a,b"),
        ),
        ("an empty host", get("GET /v1/models HTTP/1.1", "host:")),
        (
            "another host in the line",
            get("GET http://b/v1/models HTTP/1.1", "host: a"),
        ),
        (
            "a header without a name",
            get("GET /v1/models HTTP/1.1", "host: a\r\n: x"),
        ),
        (
            "a header without a colon",
            get("GET /v1/models HTTP/1.1", "host: a\r\nnothing"),
        ),
        (
            "a space in a name",
            get("GET /v1/models HTTP/1.1", "host: a\r\nx y: 1"),
        ),
        (
            "a space before a name",
            get("GET /v1/models HTTP/1.1", "host: a\r\n x: 1"),
        ),
        (
            "a NUL in a value",
            get("GET /v1/models HTTP/1.1", "host: a\r\nx: a\0b"),
        ),
        (
            "a CR in a value",
            get("GET /v1/models HTTP/1.1", "host: a\r\nx: a\rb"),
        ),
        (
            "a space in the target",
            get("GET /v1/ models HTTP/1.1", "host: a"),
        ),
        (
            "a tab for a space",
            get("GET\t/v1/models HTTP/1.1", "host: a"),
        ),
        (
            "a version that is none",
            get("GET /v1/models HTTP/9.9", "host: a"),
        ),
        (
            "a version in lower case",
            get("GET /v1/models http/1.1", "host: a"),
        ),
        ("HTTP/0.9", "GET /v1/models\r\n\r\n".to_owned()),
        ("the asterisk", get("GET * HTTP/1.1", "host: a")),
        ("CONNECT", get("CONNECT a:80 HTTP/1.1", "host: a:80")),
        (
            "TRACE",
            get("TRACE /v1/models HTTP/1.1", "host: a\r\nconnection: close"),
        ),
        (
            "an expectation",
            get(
                "POST /v1/models HTTP/1.1",
                "host: a\r\nexpect: the-best\r\nconnection: close",
            ),
        ),
    ]
}

async fn all_are_refused(cases: Vec<(&'static str, String)>) {
    let site = Site::start(&format!("{}{TIGHT}", chat_through("", ""))).await;
    for (name, request) in cases {
        let answer = raw(site.gateway.addr(), request.as_bytes()).await;
        let statuses = statuses(&answer);
        // Some of it is so broken that there is no one to answer to.
        assert!(statuses.len() <= 1, "{name}: {request:?}: {answer}");
        assert!(
            statuses.iter().all(|status| *status >= 400),
            "{name}: {request:?}: {answer}"
        );
        assert_eq!(
            site.standin.seen().requests,
            0,
            "{name}: {request:?}: {answer}"
        );
    }
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test]
async fn an_ambiguous_length_is_refused_and_nothing_of_it_reaches_the_upstream() {
    all_are_refused(ambiguous_lengths()).await;
}

#[tokio::test]
async fn ambiguous_chunks_are_refused_and_nothing_of_them_reaches_the_upstream() {
    all_are_refused(ambiguous_chunks()).await;
}

#[tokio::test]
async fn a_malformed_head_is_refused_and_nothing_of_it_reaches_the_upstream() {
    all_are_refused(malformed_heads()).await;
}

#[tokio::test]
async fn framing_that_can_be_read_in_one_way_is_accepted_and_written_anew() {
    let site = open_site().await;
    let chunked = "transfer-encoding: chunked\r\nconnection: close";
    for (name, request) in [
        (
            "a length",
            framed("content-length: 31\r\nconnection: close", BODY),
        ),
        (
            "another case",
            framed(
                "Transfer-Encoding: Chunked\r\nconnection: close",
                "1F\r\n{\"model\":\"small\",\"messages\":[]}\r\n0\r\n\r\n",
            ),
        ),
        (
            "an extension",
            framed(
                chunked,
                "1f;a=b\r\n{\"model\":\"small\",\"messages\":[]}\r\n0\r\n\r\n",
            ),
        ),
        (
            "trailers",
            framed(
                chunked,
                "1f\r\n{\"model\":\"small\",\"messages\":[]}\r\n0\r\nauthorization: Bearer x\r\nx-trailer: 1\r\n\r\n",
            ),
        ),
        (
            "names with an underscore",
            framed(
                "content-length: 31\r\ntransfer_encoding: chunked\r\ncontent_length: 5\r\nconnection: close",
                BODY,
            ),
        ),
        (
            "an upgrade",
            framed(
                "content-length: 31\r\nupgrade: websocket\r\nconnection: upgrade, close",
                BODY,
            ),
        ),
        (
            "h2c",
            framed(
                "content-length: 31\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\nconnection: upgrade, http2-settings, close",
                BODY,
            ),
        ),
    ] {
        let answer = raw(site.gateway.addr(), request.as_bytes()).await;
        assert_eq!(statuses(&answer), [200], "{name}: {answer}");
        let seen = site.standin.seen();
        let request = seen.newest().unwrap();
        assert_eq!(request.body, BODY, "{name}");
        assert_eq!(request.header_values("content-length"), ["31"], "{name}");
        for gone in [
            "transfer-encoding",
            "transfer_encoding",
            "content_length",
            "upgrade",
            "http2-settings",
            "authorization",
            "x-trailer",
        ] {
            assert_eq!(request.header(gone), None, "{name}: {gone}");
        }
    }
}

#[tokio::test]
async fn nothing_is_read_behind_a_request_whose_end_another_reader_might_see_elsewhere() {
    let site = open_site().await;
    for lines in [
        "content-length: 31\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: chunked",
    ] {
        let answer = raw(site.gateway.addr(), framed(lines, SMUGGLED).as_bytes()).await;
        assert_eq!(statuses(&answer), [200], "{lines}: {answer}");
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{lines}: {answer}"
        );
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().body, BODY, "{lines}");
        assert!(
            !seen.last.iter().any(|request| request.path == "/smuggled"),
            "{lines}: {seen:?}"
        );
    }
    // A length that is given twice and is the same is given once.
    let twice = framed(
        "content-length: 31\r\ncontent-length: 31\r\nconnection: close",
        BODY,
    );
    assert_eq!(
        statuses(&raw(site.gateway.addr(), twice.as_bytes()).await),
        [200]
    );
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header_values("content-length"),
        ["31"]
    );
}

#[tokio::test]
async fn a_body_that_streams_through_and_breaks_is_never_whole_upstream() {
    let site = open_site().await;
    for (begun, body) in ["5\r\nhello\r\n", "5\r\nhello\r\nzz\r\n", "9\r\nhello"]
        .iter()
        .enumerate()
    {
        let request =
            format!("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        site.seen("it is on its way", |seen| seen.requests > begun as u64)
            .await;
        drop(client);
        site.seen("it was given up", |seen| seen.in_flight == 0)
            .await;
    }
    assert_eq!(site.standin.seen().completed, 0);
    assert_eq!(site.standin.seen().cancelled, 3);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_up_to_a_bad_one() {
    let site = open_site().await;
    let get = "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = raw(
        site.gateway.addr(),
        format!("{}GET / HTTP/9.9\r\n\r\n{get}", get.repeat(20)).as_bytes(),
    )
    .await;
    let statuses = statuses(&answer);
    assert_eq!(&statuses[..20], &[200; 20], "{answer}");
    assert!(
        statuses[20..].iter().all(|status| *status >= 400) && statuses.len() <= 21,
        "{statuses:?}"
    );
    assert_eq!(site.standin.seen().requests, 20);
    let closing = get.replace("host: a", "host: a\r\nconnection: close");
    let answer = raw(site.gateway.addr(), format!("{closing}{get}").as_bytes()).await;
    assert_eq!(
        crate::client::statuses(&answer),
        [200],
        "nothing is read behind a close"
    );
}
