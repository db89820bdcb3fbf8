//! Endpoints that take no more of a request: nobody waits for them for longer than is said,
//! and nothing is held for them.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{authority::Authority, client::Ask};

const HELD: &str = "tollgate_request_bodies_bytes";
/// More than the buffers between the gateway and an endpoint take.
const LONG: usize = 9_500_000;
const IN_A_SECOND: &str = "timeouts: { first_byte: 1s }";

/// Reads a request's beginning, and then nothing for as long as it is there.
struct Stuck {
    addr: SocketAddr,
    /// One for each connection.
    begun: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stuck {
    async fn start(answer: &'static [u8], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (begin, begun) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, begin) = (tls.clone(), begin.clone());
                kept.push(tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            take_a_little(tls.accept(stream).await.unwrap(), answer, &begin).await
                        }
                        None => take_a_little(stream, answer, &begin).await,
                    }
                }));
            }
        });
        Self { addr, begun, task }
    }
}

async fn take_a_little(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    begin: &mpsc::Sender<()>,
) {
    let _ = stream.read_exact(&mut [0; 100]).await;
    let _ = stream.write_all(answer).await;
    let _ = begin.send(()).await;
    std::future::pending().await
}

fn long(site: &Site) -> Ask {
    site.chat().set("user", "u".repeat(LONG))
}

/// A gateway before one that is stuck, over TLS or not.
async fn before(stuck: &Stuck, authority: Option<&Authority>, model: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let Some(authority) = authority else {
        return Site::start(&at(&[url(stuck.addr)], model)).await;
    };
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let url = format!("https://localhost:{}", stuck.addr.port());
    let config = at(&[url], model).replace("endpoints:", "ca: ca.pem, endpoints:");
    Site::start_in(folder, &config, "").await
}

fn over_tls(authority: &Authority) -> TlsAcceptor {
    authority.server(&["localhost"]).acceptor()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_client_left_is_not_held_for_an_endpoint_that_takes_no_more() {
    let authority = Authority::new("own");
    for authority in [None, Some(&authority)] {
        let mut stuck = Stuck::start(b"", authority.map(over_tls)).await;
        let site = before(&stuck, authority, "").await;
        let clients: Vec<_> = (0..3).map(|_| long(&site).begin()).collect();
        for _ in 0..3 {
            stuck.begun.recv().await.unwrap();
        }
        assert!(site.metric(HELD).await > 3.0 * LONG as f64);
        drop(clients);
        site.metric_becomes(HELD, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_was_given_up_is_not_held_for_an_endpoint_that_takes_no_more() {
    let authority = Authority::new("own");
    for authority in [None, Some(&authority)] {
        let stuck = Stuck::start(b"", authority.map(over_tls)).await;
        let site = before(&stuck, authority, IN_A_SECOND).await;
        let answer = long(&site).send().await;
        assert_eq!(answer.refusal(), (504, "upstream_timeout".to_owned()));
        site.metric_becomes(HELD, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_made_of_another_is_counted_until_it_is_let_go() {
    let mut stuck = Stuck::start(b"", None).await;
    let config = at(&[url(stuck.addr)], "fallback: [ { upstream: near } ]");
    let renamed = config.replace("targets: [ { ", "targets: [ { model: renamed, ");
    assert_ne!(renamed, config);
    let site = Site::start(&renamed).await;
    let client = long(&site).begin();
    stuck.begun.recv().await.unwrap();
    assert!(site.metric(HELD).await > 2.0 * LONG as f64, "both are held");
    drop(client);
    site.metric_becomes(HELD, 0.0).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_answered_before_it_was_read_is_held_for_as_long_as_one_waits() {
    const EARLY: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\n{}";
    let stuck = Stuck::start(EARLY, None).await;
    let config = at(&[url(stuck.addr)], "");
    let quick = Site::start(&format!("{config}{IN_A_SECOND}\n")).await;
    let patient = Site::start(&config).await;
    for site in [&quick, &patient] {
        assert_eq!(long(site).send().await.status, 413);
    }
    quick.metric_becomes(HELD, 0.0).await;
    assert!(patient.metric(HELD).await > LONG as f64);
}
