//! Handshakes that come to nothing, and where one ends.

use super::*;

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
async fn an_upstream_that_would_rather_speak_http_2_is_asked_over_http_1_1() {
    let authority = Authority::new("own");
    let issued = authority.server(&["localhost"]);
    let mut tls = issued.server_config();
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
