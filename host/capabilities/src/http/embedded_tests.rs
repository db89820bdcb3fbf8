use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A server that answers each connection with what `answer` makes of the request's
/// text, and closes it.
struct Upstream {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    async fn start(answer: impl Fn(&str, SocketAddr) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    let response = answer(&request, address);
                    seen.lock().push(request);
                    let _ = stream.write_all(response.as_bytes()).await;
                });
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text.into_owned();
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\nx-a: 1\r\n\r\n{body}"
    )
}

fn redirect_to(location: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

fn grant(hosts: &[String]) -> HttpCallGrant {
    HttpCallGrant {
        hosts: hosts.to_vec(),
        timeout: Duration::from_secs(20),
        max_response_bytes: 1000,
        max_calls: 4,
    }
}

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
    }
}

async fn call(request: HttpRequest, grant: &HttpCallGrant) -> Result<HttpResponse, HttpError> {
    EmbeddedHttp::new()
        .send(request, grant, Duration::from_secs(20))
        .get()
        .await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_and_its_response_comes_back() {
    let upstream = Upstream::start(|_, _| ok("hello")).await;
    let request = HttpRequest {
        method: "POST".into(),
        headers: vec![("x-key".into(), b"v".to_vec())],
        body: Bytes::from_static(b"question"),
        ..get(&upstream.url("/a?b=c#d"))
    };
    let response = call(request, &grant(&[upstream.url("")])).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    assert!(response.headers.contains(&("x-a".into(), b"1".to_vec())));
    assert!(
        !response
            .headers
            .iter()
            .any(|(name, _)| name == "connection")
    );
    let asked = upstream.asked().remove(0);
    assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\nquestion"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", upstream.address)));
    assert!(asked.contains("x-key: v\r\n"));
}

#[tokio::test]
async fn any_status_is_a_response() {
    let upstream = Upstream::start(|_, _| ok("").replace("200 OK", "503 Busy")).await;
    let response = call(get(&upstream.url("/")), &grant(&[upstream.url("")]))
        .await
        .unwrap();
    assert_eq!(response.status, 503);
}

#[tokio::test]
async fn what_is_not_listed_is_never_asked() {
    let upstream = Upstream::start(|_, _| ok("secret")).await;
    let error = call(
        get(&upstream.url("/")),
        &grant(&["http://127.0.0.1:1".into()]),
    )
    .await;
    assert!(matches!(error, Err(HttpError::Denied(_))));
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_on_the_list_is_followed_and_one_off_it_is_denied() {
    let inner = Upstream::start(|_, _| ok("inner")).await;
    let target = inner.url("/there");
    let outer = Upstream::start(move |_, _| redirect_to(&target)).await;
    let both = grant(&[outer.url(""), inner.url("")]);
    assert_eq!(
        call(get(&outer.url("/")), &both).await.unwrap().body,
        "inner"
    );
    let error = call(get(&outer.url("/")), &grant(&[outer.url("")]))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!(inner.asked().len(), 1);
}

#[tokio::test]
async fn three_redirects_are_followed_and_no_more() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_, _| {
        let past = count.fetch_add(1, Ordering::SeqCst);
        if past == 3 {
            ok("end")
        } else {
            redirect_to("/next")
        }
    })
    .await;
    let grant = grant(&[upstream.url("")]);
    assert_eq!(
        call(get(&upstream.url("/")), &grant).await.unwrap().body,
        "end"
    );
    let error = call(get(&upstream.url("/")), &grant).await.unwrap_err();
    assert_eq!(error, HttpError::Denied("more than 3 redirects".into()));
    assert_eq!(upstream.asked().len(), 8);
}

#[tokio::test]
async fn a_body_or_headers_beyond_the_grant_are_too_large() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        + &format!("100\r\n{}\r\n", "x".repeat(256))
        + &format!("400\r\n{}\r\n", "x".repeat(1024));
    let headers = ok("").replace("x-a: 1", &format!("x-a: {}", "y".repeat(1000)));
    for response in [endless, ok(&"x".repeat(1001)), headers] {
        let upstream = Upstream::start(move |_, _| response.clone()).await;
        let error = call(get(&upstream.url("/")), &grant(&[upstream.url("")]))
            .await
            .unwrap_err();
        assert_eq!(error, HttpError::TooLarge);
    }
}

#[tokio::test]
async fn the_shortest_of_the_three_deadlines_ends_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(600));
    for (of_grant, of_request, remaining) in [
        (short, long, long),
        (long, short, long),
        (long, long, short),
        (long, Duration::ZERO, long),
    ] {
        let grant = HttpCallGrant {
            timeout: of_grant,
            ..grant(std::slice::from_ref(&url))
        };
        let request = HttpRequest {
            timeout: of_request,
            ..get(&url)
        };
        let result = EmbeddedHttp::new()
            .send(request, &grant, remaining)
            .get()
            .await;
        assert_eq!(result.unwrap_err(), HttpError::TimedOut);
    }
}

#[tokio::test]
async fn a_host_that_refuses_or_breaks_off_is_a_failure_that_does_not_show_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let cut = Upstream::start(|_, _| ok("hello").replace("hello", "he")).await;
    for host in [closed, cut.url("")] {
        let error = call(get(&format!("{host}/?key=canary")), &grant(&[host]))
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Failed(_)), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn dropping_the_answer_cancels_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = EmbeddedHttp::new().send(get(&url), &grant(&[url]), Duration::from_secs(60));
    let call = tokio::spawn(answer.get());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    call.abort();
    assert!(matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn localhost_is_found_by_name() {
    let upstream = Upstream::start(|_, _| ok("here")).await;
    let url = format!("http://localhost:{}", upstream.address.port());
    assert_eq!(
        call(get(&url), &grant(std::slice::from_ref(&url)))
            .await
            .unwrap()
            .body,
        "here"
    );
    assert!(upstream.asked()[0].contains(&url.replace("http://", "host: ")));
}

#[test]
fn one_refused_address_refuses_the_whole_name() {
    let answers = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mixed = allowed("a.example", answers(&["93.184.216.34:0", "127.0.0.1:0"]))
        .err()
        .unwrap();
    assert!(refusal(&*mixed).is_some());
    let metadata = allowed("a.example", answers(&["169.254.169.254:0"]))
        .err()
        .unwrap();
    assert!(refusal(&*metadata).is_some());
    assert!(allowed("a.example", answers(&["10.0.0.1:0"])).is_ok());
    assert!(allowed("a.example", Vec::new()).is_err());
}

/// Leads every name to the metadata address, as a hostile resolver would.
struct Rebound;

impl Resolve for Rebound {
    fn resolve(&self, name: Name) -> Resolving {
        let found = vec!["169.254.169.254:0".parse().unwrap()];
        Box::pin(async move { allowed(name.as_str(), found) })
    }
}

#[tokio::test]
async fn a_name_that_leads_to_the_metadata_address_is_denied() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = builder().dns_resolver(Arc::new(Rebound)).build().unwrap();
    let grant = grant(&["http://auth.example:80".into()]);
    let checked = Checked::new(get("http://auth.example/"), &grant).unwrap();
    let error = follow(&client, checked, &grant).await.unwrap_err();
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
}
