//! Sources against a name server and files of the tests' own.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle};
use tollgate_config::{DnsRecord, EndpointDns, EndpointFile};

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What is said of a question.
#[derive(Debug, Clone)]
enum Said {
    Records(Vec<Vec<u8>>),
    Failure,
    Nothing,
}

type Zone = HashMap<(&'static str, u16), Said>;

/// A name server of few words on a port of its own.
struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let zone = Arc::new(Mutex::new(Zone::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(serve(socket, zone.clone(), asked.clone()));
        Self {
            address,
            zone,
            asked,
            task,
        }
    }

    fn say(&self, name: &'static str, kind: u16, said: Said) {
        self.zone.lock().insert((name, kind), said);
    }

    fn say_a(&self, name: &'static str, addresses: &[[u8; 4]]) {
        let records = addresses.iter().map(|address| address.to_vec());
        self.say(name, A, Said::Records(records.collect()));
    }

    fn source(&self, url: &str, record: DnsRecord) -> Source {
        Source::Dns(Box::new(DnsSource::new(self.dns(url, record))))
    }

    fn dns(&self, url: &str, record: DnsRecord) -> EndpointDns {
        EndpointDns {
            url: Endpoint::parse(url).unwrap(),
            record,
            refresh: Some(Duration::from_millis(1)),
            resolver: Some(self.address),
            timeout: Duration::from_secs(20),
        }
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let query = &buffer[..length];
        let (name, end) = name(query);
        let kind = u16::from_be_bytes([query[end], query[end + 1]]);
        asked.fetch_add(1, Ordering::SeqCst);
        let said = zone.lock();
        let said = said
            .iter()
            .find(|((known, of), _)| *known == name && *of == kind);
        let said = said.map_or(Said::Records(Vec::new()), |(_, said)| said.clone());
        let (code, records) = match said {
            Said::Nothing => continue,
            Said::Failure => (2, Vec::new()),
            Said::Records(records) => (0, records),
        };
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1]);
        answer.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        answer.extend([0, 0, 0, 0]);
        answer.extend(&query[12..end + 4]);
        for record in records {
            // The name of the question, its kind, class IN, and a TTL of 60 s.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60]);
            answer.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
            answer.extend(record);
        }
        socket.send_to(&answer, peer).await.unwrap();
    }
}

/// The name that is asked for, and where it ends.
fn name(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    (labels.join("."), at + 1)
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    let mut record = Vec::new();
    for number in [priority, weight, port] {
        record.extend(number.to_be_bytes());
    }
    for label in target.split('.').filter(|label| !label.is_empty()) {
        record.push(u8::try_from(label.len()).unwrap());
        record.extend(label.as_bytes());
    }
    record.push(0);
    record
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
    let mut source = server.source("https://vllm.svc/v1", DnsRecord::Address);
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
    let mut source = server.source("http://_http._tcp.vllm/base", DnsRecord::Srv);
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
        ..server.dns("http://a.svc", DnsRecord::Address)
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
    let mut source = server.source("http://a.svc", DnsRecord::Address);
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
        ..server.dns("http://broken.svc", DnsRecord::Address)
    };
    let mut source = DnsSource::new(dns);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let looked = source.look(true).await;
        assert_eq!(looked.found.unwrap_err().kind(), "dns");
        pauses.push(looked.next.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);

    let mut empty = server.source("http://empty.svc", DnsRecord::Address);
    let looked = empty.look(true).await;
    assert_eq!(looked.found, Err(DiscoveryError::Empty("empty.svc".into())));

    let dns = EndpointDns {
        timeout: Duration::from_millis(50),
        ..server.dns("http://silent.svc", DnsRecord::Address)
    };
    let looked = DnsSource::new(dns).look(true).await;
    assert_eq!(looked.found.unwrap_err().kind(), "dns");
}

/// Follows a source and hands on what is told, as text.
fn followed(source: Source) -> (mpsc::Receiver<String>, JoinHandle<()>) {
    let (send, receive) = mpsc::channel(100);
    let task = tokio::spawn(follow(source, Vec::new(), Duration::ZERO, move |news| {
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
    let (mut told, task) = followed(server.source("http://a.svc", DnsRecord::Address));
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
