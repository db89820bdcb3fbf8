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
async fn a_client_that_vanishes_takes_the_upstream_connection_along() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (client, mut server) = open(&site, &mut behind).await;
    drop(client);
    is_over(&mut server).await;
    drop(server);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    site.metric_becomes("tollgate_connections_open", 0.0).await;
}

#[tokio::test]
async fn silence_ends_a_connection_and_is_said_so() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "timeouts: { upgrade_idle: 50ms }").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    is_over(&mut client).await;
    is_over(&mut server).await;
    let line = &site.exchanges(1).await[0];
    assert_eq!(
        (&line["ending"], &line["error"]),
        (&"timed_out".into(), &"upgrade_idle".into())
    );
}

#[tokio::test]
async fn a_connection_outlives_the_time_of_an_exchange() {
    let mut behind = Behind::start().await;
    let bounds = "timeouts: { total: 1s, idle: 100ms, header: 100ms }";
    let site = site(&behind, "", "", bounds).await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    client.write_all(b"still").await.unwrap();
    reads(&mut server, b"still").await;
    server.write_all(b"here").await.unwrap();
    reads(&mut client, b"here").await;
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

#[tokio::test]
async fn an_answer_in_place_of_the_upgrade_is_the_clients_and_the_connection_goes_on() {
    let mut behind = Behind::start().await;
    let policies =
        "answers: { PROBE, on_error: refuse, settings: { reply_instead: { status: 418 } } }";
    let site = site(&behind, "", "", "").await;
    let mut client = connect(&site, &handshake("/v1/realtime", "")).await;
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\nsec-websocket-version: 13\r\ncontent-length: 4\r\n\r\nnope";
    let _server = behind.next().await.answer(refusal).await;
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    reads(&mut client, b"nope").await;
    // What comes now is a request, and no bytes of another protocol.
    client
        .write_all(b"GET /after HTTP/1.1\r\nhost: gateway\r\n\r\n")
        .await
        .unwrap();
    let next = behind.next().await;
    assert!(
        next.head.starts_with("GET /after HTTP/1.1"),
        "{}",
        next.head
    );
    assert!(
        !next.head.to_lowercase().contains("upgrade"),
        "{}",
        next.head
    );
    // A policy that answers instead of the upstream's 101 leaves no open connection there.
    site.reconfigure(&config(&behind, policies, "answers", ""))
        .await;
    let mut client = connect(&site, &handshake("/v1/realtime", "")).await;
    let mut server = behind.next().await.agree().await;
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 418 "), "{head}");
    is_over(&mut server).await;
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_or_that_does_not_fit_is_a_502() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let agreed = format!("sec-websocket-accept: {ACCEPT}\r\n");
    for (name, request, lines) in [
        (
            "not asked",
            "GET /x HTTP/1.1\r\nhost: g\r\n\r\n".to_owned(),
            format!("connection: upgrade\r\nupgrade: websocket\r\n{agreed}"),
        ),
        (
            "not let",
            handshake("/other", ""),
            format!("connection: upgrade\r\nupgrade: websocket\r\n{agreed}"),
        ),
        (
            "another protocol",
            handshake("/v1/realtime", ""),
            format!("connection: upgrade\r\nupgrade: h2c\r\n{agreed}"),
        ),
        (
            "two",
            handshake("/v1/realtime", ""),
            format!("connection: upgrade\r\nupgrade: websocket, h2c\r\n{agreed}"),
        ),
        (
            "no protocol",
            handshake("/v1/realtime", ""),
            format!("connection: upgrade\r\n{agreed}"),
        ),
        (
            "no connection",
            handshake("/v1/realtime", ""),
            format!("upgrade: websocket\r\n{agreed}"),
        ),
        (
            "no answer to the key",
            handshake("/v1/realtime", ""),
            "connection: upgrade\r\nupgrade: websocket\r\n".to_owned(),
        ),
        (
            "an echo of the key",
            handshake("/v1/realtime", ""),
            format!("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {KEY}\r\n"),
        ),
    ] {
        let mut client = connect(&site, &request).await;
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
        let mut server = behind.next().await.answer(&answer).await;
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{name}: {head}");
        is_over(&mut server).await;
    }
    for line in site.exchanges(8).await {
        assert_eq!(line["tries"][0]["outcome"], "reset", "{line}");
    }
}

#[tokio::test]
async fn what_is_not_asked_for_in_one_way_is_refused_and_reaches_nobody() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let plain = handshake("/v1/realtime", "");
    let head =
        "host: g\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
    for (name, request) in [
        (
            "two protocols",
            plain.replace("WebSocket", "websocket, h2c"),
        ),
        (
            "two lines",
            plain.replace("upgrade: WebSocket", "upgrade: h2c\r\nupgrade: websocket"),
        ),
        ("twice", plain.replace("WebSocket", "websocket,websocket")),
        ("another method", plain.replace("GET", "POST")),
        (
            "a body",
            plain.replace("\r\n\r\n", "\r\ncontent-length: 5\r\n\r\nhello"),
        ),
        (
            "chunks",
            plain.replace(
                "\r\n\r\n",
                "\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        ("no key", format!("GET /v1/realtime HTTP/1.1\r\n{head}\r\n")),
        ("a short key", plain.replace(KEY, "c2hvcnQ=")),
        (
            "two keys",
            plain.replace("\r\n\r\n", &format!("\r\nsec-websocket-key: {KEY}\r\n\r\n")),
        ),
        (
            "no version",
            plain.replace("sec-websocket-version: 13\r\n", ""),
        ),
    ] {
        let mut client = connect(&site, &request).await;
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{name}: {head}");
        assert!(behind.is_left_alone(), "{name}");
    }
}

#[tokio::test]
async fn what_the_route_does_not_name_stays_a_request_without_its_upgrade() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let plain = handshake("/v1/realtime", "");
    for (name, request) in [
        ("another route", handshake("/other", "")),
        ("h2c", plain.replace("WebSocket", "h2c")),
        (
            "h2c with its settings",
            plain.replace(
                "connection: keep-alive, Upgrade\r\nupgrade: WebSocket",
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk",
            ),
        ),
        (
            "not named by connection",
            plain.replace("keep-alive, Upgrade", "keep-alive"),
        ),
        ("HTTP/1.0", plain.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let mut client = connect(&site, &request).await;
        let conversation = behind.next().await;
        for field in ["\nupgrade:", "\nconnection: upgrade", "\nhttp2-settings:"] {
            assert!(
                !conversation.head.to_lowercase().contains(field),
                "{name}: {}",
                conversation.head
            );
        }
        let _server = conversation
            .answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        let head = read_head(&mut client).await;
        assert!(head[8..].starts_with(" 200 "), "{name}: {head}");
    }
}

#[tokio::test]
async fn bytes_behind_a_handshake_are_the_new_protocols_or_a_request_and_never_both() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n";
    // Agreed: they are the first bytes of the new protocol, for who agreed.
    let request = format!("{}{smuggled}", handshake("/v1/realtime", ""));
    let mut client = connect(&site, &request).await;
    let mut server = behind.next().await.agree().await;
    reads(&mut server, smuggled.as_bytes()).await;
    assert!(behind.is_left_alone(), "no request was made of them");
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    drop((client, server));
    // Not agreed: they are a request, through routes and policies like any.
    let mut client = connect(&site, &request).await;
    let _first = behind
        .next()
        .await
        .answer("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 403 "));
    let next = behind.next().await;
    assert!(
        next.head.starts_with("GET /smuggled HTTP/1.1\r\n"),
        "{}",
        next.head
    );
    assert!(
        next.head.contains("x-request-id"),
        "it came through the gateway: {}",
        next.head
    );
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_counted() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "limits: { upgrades: 1 }").await;
    let (client, server) = open(&site, &mut behind).await;
    let mut second = connect(&site, &handshake("/v1/realtime", "")).await;
    let head = read_head(&mut second).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    assert_eq!(site.metric("tollgate_upgrades_refused_total").await, 1.0);
    drop((client, server));
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let (_client, _server) = open(&site, &mut behind).await;
}

