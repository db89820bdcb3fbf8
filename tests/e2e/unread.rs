//! Clients that ask and then take nothing, or hang up as soon as they have what they
//! came for.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::fixture::{PATIENCE, Site, chat_through, probing};

const SOON: &str = "\ntimeouts: { total: 2s }\nlimits: { response_buffer: 32MiB }\n";
/// More than all buffers on the way hold.
const ENDLESS: &str = "tokens=1000000,pace=0ms";

fn chat(stream: bool, behaviour: &str) -> String {
    let body = format!(r#"{{"model":"small","stream":{stream},"messages":[]}}"#);
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-standin: {behaviour}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Asks over a connection that holds little, and reads nothing.
async fn ask_and_ignore(addr: SocketAddr, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn is_timed_out(site: &Site, count: usize) {
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let lines = site.exchanges(count).await;
    let line = lines.last().unwrap();
    assert_eq!(
        (&line["ending"], &line["error"], &line["status"]),
        (&"timed_out".into(), &"exchange_timeout".into(), &200.into()),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_ends_in_time_though_its_client_takes_nothing() {
    for config in [chat_through("", ""), probing("mark: one")] {
        let site = Site::start(&(config + SOON)).await;
        // Whether another request is waiting behind it or not.
        let two = chat(true, ENDLESS) + &chat(true, ENDLESS);
        for (count, request) in [(1, chat(true, ENDLESS)), (2, two)] {
            let client = ask_and_ignore(site.gateway.addr(), &request).await;
            site.seen("the upstream's stream is given up", |seen| {
                seen.cancelled == count
            })
            .await;
            is_timed_out(&site, count as usize).await;
            site.metric_becomes("tollgate_connections_open", 0.0).await;
            drop(client);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_answer_that_is_not_taken_ends_in_time_too() {
    let site = Site::start(&(chat_through("", "") + SOON)).await;
    let request = chat(false, "big=20000000");
    let client = ask_and_ignore(site.gateway.addr(), &request).await;
    site.metric_becomes("tollgate_exchanges_open", 1.0).await;
    is_timed_out(&site, 1).await;
    site.metric_becomes("tollgate_connections_open", 0.0).await;
    drop(client);
}

/// It is the client's to take by then, and others may be waiting for the endpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_came_keeps_no_place_at_the_endpoint() {
    let bounds = "concurrency: { endpoint: 1, queue: { timeout: 10m } }";
    let config = probing("mark: one").replace(
        "endpoints: [ \"http://UPSTREAM\" ]",
        &format!("endpoints: [ \"http://UPSTREAM\" ], {bounds}"),
    );
    let site = Site::start(&(config + "\nlimits: { response_buffer: 32MiB }\n")).await;
    let request = chat(false, "big=20000000");
    let client = ask_and_ignore(site.gateway.addr(), &request).await;
    site.seen("the answer", |seen| seen.completed == 1).await;
    assert_eq!(site.chat().send().await.status, 200);
    site.metric_becomes("tollgate_gate_in_use", 0.0).await;
    assert_eq!(site.metric("tollgate_exchanges_open").await, 1.0);
    drop(client);
}

/// What the policies had to see whole is at hand, and given away piece by piece.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_a_plain_answer_that_is_not_taken_ends_in_time_too() {
    for config in [chat_through("", ""), probing("mark: one")] {
        let site = Site::start(&(config + SOON)).await;
        let (mut sender, driver) = h2_client(site.gateway.addr()).await;
        let ignored = sender.send_request(h2_chat(&site, false, "big=6000000"));
        let ignored = ignored.await.unwrap();
        site.metric_becomes("tollgate_exchanges_open", 1.0).await;
        is_timed_out(&site, 1).await;
        let taken = sender
            .send_request(h2_chat(&site, false, "big=600000"))
            .await;
        let taken = taken.unwrap().into_body().collect().await.unwrap();
        assert!(taken.to_bytes().len() > 600_000);
        assert_eq!(site.exchanges(2).await[1]["ending"], "complete");
        assert!(ignored.into_body().collect().await.is_err());
        driver.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_only_the_stream_that_is_not_taken_is_ended() {
    for config in [chat_through("", ""), probing("mark: one")] {
        let site = Site::start(&(config + SOON)).await;
        let (mut sender, driver) = h2_client(site.gateway.addr()).await;
        let ignored = sender
            .send_request(h2_chat(&site, true, ENDLESS))
            .await
            .unwrap();
        assert_eq!(ignored.status(), 200);
        site.seen("the upstream's stream is given up", |seen| {
            seen.cancelled == 1
        })
        .await;
        is_timed_out(&site, 1).await;
        let taken = sender.send_request(h2_chat(&site, true, "tokens=8")).await;
        let taken = taken.unwrap().into_body().collect().await.unwrap();
        assert!(taken.to_bytes().ends_with(b"data: [DONE]\n\n"));
        assert!(ignored.into_body().collect().await.is_err());
        driver.abort();
    }
}

async fn h2_client(addr: SocketAddr) -> (http2::SendRequest<Full<Bytes>>, JoinHandle<()>) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(1 << 16);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

fn h2_chat(site: &Site, stream: bool, behaviour: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://{}/v1/chat/completions", site.gateway.addr());
    let body = format!(r#"{{"model":"small","stream":{stream},"messages":[]}}"#);
    let request = Request::post(uri).header("content-type", "application/json");
    request
        .header("x-standin", behaviour)
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_at_the_mark_had_a_whole_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap().to_string();
    let upstream_task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let events =
            "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{events}\r\n",
            events.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Its transport does not end by itself.
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
    });
    let site = Site::start(&chat_through("", "").replace("UPSTREAM", &upstream)).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    client
        .write_all(chat(true, "tokens=1").as_bytes())
        .await
        .unwrap();
    let mut came = Vec::new();
    while !came.windows(6).any(|bytes| bytes == b"[DONE]") {
        let read = timeout(PATIENCE, client.read_buf(&mut came)).await;
        assert!(read.unwrap().unwrap() > 0, "{came:?}");
    }
    drop(client);
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["ending"], "complete", "{line}");
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&3.into(), &4.into())
    );
    assert_eq!(site.exchanges(1).await.len(), 1);
    upstream_task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_whole_answer_is_not_at_rest() {
    let bounds = "\ntimeouts: { idle: 1500ms }\nlimits: { response_buffer: 32MiB }\n";
    let site = Site::start(&(probing("mark: one") + bounds)).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let request = chat(false, "big=24000000");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut came = 0;
    let mut piece = vec![0; 1 << 19];
    while came < 24_000_000 {
        tokio::time::sleep(Duration::from_millis(75)).await;
        let read = timeout(PATIENCE, client.read(&mut piece)).await.unwrap();
        assert!(
            read.as_ref().is_ok_and(|read| *read > 0),
            "{came}: {read:?}"
        );
        came += read.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_a_slow_reader_of_a_whole_answer_is_not_at_rest_either() {
    let bounds = "\ntimeouts: { idle: 1s }\nlimits: { response_buffer: 32MiB }\n";
    let site = Site::start(&(probing("mark: one") + bounds)).await;
    let (mut sender, driver) = h2_client(site.gateway.addr()).await;
    let answer = sender.send_request(h2_chat(&site, false, "big=6000000"));
    let mut body = answer.await.unwrap().into_body();
    let mut came = 0;
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.unwrap() {
        let frame = frame.unwrap_or_else(|error| panic!("{came}: {error:?}"));
        came += frame.data_ref().map_or(0, Bytes::len);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(came > 6_000_000, "{came}");
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["bytes_out"], came, "{line}");
    driver.abort();
}
