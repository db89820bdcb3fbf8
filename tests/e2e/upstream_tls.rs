//! Upstreams over TLS: whom the gateway believes, and what it says of the others, to the
//! client and to the log.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    authority::{Authority, Issued, expired, not_yet_valid, of_client, of_server},
    client::{Answer, Ask},
    program::{Program, tollgate},
};

const SECRET: &str = "canary-of-the-secret";

/// A server that keeps all that it was told.
struct Upstream {
    port: u16,
    connections: Arc<AtomicUsize>,
    told: Told,
    task: JoinHandle<()>,
}

type Told = Arc<Mutex<Vec<u8>>>;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

impl Upstream {
    /// Over TLS, with this certificate.
    async fn showing(issued: &Issued) -> Self {
        let acceptor = issued.acceptor();
        Self::serve(move |stream, told| {
            let acceptor = acceptor.clone();
            async move {
                // A client that does not believe it leaves.
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream, told).await;
                }
            }
        })
        .await
    }

    /// Without TLS: it answers whatever it is told first.
    async fn in_the_clear() -> Self {
        Self::serve(|mut stream: TcpStream, told: Told| async move {
            let mut first = Vec::new();
            let _ = stream.read_buf(&mut first).await;
            told.lock().unwrap().extend_from_slice(&first);
            let _ = stream.write_all(ANSWER).await;
        })
        .await
    }

    async fn serve<F>(with: impl Fn(TcpStream, Told) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<AtomicUsize>::default();
        let told = Told::default();
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&told));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                with(stream, Arc::clone(&kept)).await;
            }
        });
        Self {
            port,
            connections,
            told,
            task,
        }
    }

    fn told(&self) -> String {
        String::from_utf8_lossy(&self.told.lock().unwrap()).into_owned()
    }
}

/// Hears one request and answers it.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, told: Told) {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let before = request.len();
        match stream.read_buf(&mut request).await {
            Ok(1..) => told.lock().unwrap().extend_from_slice(&request[before..]),
            _ => return,
        }
    }
    // One that has left already.
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.shutdown().await;
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A gateway before one upstream, with a secret in the request's headers, and a folder.
struct Site {
    program: Program,
    upstream: Upstream,
    _folder: tempfile::TempDir,
}

/// Whom the gateway is to believe.
enum Roots {
    /// The CAs of `ca`.
    Configured(String),
    /// Those of the system alone.
    System(String),
}

impl Site {
    async fn start(upstream: Upstream, roots: Roots) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("ca.pem");
        let (key, text) = match &roots {
            Roots::Configured(text) => (", ca: ca.pem", text),
            Roots::System(text) => ("", text),
        };
        fs::write(&pem, text).unwrap();
        fs::write(folder.path().join("secret.txt"), SECRET).unwrap();
        let config = folder.path().join("tollgate.yaml");
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nsecrets: {{ key: {{ file: secret.txt }} }}\n\
             upstreams: {{ private: {{ dialect: opaque, endpoints: [ \"https://localhost:{}\" ], \
             headers: {{ authorization: \"Bearer ${{secret:key}}\" }}{key} }} }}\n\
             routes: [ {{ upstream: private }} ]\n",
            upstream.port
        );
        fs::write(&config, text).unwrap();
        let mut command = tollgate(&["run", "--log", "json"], &config);
        if let Roots::System(_) = roots {
            command.env("SSL_CERT_FILE", &pem);
        }
        Self {
            program: Program::of(&mut command),
            upstream,
            _folder: folder,
        }
    }

    async fn ask(&self) -> Answer {
        let addr = self.program.address("addr").await;
        let ask = Ask::new(addr, "POST", "/anything").body("the client's words");
        ask.header("x-mine", "the client's header").send().await
    }

    /// Expects that the upstream is not believed, that the log says why, and that neither
    /// side learns what it should not.
    async fn refuses(&self, case: &str, reason: &str) {
        let answer = self.ask().await;
        let refusal = (502, "upstream_unreachable".to_owned());
        assert_eq!(answer.refusal(), refusal, "{case}");
        let text = answer.text();
        for inner in ["localhost", "127.0.0.1", "certificate", "private", SECRET] {
            assert!(!text.contains(inner), "{case}: {inner} in {text}");
        }
        let line = self.program.logged("upstream failed").await;
        assert!(line.contains(reason), "{case}: {line}");
        assert!(line.contains("\"upstream\":\"private\""), "{line}");
        assert!(!line.contains(SECRET), "{line}");
        assert!(self.upstream.connections.load(Ordering::Relaxed) > 0);
        assert_eq!(self.upstream.told(), "", "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_of_a_configured_or_a_system_ca_is_believed() {
    let own = Authority::new("own");
    for roots in [Roots::Configured(own.pem()), Roots::System(own.pem())] {
        let upstream = Upstream::showing(&own.server(&["localhost"])).await;
        let site = Site::start(upstream, roots).await;
        let answer = site.ask().await;
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
        let told = site.upstream.told();
        assert!(told.starts_with("POST /anything HTTP/1.1\r\n"), "{told}");
        assert!(told.contains(SECRET), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_not_who_it_should_be_is_told_nothing() {
    let (own, other) = (Authority::new("own"), Authority::new("own"));
    let of_localhost = || of_server(&["localhost"]);
    let mut of_a_client = of_client("localhost");
    of_a_client.subject_alt_names = of_localhost().subject_alt_names;
    for (case, shown, reason) in [
        (
            "another name",
            own.server(&["elsewhere.example"]),
            "not valid for name",
        ),
        (
            "a CA that nobody named",
            other.server(&["localhost"]),
            "invalid peer certificate",
        ),
        (
            "expired",
            own.issue(&expired(of_localhost())),
            "certificate expired",
        ),
        (
            "not yet valid",
            own.issue(&not_yet_valid(of_localhost())),
            "not valid yet",
        ),
        (
            "not for servers",
            own.issue(&of_a_client),
            "invalid peer certificate",
        ),
    ] {
        let upstream = Upstream::showing(&shown).await;
        let site = Site::start(upstream, Roots::Configured(own.pem())).await;
        site.refuses(case, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configured_ca_only_the_systems_count() {
    let shown = Authority::new("own").server(&["localhost"]);
    let upstream = Upstream::showing(&shown).await;
    let others = Authority::new("the system's").pem();
    let site = Site::start(upstream, Roots::System(others)).await;
    site.refuses("no CA", "UnknownIssuer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_speaks_no_tls_is_not_spoken_to_in_the_clear() {
    let own = Authority::new("own").pem();
    let site = Site::start(Upstream::in_the_clear().await, Roots::Configured(own)).await;
    let refusal = (502, "upstream_unreachable".to_owned());
    let answer = site.ask().await;
    assert_eq!(answer.refusal(), refusal);
    // It heard the beginning of a handshake.
    let told = site.upstream.told();
    assert!(!told.is_empty());
    for word in ["POST", "anything", SECRET, "the client's"] {
        assert!(!told.contains(word), "{word}");
    }
}
