//! A name server of few words, for tests, on a loopback port of its own.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// What is said of a question.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Records(Vec<Vec<u8>>),
    Failure,
    NoSuchName,
    Nothing,
}

type Zone = HashMap<(&'static str, u16), Said>;

/// A name server of few words on a port of its own.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    /// How many questions came.
    pub(crate) asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    pub(crate) async fn start() -> Self {
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

    pub(crate) fn say(&self, name: &'static str, kind: u16, said: Said) {
        self.zone.lock().unwrap().insert((name, kind), said);
    }

    pub(crate) fn say_a(&self, name: &'static str, addresses: &[[u8; 4]]) {
        let records = addresses.iter().map(|address| address.to_vec());
        self.say(name, A, Said::Records(records.collect()));
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
        let said = said_of(&zone.lock().unwrap(), &name, kind);
        let (code, records) = match said {
            Said::Nothing => continue,
            Said::Failure => (2, Vec::new()),
            Said::NoSuchName => (3, Vec::new()),
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

fn said_of(zone: &Zone, name: &str, kind: u16) -> Said {
    let mut said = zone.iter();
    let said = said.find(|((known, of), _)| *known == name && *of == kind);
    said.map_or(Said::Records(Vec::new()), |(_, said)| said.clone())
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

/// What an SRV record says.
pub(crate) fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
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
