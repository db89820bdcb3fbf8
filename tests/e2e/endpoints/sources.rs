//! Where endpoints come from: a file, and the DNS.

#[allow(dead_code, reason = "the tests of discovery say more")]
#[path = "../../name_server.rs"]
mod name_server;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::authority::Authority;
use name_server::{A, NameServer, SRV, Said as Record, srv};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_their_file_and_a_bad_one_changes_nothing() {
    let (a, b) = (fresh().await, fresh().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.txt");
    std::fs::write(&path, format!("{}\n", a.url())).unwrap();
    let config = everything_to("{ endpoints: { file: endpoints.txt, refresh: 100ms } }");
    let site = Site::start_in(folder, &config, "tokens=2").await;
    until_asked(&site, &a).await;

    replace(&path, &format!("# both\n{}\n{} 3\n", a.url(), b.url()));
    until_asked(&site, &b).await;
    assert_eq!(labels(&site).await, [a.url(), b.url()]);
    assert_eq!(shown(&site).await[1]["weight"], 3);

    replace(&path, &format!("{}\nhttp:/x\n", b.url()));
    let failed = "tollgate_discovery_failed_total";
    until_async("a failed look", async || {
        (site.metric(failed).await > 0.0).then_some(())
    })
    .await;
    assert_eq!(labels(&site).await, [a.url(), b.url()]);
    let page = site.look("/upstreams").await.json();
    let error = page["upstreams"][0]["discovery_error"].as_str().unwrap();
    assert!(error.contains("line 2"), "{error}");

    replace(&path, &format!("{}\n", b.url()));
    until_async("the last", async || {
        (labels(&site).await == [b.url()]).then_some(())
    })
    .await;
    assert_eq!(
        site.look("/upstreams").await.json()["upstreams"][0]["discovery_error"],
        Value::Null
    );
    assert_eq!(a.seen().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_endpoints_that_is_malformed_does_not_go_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.txt");
    let config = everything_to("{ endpoints: [ \"http://UPSTREAM\" ] }");
    let site = Site::start_in(folder, &config, "tokens=2").await;
    site.write_config(&everything_to("{ endpoints: { file: endpoints.txt } }"));
    let missing = site.gateway.reload().await.unwrap_err();
    assert!(missing.message.contains("endpoints.txt"), "{missing}");
    std::fs::write(&path, "http://a b\n").unwrap();
    let malformed = site.gateway.reload().await.unwrap_err();
    assert!(
        malformed.message.contains("line 1: the weight"),
        "{malformed}"
    );
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_the_dns_and_its_failure_changes_nothing() {
    let names = NameServer::start().await;
    names.say_a("models.test", &[[127, 0, 0, 1]]);
    let one = fresh().await;
    let port = one.addr.port();
    let two = standin(([127, 0, 0, 2], port)).await;
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: {{ dns: \"http://models.test:{port}\", refresh: 100ms, resolver: \"{}\" }} }}",
        names.address
    )))
    .await;
    // What the generation began with was found before it went live.
    assert_eq!(site.chat().send().await.status, 200);
    assert_eq!(asked_as(&one), Some(format!("models.test:{port}")));

    names.say_a("models.test", &[[127, 0, 0, 1], [127, 0, 0, 2]]);
    until_asked(&site, &two).await;
    names.say("models.test", A, Record::Failure);
    until_async("a failed look", async || {
        (site.metric("tollgate_discovery_failed_total").await > 0.0).then_some(())
    })
    .await;
    until_asked(&site, &one).await;
    until_asked(&site, &two).await;
    names.say_a("models.test", &[[127, 0, 0, 2]]);
    let only = format!("http://models.test:{port} at 127.0.0.2:{port}");
    until_async("the other", async || {
        (labels(&site).await == [only.clone()]).then_some(())
    })
    .await;
    let served = one.seen().requests;
    for _ in 0..4 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert_eq!(one.seen().requests, served);
    assert_eq!((one.seen().connections, two.seen().connections), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_while_the_dns_fails_keeps_what_was_found() {
    let (names, others) = (NameServer::start().await, NameServer::start().await);
    names.say_a("models.test", &[[127, 0, 0, 1]]);
    others.say("models.test", A, Record::Failure);
    let server = fresh().await;
    let port = server.addr.port();
    let config = |asked: &NameServer, refresh: &str| {
        everything_to(&format!(
            "{{ endpoints: {{ dns: \"http://models.test:{port}\", refresh: {refresh}, resolver: \"{}\" }} }}",
            asked.address
        ))
    };
    let site = Site::start(&config(&names, "100ms")).await;
    assert_eq!(site.chat().send().await.status, 200);
    names.say("models.test", A, Record::Failure);
    let known = [format!("http://models.test:{port} at 127.0.0.1:{port}")];
    for (asked, refresh) in [(&names, "200ms"), (&others, "200ms"), (&others, "100ms")] {
        site.reconfigure(&config(asked, refresh)).await;
        assert_eq!(labels(&site).await, known);
        assert_eq!(site.chat().send().await.status, 200);
    }
    let error =
        async || site.look("/upstreams").await.json()["upstreams"][0]["discovery_error"].clone();
    assert!(error().await.is_string());
    // What was wrong before the reload is over, though the endpoints are the same.
    others.say_a("models.test", &[[127, 0, 0, 1]]);
    until_async("an answer", async || error().await.is_null().then_some(())).await;
    assert_eq!(server.seen().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_mends_discovery_takes_its_error_away() {
    let (names, others) = (NameServer::start().await, NameServer::start().await);
    names.say("models.test", A, Record::Failure);
    others.say_a("models.test", &[[127, 0, 0, 1]]);
    let server = fresh().await;
    let config = |asked: &NameServer| {
        everything_to(&format!(
            "{{ endpoints: {{ dns: \"{}\", refresh: 1h, resolver: \"{}\" }} }}",
            server.url().replace("127.0.0.1", "models.test"),
            asked.address
        ))
    };
    let site = Site::start(&config(&names)).await;
    let error =
        async || site.look("/upstreams").await.json()["upstreams"][0]["discovery_error"].clone();
    assert!(error().await.is_string());
    assert_eq!(site.chat().send().await.status, 503);
    site.reconfigure(&config(&others)).await;
    assert_eq!(error().await, Value::Null);
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_come_from_srv_records_with_their_ports_and_weights() {
    let names = NameServer::start().await;
    let (one, two) = (fresh().await, fresh().await);
    let [near, far] = [&one, &two].map(|server| server.addr.port());
    let say = |records| names.say("_http._tcp.models.test", SRV, Record::Records(records));
    names.say_a("a.test", &[[127, 0, 0, 1]]);
    // Another priority is passed over as long as there is a lower one.
    say(vec![srv(1, 3, near, "a.test"), srv(2, 1, far, "a.test")]);
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: {{ srv: \"http://_http._tcp.models.test\", refresh: 100ms, resolver: \"{}\" }} }}",
        names.address
    )))
    .await;
    for _ in 0..4 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert_eq!((one.seen().requests, two.seen().requests), (4, 0));
    assert_eq!(shown(&site).await[0]["weight"], 3);
    assert_eq!(asked_as(&one), Some(format!("a.test:{near}")));

    say(vec![srv(1, 3, near, "a.test"), srv(1, 1, far, "a.test")]);
    until_asked(&site, &two).await;
    say(vec![srv(1, 1, far, "a.test")]);
    until_async("one endpoint", async || {
        (labels(&site).await.len() == 1).then_some(())
    })
    .await;
    let served = one.seen().requests;
    for _ in 0..4 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert_eq!(one.seen().requests, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_endpoint_requests_fail_at_once_until_one_is_found() {
    let names = NameServer::start().await;
    let server = fresh().await;
    let port = server.addr.port();
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: {{ dns: \"http://late.test:{port}\", refresh: 100ms, resolver: \"{}\" }} }}",
        names.address
    )))
    .await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (503, "no_endpoint_available".to_owned()));
    assert_eq!(
        site.metric("tollgate_upstream_unavailable_total").await,
        1.0
    );
    names.say_a("late.test", &[[127, 0, 0, 1]]);
    until_asked(&site, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_the_dns_is_asked_for_its_certificate_by_name() {
    let authority = Authority::new("the CA");
    let issued = authority.server(&["models.test"]);
    let acceptor = issued.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let named = stream.get_ref().1.server_name().map(str::to_owned);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        (named, String::from_utf8(request).unwrap())
    });
    let names = NameServer::start().await;
    names.say_a("models.test", &[[127, 0, 0, 1]]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let config = everything_to(&format!(
        "{{ ca: ca.pem, endpoints: {{ dns: \"https://models.test:{port}\", resolver: \"{}\" }} }}",
        names.address
    ));
    let site = Site::start_in(folder, &config, "tokens=2").await;
    let answer = site.ask("GET", "/v1/models").send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let (named, request) = server.await.unwrap();
    assert_eq!(named.as_deref(), Some("models.test"));
    assert!(
        request.contains(&format!("host: models.test:{port}\r\n")),
        "{request}"
    );
}
