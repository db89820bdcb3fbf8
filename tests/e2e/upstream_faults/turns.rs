//! A try that follows another, while others wait for their turn.

use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::{authority::Authority, client::Ask};

/// A request, by its head, and where its answer goes.
struct Heard {
    head: String,
    stream: TcpStream,
}

impl Heard {
    async fn next(came: &mut mpsc::Receiver<Self>) -> Self {
        timeout(PATIENCE, came.recv()).await.unwrap().unwrap()
    }

    fn is_from(&self, name: &str) -> bool {
        self.head.contains(&format!("x-name: {name}\r\n"))
    }

    async fn answer(mut self, status: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        hang_up(self.stream).await;
    }
}

/// A server that leaves its answers to the test.
async fn server(heard: &mpsc::Sender<Heard>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, heard) = (listener.local_addr().unwrap(), heard.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.unwrap() > 0);
            }
            let head = String::from_utf8(head).unwrap();
            heard.send(Heard { head, stream }).await.unwrap();
        }
    });
    addr
}

fn ask(ask: Ask) -> JoinHandle<u16> {
    tokio::spawn(async move { ask.send().await.status })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_goes_on_with_the_place_that_its_exchange_had() {
    let (sender, mut came) = mpsc::channel(8);
    let endpoints = [url(server(&sender).await), url(server(&sender).await)];
    let bounds = "concurrency: { total: 1, queue: { length: 4, timeout: 10m } }";
    let config = at(&endpoints, "retries: { on: [ 503 ] }");
    let config = config.replacen(" ] } }", &format!(" ], {bounds} }} }}"), 1);
    let site = Site::start(&config).await;
    let by = |name: &str| ask(site.chat().header("x-name", name));

    let first = by("a");
    let asked = Heard::next(&mut came).await;
    assert!(asked.is_from("a"));
    let second = by("b");
    site.metric_becomes(r#"tollgate_gate_waiting{upstream="near"}"#, 1.0)
        .await;
    asked.answer("503 Service Unavailable").await;
    for name in ["a", "b"] {
        let asked = Heard::next(&mut came).await;
        assert!(asked.is_from(name), "{}", asked.head);
        asked.answer("200 OK").await;
    }
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    site.metric_becomes("tollgate_gate_in_use", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_keeps_a_place_while_a_slow_client_is_waited_for() {
    let good = standin("").await;
    // It is left before it could be sent anything.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = format!("https://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), Authority::new("own").pem()).unwrap();
    let config = in_line(&near, &good.url(), "");
    let config = config.replace("path: /v1/chat/completions", "path: /v2/*");
    let config = config.replacen(" ] }", " ], ca: ca.pem, concurrency: { total: 1 } }", 1);
    let by_prompt = "balance: { consistent-hash: { on: { prompt: 1KiB } } }";
    let far = format!("\"{}\" ]", good.url());
    let config = config.replacen(&far, &format!("{far}, {by_prompt}"), 1);
    let site = Site::start_in(folder, &config, "").await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let head = "POST /v2/models/small/infer HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    drop(listener.accept().await.unwrap());
    site.metric_becomes(r#"tollgate_gate_in_use{upstream="near"}"#, 0.0)
        .await;
    assert_eq!(good.seen().requests, 0, "it is waited for");
    client.write_all(b"}").await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_ne!(&answer, b"HTTP/1.1 502");
    assert_eq!(good.seen().requests, 1);
}
