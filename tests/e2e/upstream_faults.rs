//! Upstreams that fail, each in its own way: what another try may follow, what the client
//! gets, and what the log tells of it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::fixture::{PATIENCE, Site};

mod blame;
mod broken;
mod deadlines;
mod fallback;
mod hedging;
mod late;
mod retries;
mod stuck;
mod trickle;
mod turns;

/// A stand-in that always behaves so, unless a request says otherwise.
async fn standin(behaviour: &str) -> Standin {
    let options = StandinOptions {
        keep: 256,
        ..StandinOptions::behaving(behaviour).unwrap()
    };
    Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap()
}

/// A port that is taken and refuses connections.
struct Refusing {
    addr: SocketAddr,
    _socket: TcpSocket,
}

fn refusing() -> Refusing {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    Refusing {
        addr: socket.local_addr().unwrap(),
        _socket: socket,
    }
}

/// A server that answers every request with the same bytes and hangs up.
struct Babbling {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Babbling {
    async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 16 * 1024]).await;
                let _ = stream.write_all(answer).await;
                tokio::spawn(hang_up(stream));
            }
        });
        Self { addr, task }
    }
}

/// Ends a connection in order: one with bytes that nobody has read is reset, and what was
/// sent on it may be lost.
async fn hang_up(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

impl Drop for Babbling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The model `small` at one upstream with these endpoints.
fn at(endpoints: &[String], model: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|url| format!("{url:?}")).collect();
    format!(
        r#"
upstreams: {{ near: {{ endpoints: [ {} ] }} }}
models: {{ small: {{ targets: [ {{ upstream: near }} ], {model} }} }}
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#,
        endpoints.join(", ")
    )
}

/// Two targets, one in line behind the other.
fn in_line(first: &str, second: &str, model: &str) -> String {
    format!(
        r#"
upstreams:
  near: {{ endpoints: [ "{first}" ] }}
  far: {{ endpoints: [ "{second}" ] }}
models:
  small: {{ targets: [ {{ upstream: near }} ], fallback: [ {{ upstream: far, model: other }} ], {model} }}
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#
    )
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

/// The outcomes of the tries in a line of the log.
fn outcomes(line: &Value) -> Vec<&str> {
    let tries = line["tries"].as_array().into_iter().flatten();
    tries
        .map(|tried| tried["outcome"].as_str().unwrap())
        .collect()
}

/// Asks until the endpoint that is no good was asked, so many times at most: the line of the
/// log of the exchange in which it was. All are answered.
async fn ask_until_tried(site: &Site) -> Value {
    for count in 1..=8 {
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let line = site.exchanges(count).await.pop().unwrap();
        if !line["tries"].is_null() {
            return line;
        }
    }
    panic!("it was never asked");
}

/// The first answer that is no success, of so many at most.
async fn first_failure(site: &Site) -> crate::client::Answer {
    for _ in 0..8 {
        let answer = site.chat().send().await;
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("none failed");
}