#[tokio::test]
async fn the_time_of_an_agreement_counts_and_not_when_somebody_speaks() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let latency = async || {
        site.look("/upstreams").await.json()["upstreams"][0]["endpoints"][0]["latency_ms"].as_f64()
    };
    assert!(latency().await.is_some());
    let agreed = latency().await.unwrap();
    server.write_all(b"down").await.unwrap();
    reads(&mut client, b"down").await;
    drop((client, server));
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert!(latency().await.unwrap() <= agreed);
}

#[tokio::test]
async fn a_swap_cuts_no_open_connection() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let closed = config(&behind, "", "", "").replace(", upgrades: [ websocket ]", "");
    site.reconfigure(&closed).await;
    client.write_all(b"up").await.unwrap();
    reads(&mut server, b"up").await;
    server.write_all(b"down").await.unwrap();
    reads(&mut client, b"down").await;
    // New ones are the new generation's to decide.
    let _second = connect(&site, &handshake("/v1/realtime", "")).await;
    assert!(!behind.next().await.head.to_lowercase().contains("upgrade:"));
    drop((client, server));
    site.metric_becomes("tollgate_generations_drained_total", 1.0)
        .await;
}

#[tokio::test]
async fn a_stop_waits_for_open_connections_and_then_cuts_them() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let (whole, lines) = site.stop_within(Duration::from_millis(50)).await;
    assert!(!whole);
    is_over(&mut client).await;
    is_over(&mut server).await;
    assert_eq!(
        (&lines[0]["ending"], &lines[0]["error"]),
        (&"cut".into(), &"shutting_down".into())
    );
    // One that ends in time holds nobody up longer.
    let site = self::site(&behind, "", "", "").await;
    let (client, server) = open(&site, &mut behind).await;
    let stop = tokio::spawn(site.stop_within(PATIENCE));
    drop((client, server));
    assert!(stop.await.unwrap().0);
}

#[tokio::test]
async fn a_connection_that_was_upgraded_is_not_used_again() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (client, server) = open(&site, &mut behind).await;
    drop((client, server));
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let _client = connect(&site, "GET /next HTTP/1.1\r\nhost: g\r\n\r\n").await;
    // A connection of its own, or this would wait for good.
    assert!(behind.next().await.head.starts_with("GET /next "));
}

#[tokio::test]
async fn an_upstream_that_would_rather_speak_http_2_is_asked_over_http_1_1() {
    let authority = Authority::new("own");
    let issued = authority.server(&["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.certificate.clone()], issued.key())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let config = format!(
        r#"upstreams: {{ realtime: {{ endpoints: [ "https://localhost:{port}" ], ca: ca.pem }} }}
routes: [ {{ upstream: realtime, upgrades: [ websocket ] }} ]
"#
    );
    let site = Site::start_in(folder, &config, "").await;
    let mut client = connect(&site, &handshake("/v1/realtime", "")).await;
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let mut server = acceptor.accept(stream).await.unwrap();
    assert_ne!(server.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let head = read_head(&mut server).await;
    assert!(head.starts_with("GET /v1/realtime HTTP/1.1\r\n"), "{head}");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
    );
    server.write_all(answer.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(b"up").await.unwrap();
    reads(&mut server, b"up").await;
    server.write_all(b"down").await.unwrap();
    server.flush().await.unwrap();
    reads(&mut client, b"down").await;
    drop(client);
    is_over(&mut server).await;
}
