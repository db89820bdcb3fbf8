//! Connections that change their protocol: what passes, what does not, and what of it is
//! counted, refused and cut.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::{
    authority::Authority,
    fixture::{PATIENCE, Site},
};

mod handshakes;
mod lasting;
mod over_http2;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server behind the gateway that is told what to say, a connection at a time.
struct Behind {
    addr: std::net::SocketAddr,
    came: mpsc::Receiver<Conversation>,
}

/// One connection at the server, after the head of its request.
struct Conversation {
    head: String,
    stream: TcpStream,
}

impl Behind {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, came) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    let _ = sender.send(Conversation { head, stream }).await;
                });
            }
        });
        Self { addr, came }
    }

    async fn next(&mut self) -> Conversation {
        timeout(PATIENCE, self.came.recv()).await.unwrap().unwrap()
    }

    /// Nobody came that was not taken yet.
    fn is_left_alone(&mut self) -> bool {
        self.came.try_recv().is_err()
    }
}

impl Conversation {
    fn has(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|found| found.eq_ignore_ascii_case(line))
    }

    /// Agrees, as a server of WebSockets does.
    async fn agree(mut self) -> TcpStream {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-accept: {ACCEPT}\r\nx-from: behind\r\n\r\n"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        self.stream
    }

    async fn answer(mut self, answer: &str) -> TcpStream {
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        self.stream
    }
}

/// To the empty line and no further.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, stream.read_u8()).await.unwrap() {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

async fn reads(stream: &mut (impl AsyncRead + Unpin), expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut read))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read, expected);
}

/// The other side is gone: its end, or that of the whole connection.
async fn is_over(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 64];
    loop {
        match timeout(PATIENCE, stream.read(&mut rest)).await.unwrap() {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// A gateway in front of `behind`, with these policies on the route and these bounds.
async fn site(behind: &Behind, policies: &str, order: &str, bounds: &str) -> Site {
    Site::start(&config(behind, policies, order, bounds)).await
}

fn config(behind: &Behind, policies: &str, order: &str, bounds: &str) -> String {
    format!(
        r#"policies: {{ {policies} }}
upstreams:
  realtime: {{ endpoints: [ "http://{}" ] }}
routes:
  - {{ name: realtime, match: {{ path: /v1/realtime }}, policies: [ {order} ], upstream: realtime, upgrades: [ websocket ] }}
  - {{ name: rest, upstream: realtime }}
{bounds}
"#,
        behind.addr
    )
}

fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n{more}\r\n"
    )
}

async fn connect(site: &Site, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(site.gateway.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A connection that both sides agreed on.
async fn open(site: &Site, behind: &mut Behind) -> (TcpStream, TcpStream) {
    let mut client = connect(site, &handshake("/v1/realtime", "")).await;
    let server = behind.next().await.agree().await;
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, server)
}

#[tokio::test]
async fn messages_pass_both_ways_and_the_handshake_is_written_anew() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let more = "sec-websocket-protocol: realtime\r\nauthorization: Bearer mine\r\n";
    let mut client = connect(&site, &handshake("/v1/realtime?model=gpt-x", more)).await;
    let conversation = behind.next().await;
    assert!(
        conversation
            .head
            .starts_with("GET /v1/realtime?model=gpt-x HTTP/1.1\r\n")
    );
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-protocol: realtime",
        "authorization: Bearer mine",
    ] {
        assert!(conversation.has(line), "{line}: {}", conversation.head);
    }
    let mut server = conversation.agree().await;
    let head = read_head(&mut client).await.to_lowercase();
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "x-from: behind",
        "x-request-id: ",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    for turn in 0..3_u8 {
        client.write_all(&[turn; 7]).await.unwrap();
        reads(&mut server, &[turn; 7]).await;
        server.write_all(&[turn; 40_000]).await.unwrap();
        reads(&mut client, &[turn; 40_000]).await;
    }
    site.metric_becomes("tollgate_upgrades_open", 1.0).await;
    drop(server);
    is_over(&mut client).await;
    drop(client);
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["upgrade"], "websocket");
    assert_eq!(line["status"], 101);
    assert_eq!(line["ending"], "complete");
    assert_eq!(line["model"], "gpt-x");
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&21.into(), &120_000.into())
    );
    assert_eq!(
        site.metric("tollgate_upgrade_seconds_count{route=\"realtime\"}")
            .await,
        1.0
    );
    let bytes = "tollgate_body_bytes_total{route=\"realtime\",direction=\"out\"}";
    assert_eq!(site.metric(bytes).await, 120_000.0);
}

#[tokio::test]
async fn policies_refuse_a_handshake_and_see_its_answer_and_its_end() {
    let mut behind = Behind::start().await;
    let policies = "refuses: { PROBE, on_error: refuse, settings: { refuse: { status: 401, code: no_key, message: none } } }";
    let site = site(&behind, policies, "refuses", "").await;
    let mut client = connect(&site, &handshake("/v1/realtime", "")).await;
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert!(behind.is_left_alone());
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let policies = "sees: { PROBE, on_error: refuse, settings: { response: { set_headers: { x-seen: answer } } } }";
    site.reconfigure(&config(&behind, policies, "sees", ""))
        .await;
    let mut client = connect(&site, &handshake("/v1/realtime", "")).await;
    let server = behind.next().await.agree().await;
    let head = read_head(&mut client).await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("x-seen: answer"),
        "{head}"
    );
    let finished = "tollgate_policy_calls_total{policy=\"sees\",hook=\"finish\"}";
    assert_eq!(site.metric(finished).await, 0.0, "not while it is open");
    drop((client, server));
    site.metric_becomes(finished, 1.0).await;
}
