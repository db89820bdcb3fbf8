//! Whoever takes nothing is sent nothing: back-pressure runs from one socket to the other,
//! and what the gateway holds in between is bounded.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::fixture::{PATIENCE, Site, chat_through, probing};

/// More than the kernel's buffers on the way and the gateway's hold together.
fn held_max() -> usize {
    let most = |name: &str| -> usize {
        let said = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        said.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    // The sender's, the gateway's two towards it and from it, and what the gateway has in hand.
    2 * most("tcp_wmem") + most("tcp_rmem") + (4 << 20)
}

const SOON: &str = "timeouts: { total: 4s }\nlimits: { request_body: 8GiB }\n";

/// Bytes that came through a socket.
type Moved = Arc<AtomicUsize>;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Events,
}

impl Kind {
    fn head(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n",
            Self::Events => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            }
        }
    }

    fn piece(self) -> Vec<u8> {
        let text = "x".repeat(60_000);
        match self {
            Self::Plain => text.into_bytes(),
            Self::Events => {
                let data = serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
                let event = format!("data: {data}\n\n");
                format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
            }
        }
    }
}

/// An upstream that answers its one request without an end.
async fn endless(kind: Kind) -> (SocketAddr, Moved) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sent = Moved::default();
    let counter = sent.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(kind.head().as_bytes()).await.unwrap();
        let piece = kind.piece();
        loop {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let Ok(written) = stream.write(rest).await else {
                    return;
                };
                counter.fetch_add(written, Ordering::SeqCst);
                rest = &rest[written..];
            }
        }
    });
    (addr, sent)
}

async fn site_before(config: &str, upstream: SocketAddr) -> Site {
    let config = config.replace("UPSTREAM", &upstream.to_string());
    Site::start(&config).await
}

const CHAT: &str = r#"{"model":"small","stream":true,"messages":[]}"#;

/// Asks over a connection that holds little.
async fn ask(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CHAT}",
        CHAT.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn is_over(site: &Site) {
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["ending"], "timed_out", "{line}");
    site.metric_becomes("tollgate_connections_open", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_is_stopped_where_the_client_takes_nothing() {
    let plain = chat_through("", "");
    let cases = [
        (plain.clone(), Kind::Plain),
        (plain, Kind::Events),
        (probing("mark: one"), Kind::Events),
    ];
    for (config, kind) in cases {
        let (upstream, sent) = endless(kind).await;
        let site = site_before(&(config + SOON), upstream).await;
        let client = ask(site.gateway.addr()).await;
        is_over(&site).await;
        let sent = sent.load(Ordering::SeqCst);
        assert!((1..held_max()).contains(&sent), "{kind:?}: {sent}");
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_an_upstream_is_stopped_too() {
    for kind in [Kind::Plain, Kind::Events] {
        let (upstream, sent) = endless(kind).await;
        let site = site_before(&(chat_through("", "") + SOON), upstream).await;
        let stream = TcpStream::connect(site.gateway.addr()).await.unwrap();
        let client = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = client.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let uri = format!("http://{}/v1/chat/completions", site.gateway.addr());
        let request = Request::post(uri).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(CHAT))).unwrap();
        let ignored = timeout(PATIENCE, sender.send_request(request)).await;
        let ignored = ignored.unwrap().unwrap();
        let line = &site.exchanges(1).await[0];
        assert_eq!(line["ending"], "timed_out", "{line}");
        let sent = sent.load(Ordering::SeqCst);
        assert!((1..held_max()).contains(&sent), "{kind:?}: {sent}");
        drop(ignored);
        driver.abort();
    }
}

/// The same upstream, and a client that reads: nothing but the client has stopped it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_is_stopped_by_nothing_else() {
    let (upstream, sent) = endless(Kind::Plain).await;
    let site = site_before(&chat_through("", ""), upstream).await;
    let mut client = ask(site.gateway.addr()).await;
    let mut piece = vec![0; 1 << 16];
    let (mut came, most) = (0, 2 * held_max());
    while came < most {
        let read = timeout(PATIENCE, client.read(&mut piece)).await;
        came += read.unwrap().unwrap();
    }
    assert!(sent.load(Ordering::SeqCst) > held_max());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_stopped_where_the_upstream_takes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let deaf = tokio::spawn(async move {
        let (_stream, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let site = site_before(&(chat_through("", "") + SOON), upstream).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let head = "POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let sent = Moved::default();
    let counter = sent.clone();
    let writer = tokio::spawn(async move {
        let piece = vec![b'x'; 1 << 16];
        while let Ok(written) = client.write(&piece).await {
            counter.fetch_add(written, Ordering::SeqCst);
        }
    });
    is_over(&site).await;
    timeout(PATIENCE, writer).await.unwrap().unwrap();
    let sent = sent.load(Ordering::SeqCst);
    assert!((1..held_max()).contains(&sent), "{sent}");
    deaf.abort();
}
