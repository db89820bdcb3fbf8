//! A gateway on a folder, and a neighbour who asks all the time.

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};
use tollgate::{
    Gateway, Options,
    demo::standin::{Standin, StandinOptions},
};

use super::folder::{Folder, Start};
use crate::{
    client::{Answer, Ask},
    fixture::PATIENCE,
};

/// A gateway that follows a folder.
pub(super) struct Ground {
    pub(super) gateway: Gateway,
    pub(super) folder: Folder,
    neighbour: Neighbour,
    _standin: Standin,
}

impl Ground {
    pub(super) async fn start(start: Start) -> Self {
        Self::prepared(start, |folder| folder.save(folder.config("one"))).await
    }

    /// The folder is laid out by `prepare`; its file `tollgate.yaml` is followed.
    pub(super) async fn prepared(start: Start, prepare: impl FnOnce(&Folder)) -> Self {
        Self::following(start, "tollgate.yaml", prepare).await
    }

    /// As [`prepared`](Self::prepared), with another file in the folder.
    pub(super) async fn following(start: Start, file: &str, prepare: impl FnOnce(&Folder)) -> Self {
        let standin = standin().await;
        let folder = Folder::empty(start, &standin.addr.to_string());
        prepare(&folder);
        let gateway = Gateway::start(options(&folder.path.join(file)))
            .await
            .unwrap();
        let neighbour = Neighbour::of(gateway.addr());
        let ground = Self {
            gateway,
            folder,
            neighbour,
            _standin: standin,
        };
        ground.neighbour.asks_again().await;
        ground
    }

    /// What a new client's answer is marked with.
    pub(super) async fn mark(&self) -> String {
        mark(&Ask::chat(self.gateway.addr(), "small").send().await)
    }

    /// Waits until that is so, for the neighbour too.
    pub(super) async fn becomes(&self, expected: &str) {
        eventually(&format!("the answer is marked `{expected}`"), async || {
            (self.mark().await == expected).then_some(())
        })
        .await;
        self.neighbour.asks_again().await;
        assert_eq!(self.neighbour.last(), expected);
    }

    /// Claims that every answer the neighbour ever had is marked with one of these.
    pub(super) async fn neighbour_saw(&self, marks: &[&str]) {
        self.neighbour.asks_again().await;
        let seen = self.neighbour.seen.lock().unwrap().marks.clone();
        let known: BTreeSet<String> = marks.iter().map(|mark| (*mark).to_owned()).collect();
        assert!(seen.is_subset(&known), "saw {seen:?}");
    }

    pub(super) async fn generations(&self) -> Value {
        self.look("/generations").await.json()
    }

    pub(super) async fn look(&self, path: &str) -> Answer {
        Ask::new(self.gateway.admin_addr(), "GET", path)
            .send()
            .await
    }

    /// `POST /reload`: the status and what it says.
    pub(super) async fn reload(&self) -> (u16, Value) {
        let answer = Ask::new(self.gateway.admin_addr(), "POST", "/reload")
            .send()
            .await;
        (answer.status, answer.json())
    }

    /// Asks for a look, and claims that there was nothing new.
    pub(super) async fn has_nothing_new(&self, generation: u64) {
        let (status, said) = self.reload().await;
        assert_eq!(
            (status, &said["reloaded"]["swapped"]),
            (200, &json!(false)),
            "{said}"
        );
        assert_eq!(self.gateway.generation(), generation);
    }

    /// The sum of the samples on `/metrics` that begin so.
    pub(super) async fn metric(&self, beginning: &str) -> f64 {
        let text = self.look("/metrics").await.text();
        let samples = text.lines().filter(|line| line.starts_with(beginning));
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a refusal stands, and returns it as the admin port shows it.
    pub(super) async fn refusal(&self) -> Value {
        eventually("a refusal that stands", async || {
            let last = &self.generations().await["last_refusal"];
            (last["stands"] == true).then(|| last.clone())
        })
        .await
    }
}

/// What the gateway stands before.
pub(super) async fn standin() -> Standin {
    let options = StandinOptions::behaving("tokens=3").unwrap();
    Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap()
}

pub(super) fn options(config: &Path) -> Options {
    Options {
        instances: 64,
        compiler: Some(env!("CARGO_BIN_EXE_tollgate").into()),
        ..Options::new(config)
    }
}

/// The mark of the configuration, and after a `+` the greeting of the plugin.
pub(super) fn mark(answer: &Answer) -> String {
    if answer.status != 200 {
        return format!("status {}: {}", answer.status, answer.text());
    }
    mark_of(&answer.json())
}

fn mark_of(answer: &Value) -> String {
    let mark = answer["system_fingerprint"].as_str().unwrap_or("none");
    match answer["greeting"].as_str() {
        Some(greeting) => format!("{mark}+{}", greeting.rsplit(' ').next().unwrap_or_default()),
        None => mark.to_owned(),
    }
}

/// Asks again and again until there is an answer.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// Between two of the neighbour's requests.
const PACE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Seen {
    asked: u64,
    last: String,
    marks: BTreeSet<String>,
}

/// A client who asks all the time, over one connection that it never closes.
struct Neighbour {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Neighbour {
    fn of(gateway: SocketAddr) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(ask_for_ever(gateway, Arc::clone(&seen)));
        Self { seen, task }
    }

    fn last(&self) -> String {
        self.seen.lock().unwrap().last.clone()
    }

    /// Waits for an answer to a request that has not been sent yet.
    async fn asks_again(&self) {
        let asked = || self.seen.lock().unwrap().asked;
        let before = asked();
        eventually("the neighbour's answer", async || {
            (asked() >= before + 2).then_some(())
        })
        .await;
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask_for_ever(gateway: SocketAddr, seen: Arc<Mutex<Seen>>) {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    loop {
        let answer = ask(&mut sender, gateway).await;
        let failed = answer.is_err();
        let mark = answer.unwrap_or_else(|error| format!("failed: {error}"));
        {
            let mut seen = seen.lock().unwrap();
            seen.asked += 1;
            seen.last.clone_from(&mark);
            seen.marks.insert(mark);
        }
        if failed {
            driver.abort();
            return;
        }
        sleep(PACE).await;
    }
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    gateway: SocketAddr,
) -> Result<String, hyper::Error> {
    let body = json!({ "model": "small", "max_tokens": 3, "messages": [{ "role": "user", "content": "Hello." }] });
    let request = Request::post("/v1/chat/completions")
        .header("host", gateway.to_string())
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap();
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(match serde_json::from_slice(&body) {
        Ok(answer) if status == 200 => mark_of(&answer),
        _ => format!("status {status}: {}", String::from_utf8_lossy(&body)),
    })
}
