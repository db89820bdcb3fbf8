//! An upstream that says a little, again and again, and comes to no end.

use super::*;

/// Every piece resets the time between two pieces; what ends such an answer is the whole's.
const WAITS: &str = "timeouts: { between_bytes: 20s, total: 1s }";

async fn given_back(site: &Site, trickling: &Standin) {
    let left = trickling.wait_for(PATIENCE, |seen| seen.in_flight == 0);
    assert!(left.await.is_some(), "the upstream's exchange goes on");
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    site.metric_becomes("tollgate_gate_in_use", 0.0).await;
}

fn bounded(standin: &Standin) -> String {
    let config = at(&[standin.url()], WAITS);
    config.replace(" ] } }", " ], concurrency: { endpoint: 1 } } }")
}

#[tokio::test]
async fn a_plain_answer_that_trickles_is_cut_when_the_exchange_has_had_its_time() {
    let trickling = standin("big=100000,trickle=20ms").await;
    let site = Site::start(&bounded(&trickling)).await;
    let answer = site.chat().stream().await;
    assert_eq!(answer.status, 200);
    assert!(answer.try_text().await.is_err());
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["error"], "exchange_timeout", "{line}");
    given_back(&site, &trickling).await;
}

#[tokio::test]
async fn a_short_document_that_trickles_is_an_error_from_the_start() {
    let trickling = standin("trickle=20ms").await;
    let site = Site::start(&bounded(&trickling)).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (504, "exchange_timeout".to_owned()));
    given_back(&site, &trickling).await;
}

#[tokio::test]
async fn a_stream_that_trickles_ends_with_an_error_when_the_exchange_has_had_its_time() {
    let trickling = standin("trickle=20ms").await;
    let site = Site::start(&bounded(&trickling)).await;
    let answer = site.streamed().stream().await;
    assert_eq!(answer.status, 200);
    let collected = answer.collect().await;
    assert_eq!(collected.error_code().as_deref(), Some("exchange_timeout"));
    given_back(&site, &trickling).await;
}

#[tokio::test]
async fn a_stream_of_comments_alone_has_no_first_token_and_is_given_up_for_the_next() {
    let (idle, far) = (Idling::start().await, standin("").await);
    let first = "timeouts: { between_bytes: 20s, first_token: 300ms }";
    let site = Site::start(&in_line(&url(idle.addr), &far.url(), first)).await;
    let collected = site.streamed().stream().await.collect().await;
    assert!(collected.is_complete(), "{}", collected.text());
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["first_byte_timeout"], "{line}");
}

/// Streams comments, as servers do to keep a connection alive, and nothing else.
struct Idling {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Idling {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 16 * 1024]).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(b": still here\n\n").await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        Self { addr, task }
    }
}

impl Drop for Idling {
    fn drop(&mut self) {
        self.task.abort();
    }
}
