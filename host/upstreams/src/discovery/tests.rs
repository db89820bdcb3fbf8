//! Sources against a name server and files of the tests' own.

#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#[path = "../../../../tests/name_server.rs"]
mod name_server;

use std::{path::PathBuf, sync::atomic::Ordering};

use name_server::{A, AAAA, NameServer, SRV, Said, srv};
use tokio::{sync::mpsc, task::JoinHandle};
use tollgate_config::{DnsRecord, EndpointDns, EndpointFile};

use super::*;

fn written(server: &NameServer, url: &str, record: DnsRecord) -> EndpointDns {
    EndpointDns {
        url: Endpoint::parse(url).unwrap(),
        record,
        refresh: Some(Duration::from_millis(1)),
        resolver: Some(server.address),
        timeout: Duration::from_secs(20),
    }
}

fn asking(server: &NameServer, url: &str, record: DnsRecord) -> Source {
    Source::Dns(Box::new(DnsSource::new(written(server, url, record))))
}

fn shown(looked: &Looked) -> Vec<String> {
    let found = looked.found.as_ref().unwrap().iter();
    found
        .map(|found| format!("{found} x{}", found.endpoint.weight))
        .collect()
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint() {
    let server = NameServer::start().await;
    server.say_a(
        "vllm.svc",
        &[[10, 0, 0, 2], [10, 0, 0, 1], [10, 0, 0, 2], [0, 0, 0, 0]],
    );
    let six = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap();
    server.say("vllm.svc", AAAA, Said::Records(vec![six.octets().to_vec()]));
    let mut source = asking(&server, "https://vllm.svc/v1", DnsRecord::Address);
    let found = [
        "https://vllm.svc/v1 at 10.0.0.1:443 x1",
        "https://vllm.svc/v1 at 10.0.0.2:443 x1",
        "https://vllm.svc/v1 at [2001:db8::1]:443 x1",
    ];
    assert_eq!(shown(&source.look(false).await), found);
}

#[tokio::test]
async fn the_targets_of_the_best_priority_are_endpoints_with_ports_and_weights() {
    let server = NameServer::start().await;
    let records = vec![
        srv(1, 3, 8001, "a.svc"),
        srv(1, 0, 8002, "b.svc"),
        srv(2, 9, 8003, "c.svc"),
        srv(1, 1, 8004, ""),
        srv(1, 1, 0, "d.svc"),
    ];
    server.say("_http._tcp.vllm", SRV, Said::Records(records));
    server.say_a("a.svc", &[[10, 0, 0, 1], [10, 0, 0, 2]]);
    server.say_a("b.svc", &[[10, 0, 0, 1]]);
    server.say_a("c.svc", &[[10, 0, 0, 9]]);
    let mut source = asking(&server, "http://_http._tcp.vllm/base", DnsRecord::Srv);
    let found = [
        "http://a.svc:8001/base at 10.0.0.1:8001 x3",
        "http://b.svc:8002/base at 10.0.0.1:8002 x1",
        "http://a.svc:8001/base at 10.0.0.2:8001 x3",
    ];
    assert_eq!(shown(&source.look(false).await), found);
}

#[tokio::test]
async fn records_are_asked_for_again_when_they_ran_out() {
    let server = NameServer::start().await;
    server.say_a("a.svc", &[[10, 0, 0, 1]]);
    let dns = EndpointDns {
        refresh: None,
        ..written(&server, "http://a.svc", DnsRecord::Address)
    };
    let mut source = DnsSource::new(dns);
    assert_eq!(source.look(false).await.next, Duration::from_secs(60));
    let before = server.asked.load(Ordering::SeqCst);
    source.look(true).await;
    assert!(
        server.asked.load(Ordering::SeqCst) > before,
        "nothing is cached"
    );
}

#[tokio::test]
async fn an_answer_of_which_a_part_is_missing_is_taken_only_where_nothing_is_known() {
    let server = NameServer::start().await;
    server.say_a("a.svc", &[[10, 0, 0, 1]]);
    server.say("a.svc", AAAA, Said::Failure);
    let mut source = asking(&server, "http://a.svc", DnsRecord::Address);
    assert_eq!(
        shown(&source.look(false).await),
        ["http://a.svc at 10.0.0.1:80 x1"]
    );
    let known = source.look(true).await;
    assert_eq!(known.found.unwrap_err().kind(), "dns");
}

#[tokio::test]
async fn silence_failure_and_emptiness_are_errors_and_pauses_grow() {
    let server = NameServer::start().await;
    for kind in [A, AAAA] {
        server.say("broken.svc", kind, Said::Failure);
        server.say("silent.svc", kind, Said::Nothing);
    }
    let dns = EndpointDns {
        refresh: None,
        ..written(&server, "http://broken.svc", DnsRecord::Address)
    };
    let mut source = DnsSource::new(dns);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let looked = source.look(true).await;
        assert_eq!(looked.found.unwrap_err().kind(), "dns");
        pauses.push(looked.next.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);

    server.say("gone.svc", A, Said::NoSuchName);
    server.say("gone.svc", AAAA, Said::NoSuchName);
    for (name, record) in [
        ("empty.svc", DnsRecord::Address),
        ("gone.svc", DnsRecord::Address),
        ("empty.svc", DnsRecord::Srv),
    ] {
        let dns = EndpointDns {
            refresh: None,
            ..written(&server, &format!("http://{name}"), record)
        };
        let mut empty = DnsSource::new(dns);
        for pause in [1, 2, 4] {
            let looked = empty.look(false).await;
            assert_eq!(looked.found, Err(DiscoveryError::Empty(name.into())));
            assert_eq!(looked.next.as_secs(), pause, "{name}");
        }
    }

    let dns = EndpointDns {
        timeout: Duration::from_millis(50),
        ..written(&server, "http://silent.svc", DnsRecord::Address)
    };
    let looked = DnsSource::new(dns).look(true).await;
    assert_eq!(looked.found.unwrap_err().kind(), "dns");
}

/// Follows a source and hands on what is told, as text.
fn followed(source: Source) -> (mpsc::Receiver<String>, JoinHandle<()>) {
    followed_after((Vec::new(), None), source)
}

/// As [`followed`], with what was found before, and why the last look failed.
fn followed_after(
    before: (Vec<Found>, Option<DiscoveryError>),
    source: Source,
) -> (mpsc::Receiver<String>, JoinHandle<()>) {
    let (send, receive) = mpsc::channel(100);
    let task = tokio::spawn(follow(source, before, Duration::ZERO, move |news| {
        let text = match news {
            News::Endpoints(found) => {
                let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
                shown.join(", ")
            }
            News::Failing(error) => format!("failing: {}", error.kind()),
            News::StillFailing(_) => return,
            News::Mended => "mended".to_owned(),
        };
        let _ = send.try_send(text);
    }));
    (receive, task)
}

#[tokio::test]
async fn what_is_known_goes_on_while_the_dns_fails_and_changes_when_it_does() {
    let server = NameServer::start().await;
    server.say_a("a.svc", &[[10, 0, 0, 1]]);
    let (mut told, task) = followed(asking(&server, "http://a.svc", DnsRecord::Address));
    assert_eq!(told.recv().await.unwrap(), "http://a.svc at 10.0.0.1:80");
    server.say("a.svc", A, Said::Failure);
    assert_eq!(told.recv().await.unwrap(), "failing: dns");
    server.say_a("a.svc", &[]);
    assert_eq!(told.recv().await.unwrap(), "failing: empty");
    server.say_a("a.svc", &[[10, 0, 0, 1]]);
    assert_eq!(told.recv().await.unwrap(), "mended");
    server.say_a("a.svc", &[[10, 0, 0, 2]]);
    assert_eq!(told.recv().await.unwrap(), "http://a.svc at 10.0.0.2:80");
    task.abort();
}

#[tokio::test]
async fn a_failure_from_before_is_over_with_the_first_answer() {
    let server = NameServer::start().await;
    server.say_a("a.svc", &[[10, 0, 0, 1]]);
    let before = DiscoveryError::Empty("a.svc".into());
    let known = vec![Found {
        endpoint: Endpoint::parse("http://a.svc").unwrap(),
        address: Some("10.0.0.1:80".parse().unwrap()),
    }];
    let source = asking(&server, "http://a.svc", DnsRecord::Address);
    let (mut told, task) = followed_after((known, Some(before)), source);
    assert_eq!(told.recv().await.unwrap(), "mended");
    task.abort();
}

#[tokio::test]
async fn targets_that_are_silent_keep_nobody_from_the_others() {
    let server = NameServer::start().await;
    let names = ["a.svc", "b.svc", "c.svc", "d.svc"];
    let records = names.map(|name| srv(1, 1, 80, name));
    server.say("_http._tcp.vllm", SRV, Said::Records(records.into()));
    for name in &names[..3] {
        server.say(name, A, Said::Nothing);
        server.say(name, AAAA, Said::Nothing);
    }
    server.say_a("d.svc", &[[10, 0, 0, 1]]);
    let dns = EndpointDns {
        timeout: Duration::from_millis(500),
        ..written(&server, "http://_http._tcp.vllm", DnsRecord::Srv)
    };
    let mut source = Source::Dns(Box::new(DnsSource::new(dns)));
    let found = shown(&source.look(false).await);
    assert_eq!(found, ["http://d.svc at 10.0.0.1:80 x1"]);
    // Where something is known, a part of an answer is none.
    assert_eq!(source.look(true).await.found.unwrap_err().kind(), "dns");
}

#[tokio::test]
async fn a_look_takes_no_longer_than_it_may_however_many_targets_are_silent() {
    const TARGETS: usize = 20;
    let server = NameServer::start().await;
    let names: Vec<&'static str> = (0..TARGETS)
        .map(|number| &*format!("t{number}.x").leak())
        .collect();
    let records = names.iter().map(|name| srv(1, 1, 80, name));
    server.say("_http._tcp.vllm", SRV, Said::Records(records.collect()));
    for name in names {
        server.say(name, A, Said::Nothing);
        server.say(name, AAAA, Said::Nothing);
    }
    let dns = EndpointDns {
        timeout: Duration::from_secs(600),
        ..written(&server, "http://_http._tcp.vllm", DnsRecord::Srv)
    };
    let most = dns.timeout;
    let asked = server.asked.clone();
    let begun = tokio::time::Instant::now();
    let look = tokio::spawn(async move { DnsSource::new(dns).look(false).await });
    // All of them are asked at once, before any of them is late.
    let all_asked = async {
        while asked.load(Ordering::SeqCst) < 1 + 2 * TARGETS {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, all_asked).await.unwrap();
    tokio::time::pause();
    let looked = look.await.unwrap();
    assert_eq!(looked.found.unwrap_err().kind(), "dns");
    assert!(begun.elapsed() < most + Duration::from_secs(1));
}

#[tokio::test]
async fn a_file_that_is_malformed_or_gone_leaves_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints");
    std::fs::write(&path, "http://a\nhttp://b 2\n").unwrap();
    let file = EndpointFile {
        path: PathBuf::from(&path),
        refresh: Duration::from_millis(1),
    };
    let (mut told, task) = followed(Source::File(FileSource::new(file)));
    assert_eq!(told.recv().await.unwrap(), "http://a, http://b");
    std::fs::write(folder.path().join("new"), "http://a\nhttp:/b").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(told.recv().await.unwrap(), "failing: malformed");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(told.recv().await.unwrap(), "failing: unreadable");
    std::fs::write(folder.path().join("new"), "http://a\nhttp://b 2\n").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(told.recv().await.unwrap(), "mended");
    std::fs::write(folder.path().join("new"), "http://a\nhttp://b 3\n").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(
        told.recv().await.unwrap(),
        "http://a, http://b",
        "a weight is a change"
    );
    task.abort();
}
