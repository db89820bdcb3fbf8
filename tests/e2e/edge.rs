//! The edge of the network: what belongs to one hop stays there, what is too much or too
//! slow is let go, and everything else arrives byte for byte.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::{raw, statuses},
    fixture::{PATIENCE, Site, chat_through, probing},
    framing::{TIGHT, framed, open_site},
};

#[tokio::test]
async fn what_belongs_to_one_hop_stays_there() {
    let site = open_site().await;
    let ask = site
        .ask("POST", "/echo")
        .body("hello")
        .header("connection", "close, X-Secret, keep-alive")
        .header("x-secret", "1");
    let ask = ask
        .header("te", "trailers")
        .header("proxy-authorization", "Basic x")
        .header("proxy-connection", "close");
    let ask = ask
        .header("keep-alive", "timeout=5")
        .header("trailer", "x")
        .header("upgrade", "websocket")
        .header("x-end-to-end", "1");
    assert_eq!(ask.send().await.text(), "hello");
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    for name in [
        "connection",
        "x-secret",
        "te",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "trailer",
        "upgrade",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-end-to-end"), Some("1"));
    assert_eq!(
        request.header("host").unwrap(),
        site.standin.addr.to_string()
    );
    let behaviour = "header=connection:x-hop,header=x-hop:1,header=keep-alive:timeout=5,header=set-cookie:a=1,header=set-cookie:b=2,header=alt-svc:h3";
    let answer = site.chat().behaving(behaviour).send().await;
    for name in ["x-hop", "keep-alive", "alt-svc", "transfer-encoding"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn connection_cannot_take_away_what_a_policy_added() {
    let site = Site::start(&probing(
        "request: { set_headers: { x-tenant: real, authorization: upstream-key } }",
    ))
    .await;
    // Nor by naming the very value that the policy sets.
    for (tenant, key) in [("spoofed", "Bearer mine"), ("real", "upstream-key")] {
        let ask = site
            .chat()
            .header("connection", "x-tenant, authorization")
            .header("x-tenant", tenant);
        assert_eq!(ask.header("authorization", key).send().await.status, 200);
        let seen = site.standin.seen();
        let request = seen.newest().unwrap();
        assert_eq!(request.header_values("x-tenant"), ["real"]);
        assert_eq!(request.header_values("authorization"), ["upstream-key"]);
    }
}

#[tokio::test]
async fn a_route_does_not_go_by_a_field_that_connection_takes_away() {
    let config = r#"
policies: {}
upstreams:
  standin: { endpoints: [ "http://UPSTREAM" ] }
  team: { endpoints: [ "http://UPSTREAM" ], headers: { x-upstream: team } }
models:
  small: { targets: [ { upstream: standin } ] }
  other: { targets: [ { upstream: team } ] }
routes:
  - { match: { path: /v1/models, headers: { x-team: a } }, upstream: team }
  - { match: { path: /v1/chat/completions, headers: { x-team: a }, models: [ "*" ] }, upstream: team }
  - { match: { path: "/*" }, upstream: standin }
"#;
    let site = Site::start(config).await;
    for ask in [site.ask("GET", "/v1/models"), site.chat()] {
        for (connection, upstream) in [("close", Some("team")), ("close, X-Team", None)] {
            let ask = ask.clone().header("x-team", "a");
            let answer = ask.header("connection", connection).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = site.standin.seen();
            assert_eq!(seen.newest().unwrap().header("x-upstream"), upstream);
        }
    }
}

#[tokio::test]
async fn what_a_client_claims_about_itself_is_not_believed() {
    let site = open_site().await;
    let claims = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-tollgate-generation", "9"),
        ("X-Forwarded-Port", "1"),
    ];
    let ask = claims
        .iter()
        .fold(site.chat(), |ask, (name, value)| ask.header(name, *value));
    assert_eq!(
        ask.header("host", "api.example")
            .send()
            .await
            .header("x-tollgate-generation"),
        Some("1")
    );
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    assert_eq!(request.header_values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.header_values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.header_values("x-forwarded-host"), ["api.example"]);
    for name in [
        "forwarded",
        "x-real-ip",
        "x_forwarded_for",
        "x-tollgate-generation",
        "x-forwarded-port",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_request_has_one_id_for_client_upstream_and_log() {
    let site = open_site().await;
    let ids = [
        None,
        Some("mine-0123"),
        Some("two words"),
        Some(&*"x".repeat(500)),
    ];
    let mut given = Vec::new();
    for id in ids {
        let ask = id
            .into_iter()
            .fold(site.chat(), |ask, id| ask.header("x-request-id", id));
        let answer = ask.send().await;
        let shown = answer.header("x-request-id").unwrap().to_owned();
        assert!(!shown.is_empty() && shown.len() <= 128, "{shown}");
        assert_eq!(
            site.standin
                .seen()
                .newest()
                .unwrap()
                .header_values("x-request-id"),
            [shown.as_str()]
        );
        given.push(shown);
    }
    assert_eq!(given[1], "mine-0123");
    assert!(given[2] != "two words");
    let logged = site.exchanges(4).await;
    assert_eq!(
        logged
            .iter()
            .map(|line| line["id"].as_str().unwrap())
            .collect::<Vec<_>>(),
        given
    );
}

#[tokio::test]
async fn a_path_arrives_byte_for_byte_or_not_at_all() {
    let site = open_site().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    for path in [
        "/v1/models",
        "/v1/a%20b",
        "/v1/x;version=2",
        "/v1/x?next=/../y&q=%2e%2e%2f//",
        "/a..b/...",
        "/caf%C3%A9",
        "/a:b@c",
        "/v1/models?",
        "/v1/%7Euser/~",
        "/x?a=b%26c&d=[e]",
    ] {
        let answer = raw(site.gateway.addr(), get(path).as_bytes()).await;
        assert_eq!(statuses(&answer).len(), 1, "{path}: {answer}");
        assert_eq!(site.standin.seen().newest().unwrap().path, path);
    }
    let before = site.standin.seen().requests;
    for path in [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/%61dmin",
        "/v1/.%2E/admin",
        "/v1%2fmodels",
        "/v1%5cmodels",
        "/v1\\models",
        "//v1/models",
        "/v1//models",
        "/v1/%00",
        "/v1/%0d%0ax",
        "/v1/%c0%ae%c0%ae/x",
        "/admin/..;/x",
        "/v1/./models",
        "/v1/%zz",
        "/v1/%4",
    ] {
        let answer = raw(site.gateway.addr(), get(path).as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{path}: {answer}");
        assert!(answer.contains("ambiguous_path"), "{path}: {answer}");
    }
    assert_eq!(site.standin.seen().requests, before);
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let site = Site::start(&format!("{}{TIGHT}", probing(""))).await;
    let answer = site.chat().header("x-long", "x".repeat(9000)).send().await;
    assert_eq!(answer.refusal(), (431, "headers_too_large".to_owned()));
    let many = (0..300)
        .fold(site.chat(), |ask, at| {
            ask.header(&format!("x-many-{at}"), "1")
        })
        .send()
        .await;
    assert_eq!(many.status, 431);
    let huge = raw(
        site.gateway.addr(),
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "x".repeat(1 << 20)
        )
        .as_bytes(),
    )
    .await;
    assert!(
        statuses(&huge).iter().all(|status| *status == 431),
        "{huge}"
    );
    for path in ["/v1/chat/completions", "/echo"] {
        let answer = site
            .ask("POST", path)
            .body("x".repeat((64 << 10) + 1))
            .send()
            .await;
        assert_eq!(
            answer.refusal(),
            (413, "request_too_large".to_owned()),
            "{path}"
        );
        // Told before a byte of it is sent.
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1099511627776\r\n\r\n");
        let answer = raw(site.gateway.addr(), head.as_bytes()).await;
        assert_eq!(statuses(&answer), [413], "{answer}");
    }
    assert_eq!(site.standin.seen().requests, 0);
    let chunks = format!("{:x}\r\n{}\r\n", 16 << 10, "x".repeat(16 << 10)).repeat(8);
    let endless = framed("transfer-encoding: chunked", &chunks);
    let answer = raw(site.gateway.addr(), endless.as_bytes()).await;
    assert!(
        statuses(&answer).iter().all(|status| *status == 413),
        "{answer}"
    );
    assert_eq!(site.standin.seen().completed, 0);
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test]
async fn a_client_that_dawdles_is_let_go() {
    let site = Site::start(&format!("{}{TIGHT}", chat_through("", ""))).await;
    for (name, bytes) in [
        ("nothing", ""),
        (
            "half a head",
            "GET /v1/models HTTP/1.1\r\nhost: a\r\nx-slow",
        ),
        (
            "a connection at rest",
            "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "half a body",
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 31\r\n\r\n{\"model\":",
        ),
    ] {
        let answer = raw(site.gateway.addr(), bytes.as_bytes()).await;
        match name {
            "half a body" => assert!(answer.contains("request_timeout"), "{answer}"),
            "a connection at rest" => assert_eq!(statuses(&answer), [200]),
            _ => assert!(
                statuses(&answer).iter().all(|status| *status == 408),
                "{name}: {answer}"
            ),
        }
    }
}

#[tokio::test]
async fn http2_is_known_however_its_first_bytes_come() {
    let bounds = "\ntimeouts: { header: 1s, idle: 30s }\n";
    let site = Site::start(&(chat_through("", "") + bounds)).await;
    let mut stream = TcpStream::connect(site.gateway.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // Its settings follow the preface, and a ping that comes later.
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let ping = b"\0\0\x08\x06\0\0\0\0\0a question";
    for piece in [&b"P"[..], b"RI", b" * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings] {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Longer than the head of a request may take.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stream.write_all(&ping[..17]).await.unwrap();
    let mut came = Vec::new();
    while !came.windows(8).any(|bytes| bytes == &ping[9..17]) {
        let read = timeout(PATIENCE, stream.read_buf(&mut came)).await.unwrap();
        assert!(read.as_ref().is_ok_and(|read| *read > 0), "{came:?}");
    }
}

#[tokio::test]
async fn requests_over_h2c_are_served_like_any_other() {
    let site = Site::start(&probing("mark: one")).await;
    let stream = TcpStream::connect(site.gateway.addr()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) });
    let ask = |stream: bool| {
        let body = json!({ "model": "small", "stream": stream, "messages": [{ "role": "user", "content": "hi" }] });
        let uri = format!("http://{}/v1/chat/completions", site.gateway.addr());
        let request = Request::post(uri).header("content-type", "application/json");
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let mut sender = sender.clone();
        async move { sender.send_request(request).await.unwrap() }
    };
    // At once, over one connection.
    let (plain, streamed) = tokio::join!(ask(false), ask(true));
    assert_eq!(
        (plain.status(), plain.version()),
        (http::StatusCode::OK, http::Version::HTTP_2)
    );
    let plain = String::from_utf8(
        plain
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
    .unwrap();
    assert!(plain.contains(r#""mark":"one""#), "{plain}");
    let streamed = String::from_utf8(
        streamed
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
    .unwrap();
    assert!(
        streamed.contains(r#""mark":"one""#) && streamed.ends_with("data: [DONE]\n\n"),
        "{streamed}"
    );
    // A client that resets its stream is one that left.
    let stalled = ask(true).await;
    drop(stalled);
    drop(sender);
    driver.abort();
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(site.exchanges(3).await.len(), 3);
}
