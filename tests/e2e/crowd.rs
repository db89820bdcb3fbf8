//! Ten thousand clients that connect and vanish, at every stage of a request: nothing of
//! them is left.

use std::{fs, net::SocketAddr, path::Path};

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep},
};
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::{client::Ask, fixture::PATIENCE, program::Program};

/// As many as this machine lets a process have, up to here.
const CROWD: usize = 10_000;
/// Descriptors for everything else.
const OTHERS: u64 = 2_000;
/// What one crowd more may leave in the allocator's caches; less than two KiB a client.
const GROWTH_MAX: u64 = 16 << 20;

const BODY: &str =
    r#"{"model":"small","messages":[{"role":"user","content":"Name three rivers."}]}"#;

/// How far a client comes before it vanishes.
fn words(stage: usize) -> Vec<u8> {
    let head = |length: usize| {
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
    };
    // Of those that get a turn, some are in the middle of a stream.
    let streamed = BODY.replace("\"messages\"", "\"stream\":true,\"messages\"");
    let behaviour = "x-standin: stall-before=0ms,tokens=8,stall-after=2\r\ncontent-length";
    let text = match stage % 6 {
        0 => String::new(),
        1 => "POST /v1/chat/comple".into(),
        2 => head(BODY.len() + 1) + BODY,
        3 => head(BODY.len()) + BODY,
        4 => head(streamed.len()).replace("content-length", behaviour) + &streamed,
        _ => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".into(),
    };
    text.into_bytes()
}

/// How many clients there can be: each is a descriptor here and one at the gateway.
fn crowd() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(most.saturating_sub(OTHERS)).unwrap_or(CROWD);
    let crowd = CROWD.min(room);
    if crowd < CROWD {
        eprintln!("{crowd} clients instead of {CROWD}: a process may open {most} files here");
    }
    crowd
}

struct Place {
    program: Program,
    addr: SocketAddr,
    admin: SocketAddr,
}

impl Place {
    async fn start(folder: &Path, upstream: SocketAddr) -> Self {
        let config = folder.join("tollgate.yaml");
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlimits: {{ connections: 20000 }}\n\
             upstreams: {{ standin: {{ endpoints: [ \"http://{upstream}\" ], concurrency: {{ endpoint: 64, queue: {{ length: 500, timeout: 10m }} }} }} }}\n\
             models: {{ small: {{ targets: [ {{ upstream: standin }} ] }} }}\n\
             timeouts: {{ header: 10m, idle: 10m, request_body: 10m, first_byte: 10m }}\n\
             routes: [ {{ match: {{ path: \"/*\" }} }} ]\n"
        );
        fs::write(&config, text).unwrap();
        let program = Program::start(&config);
        let (addr, admin) = (
            program.address("addr").await,
            program.address("admin").await,
        );
        Self {
            program,
            addr,
            admin,
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = Ask::new(self.admin, "GET", "/metrics").send().await.text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    async fn becomes(&self, name: &str, is_it: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + 4 * PATIENCE;
        loop {
            let value = self.metric(name).await;
            if is_it(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {value}");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Resident memory, in bytes.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }

    /// The allocator gives back what is free some time after, as it is asked for more.
    async fn gives_back(&self, most: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.memory() > most {
            assert!(
                Instant::now() < deadline,
                "{} bytes are held",
                self.memory()
            );
            self.metric("tollgate_tasks").await;
        }
    }

    async fn is_visited_by(&self, crowd: usize) {
        let addr = self.addr;
        let connect = |stage: usize| async move {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(&words(stage)).await.unwrap();
            client
        };
        let clients = stream::iter(0..crowd).map(connect).buffer_unordered(64);
        let clients: Vec<_> = clients.collect().await;
        self.becomes("tollgate_connections_open", |open| open == crowd as f64)
            .await;
        self.becomes("tollgate_gate_in_use", |used| used == 64.0)
            .await;
        self.becomes("tollgate_gate_waiting", |waiting| waiting == 500.0)
            .await;
        drop(clients);
        for gauge in [
            "tollgate_connections_open",
            "tollgate_exchanges_open",
            "tollgate_gate_waiting",
            "tollgate_gate_in_use",
        ] {
            self.becomes(gauge, |left| left == 0.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_vanishes_leaves_no_connection_no_task_and_no_memory() {
    let crowd = crowd();
    let options = StandinOptions::behaving("stall-before").unwrap();
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options);
    let standin = standin.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = Place::start(folder.path(), standin.addr).await;
    let before = place.metric("tollgate_tasks").await;
    // The pools towards upstreams have some of their own.
    let settled = |now| now <= before + 8.0;
    // The first warms everything up.
    place.is_visited_by(crowd).await;
    place.becomes("tollgate_tasks", &settled).await;
    let memory = place.memory();
    place.is_visited_by(crowd).await;
    place.becomes("tollgate_tasks", &settled).await;
    place.gives_back(memory + GROWTH_MAX).await;
    let left = standin.seen();
    assert!(left.requests >= 64, "{left:?}");
    assert!(left.streams > 0, "nobody was in the middle of a stream");
    assert_eq!(
        standin
            .wait_for(PATIENCE, |seen| seen.in_flight == 0)
            .await
            .map(|seen| seen.completed),
        Some(0)
    );
}
