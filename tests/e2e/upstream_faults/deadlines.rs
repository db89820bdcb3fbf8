//! How long an exchange may take, who says so, and what the upstream is told of it.

use super::*;

const TIMEOUT: &str = "x-request-timeout-ms";

/// What the newest request was told, in milliseconds.
fn told(standin: &Standin) -> Option<u64> {
    let seen = standin.seen();
    let told = seen.newest().unwrap().header(TIMEOUT)?;
    Some(told.parse().unwrap())
}

#[tokio::test]
async fn a_client_bounds_its_exchange_as_far_as_the_operator_lets_it() {
    let near = standin("stall-before").await;
    let site = Site::start(&at(&[near.url()], "")).await;
    let asked = site.chat().header(TIMEOUT, "200").send().await;
    assert_eq!(asked.refusal(), (504, "exchange_timeout".to_owned()));
    // No client makes it longer.
    let capped = "timeouts: { total: 200ms, max_total: 300ms }";
    let site = Site::start(&at(&[near.url()], capped)).await;
    for asked in ["3600000", "never"] {
        let answer = site.chat().header(TIMEOUT, asked).send().await;
        assert_eq!(answer.refusal(), (504, "exchange_timeout".to_owned()));
        let told = told(&near).unwrap();
        assert!((1..=300).contains(&told), "{asked}: {told}");
    }
}

#[tokio::test]
async fn what_is_left_goes_on_where_somebody_bounds_the_exchange() {
    let near = standin("").await;
    let site = Site::start(&at(&[near.url()], "")).await;
    assert_eq!(site.chat().send().await.status, 200);
    assert_eq!(told(&near), None);
    assert_eq!(
        site.chat().header(TIMEOUT, "60000").send().await.status,
        200
    );
    assert!((1..=60_000).contains(&told(&near).unwrap()));
    let site = Site::start(&at(&[near.url()], "timeouts: { total: 90s }")).await;
    assert_eq!(site.chat().send().await.status, 200);
    assert!((60_001..=90_000).contains(&told(&near).unwrap()));
}

#[tokio::test]
async fn the_whole_exchange_is_bounded_however_many_tries_there_are() {
    let near = standin("fail=503").await;
    let model = "retries: { count: 10, on: [ 503 ], backoff: 2m, max_backoff: 2m, budget: 100 }, timeouts: { total: 1s }";
    let site = Site::start(&at(&[near.url()], model)).await;
    // A pause that would end after the deadline is not begun: the last answer passes.
    assert_eq!(site.chat().send().await.status, 503);
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["attempts"], near.seen().requests, "{line}");
    assert!(near.seen().requests < 4, "{line}");
}

#[tokio::test]
async fn a_model_waits_less_for_a_connection_than_the_rest() {
    // Its queue of connections is full, so nobody ever accepts or refuses another.
    let listener = TcpSocket::new_v4().unwrap();
    listener.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = listener.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    let mut is_full = false;
    while !is_full {
        assert!(filling.len() < 64, "its queue takes all");
        let connecting = TcpStream::connect(addr);
        match tokio::time::timeout(std::time::Duration::from_millis(300), connecting).await {
            Ok(connected) => filling.push(connected.unwrap()),
            Err(_) => is_full = true,
        }
    }
    let far = standin("").await;
    let soon = "timeouts: { connect: 200ms }";
    let site = Site::start(&in_line(&url(addr), &far.url(), soon)).await;
    assert_eq!(site.chat().send().await.status, 200);
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["connect_timeout"]);
    let site = Site::start(&at(&[url(addr)], soon)).await;
    assert_eq!(
        site.chat().send().await.refusal(),
        (504, "upstream_connect_timeout".to_owned())
    );
}

#[tokio::test]
async fn an_upstream_that_does_not_read_an_upload_is_late() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let config = format!(
        "upstreams: {{ deaf: {{ endpoints: [ \"{}\" ] }} }}\n\
         routes: [ {{ upstream: deaf, timeouts: {{ first_byte: 300ms }} }} ]\n",
        url(listener.local_addr().unwrap())
    );
    let site = Site::start(&config).await;
    let mut client = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let sending = tokio::spawn(async move {
        let length = 9 << 20;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        // The gateway hangs up on it.
        let _ = client.write_all(&vec![b'x'; length]).await;
    });
    let _heard = listener.accept().await.unwrap();
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["error"], "upstream_timeout", "{line}");
    assert_eq!(outcomes(&line), ["first_byte_timeout"]);
    sending.abort();
}

#[tokio::test]
async fn a_body_that_is_awaited_when_the_time_is_over_is_no_client_that_stopped() {
    let near = standin("").await;
    let site = Site::start(&at(&[near.url()], "")).await;
    let half = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{TIMEOUT}: 200\r\n\
         content-type: application/json\r\ncontent-length: 90\r\n\r\n{{\"model\":"
    );
    let answer = crate::client::raw(site.gateway.addr(), half.as_bytes()).await;
    assert!(answer.contains("exchange_timeout"), "{answer}");
}
