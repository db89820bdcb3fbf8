//! The admin port over a real socket.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Gateway, Options};

const CONFIG: &str = "listen: 127.0.0.1:0
admin: 127.0.0.1:0
plugins: plugins/
upstreams: { up: { dialect: openai, endpoints: [\"http://127.0.0.1:9\"] } }
routes: [ { name: all, match: { path: /v1/* }, upstream: up } ]
";

struct Fixture {
    _keep: tempfile::TempDir,
    file: PathBuf,
    gateway: Gateway,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Fixture {
    async fn start() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let file = keep.path().join("tollgate.yaml");
        std::fs::create_dir(keep.path().join("plugins")).unwrap();
        std::fs::write(&file, CONFIG).unwrap();
        let gateway = Gateway::start(Options {
            instances: 4,
            ..Options::new(&file)
        })
        .await
        .unwrap();
        Self {
            _keep: keep,
            file,
            gateway,
        }
    }

    async fn ask(&self, request_line: &str) -> Answer {
        self.ask_with(
            request_line,
            &format!("host: {}\r\n", self.gateway.admin_addr()),
        )
        .await
    }

    async fn ask_with(&self, request_line: &str, headers: &str) -> Answer {
        ask(
            self.gateway.admin_addr(),
            &format!("{request_line} HTTP/1.1\r\n{headers}connection: close\r\n\r\n"),
        )
        .await
    }
}

async fn ask(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn health_readiness_and_generations_are_shown() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.ask("GET /healthz").await.status, 200);
    assert_eq!(fixture.ask("GET /readyz").await.status, 200);
    let generations = fixture.ask("GET /generations").await.json();
    assert_eq!(generations["generation"], 1);
    assert_eq!(generations["generations"][0]["state"], "live");
    assert_eq!(generations["last_refusal"], Value::Null);
    assert_eq!(
        fixture.ask("GET /policies").await.json()["policies"],
        serde_json::json!([])
    );
    fixture.gateway.status.stop();
    assert_eq!(fixture.ask("GET /readyz").await.status, 503);
    assert_eq!(fixture.ask("GET /healthz").await.status, 200);
}

#[tokio::test]
async fn a_reload_tells_what_came_of_it() {
    let fixture = Fixture::start().await;
    let unchanged = fixture.ask("POST /reload").await;
    assert_eq!(
        (unchanged.status, &unchanged.json()["reloaded"]["swapped"]),
        (200, &Value::Bool(false))
    );

    std::fs::write(&fixture.file, CONFIG.replace("name: all", "name: each")).unwrap();
    let swapped = fixture.ask("POST /reload").await.json();
    assert_eq!(swapped["reloaded"]["generation"], 2);

    std::fs::write(&fixture.file, "colour: blue\n").unwrap();
    let refused = fixture.ask("POST /reload").await;
    assert_eq!(refused.status, 422);
    let message = refused.json()["refused"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("tollgate.yaml:1") && message.contains("colour"),
        "{message}"
    );
    let shown = fixture.ask("GET /generations").await.json();
    assert_eq!(shown["last_refusal"]["message"], message);
    assert_eq!(shown["last_refusal"]["stands"], true);

    let metrics = fixture.ask("GET /metrics").await.body;
    for line in [
        "tollgate_reloads_total{result=\"swapped\"} 1\n",
        "tollgate_reloads_total{result=\"unchanged\"} 1\n",
        "tollgate_reloads_total{result=\"refused\",stage=\"load\"} 1\n",
        "tollgate_change_refused 1\n",
        "tollgate_generation 2\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_get_changes_nothing_and_only_what_is_there_is_served() {
    let fixture = Fixture::start().await;
    std::fs::write(&fixture.file, CONFIG.replace("name: all", "name: each")).unwrap();
    assert_eq!(fixture.ask("GET /reload").await.status, 405);
    assert_eq!(fixture.gateway.generation(), 1);
    for request in ["POST /metrics", "DELETE /generations", "PUT /policies"] {
        assert_eq!(fixture.ask(request).await.status, 405, "{request}");
    }
    for request in ["GET /", "GET /reload/..;/x", "GET //metrics", "GET /debug"] {
        assert_eq!(fixture.ask(request).await.status, 404, "{request}");
    }
}

#[tokio::test]
async fn a_foreign_name_or_page_is_sent_away() {
    let fixture = Fixture::start().await;
    for path in [
        "GET /healthz",
        "GET /metrics",
        "POST /reload",
        "GET /nowhere",
    ] {
        for headers in [
            "host: evil.example\r\n",
            "host: 127.0.0.1\r\nhost: evil.example\r\n",
            "",
        ] {
            assert_eq!(
                fixture.ask_with(path, headers).await.status,
                421,
                "{path} {headers}"
            );
        }
        let page = "host: localhost\r\norigin: https://evil.example\r\n";
        let answer = fixture.ask_with(path, page).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    assert_eq!(
        fixture
            .ask_with("GET /healthz", "host: localhost:1\r\n")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_exposition_is_one_that_prometheus_reads() {
    let fixture = Fixture::start().await;
    let answer = fixture.ask("GET /metrics").await;
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    let mut families = std::collections::BTreeSet::new();
    for line in answer.body.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(
                families.insert(kind.split(' ').next().unwrap().to_owned()),
                "twice: {line}"
            );
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            assert!(
                families.contains(family) || families.contains(name),
                "{line}"
            );
        }
    }
}
