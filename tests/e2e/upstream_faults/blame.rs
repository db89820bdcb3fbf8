//! What counts against an endpoint, and what does not.

use super::*;
use crate::authority::Authority;

/// A good endpoint and this one, which is ejected for as long as the test takes.
fn beside(good: &Standin, other: &str, model: &str) -> String {
    format!(
        r#"
policies: {{ probe: {{ PROBE, on_error: refuse, settings: {{ mark: m }} }} }}
upstreams:
  near: {{ endpoints: [ "{}", "{other}" ], health: {{ passive: {{ pause: 1h }} }} }}
models: {{ small: {{ targets: [ {{ upstream: near }} ], {model} }} }}
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#,
        good.url()
    )
}

async fn states(site: &Site) -> [String; 2] {
    let page = site.look("/upstreams").await.json();
    let of = |nth: usize| page["upstreams"][0]["endpoints"][nth]["state"].as_str();
    [0, 1].map(|nth| of(nth).unwrap().to_owned())
}

#[tokio::test]
async fn streams_that_stall_or_break_behind_their_heads_eject_their_endpoint() {
    let good = standin("tokens=2").await;
    for (behaviour, policies) in [
        ("stall-after=0", ""),
        ("reset-after=1", ""),
        ("stall-after=1", "policies: [ probe ], "),
    ] {
        let bad = standin(&format!("tokens=8,{behaviour}")).await;
        let config = beside(&good, &bad.url(), "timeouts: { between_bytes: 200ms }");
        let site = Site::start(&config.replace("match:", &format!("{policies}match:"))).await;
        for _ in 0..12 {
            let stream = site.streamed().stream().await;
            assert_eq!(stream.status, 200);
            stream.collect().await;
        }
        assert_eq!(states(&site).await, ["in", "ejected"], "{behaviour}");
        assert_eq!(bad.seen().requests, 5, "{behaviour}");
    }
}

#[tokio::test]
async fn a_plain_answer_that_breaks_behind_its_head_counts_once() {
    let (good, bad) = (standin("").await, standin("cut-after=0").await);
    let site = Site::start(&beside(&good, &bad.url(), "")).await;
    for _ in 0..12 {
        let status = site.chat().send().await.status;
        assert!([200, 502].contains(&status), "{status}");
    }
    assert_eq!(states(&site).await, ["in", "ejected"]);
    assert_eq!(bad.seen().requests, 5);
}

#[tokio::test]
async fn an_endpoint_is_to_blame_if_it_was_awaited_until_the_exchange_s_time_was_over() {
    const TOTAL: &str = "timeouts: { total: 1s }";
    let good = standin("tokens=2").await;
    let of_client = [("x-request-timeout-ms", "300")];
    for (behaviour, model, headers, asked, state) in [
        ("stall-before", TOTAL, &[][..], 5, "ejected"),
        ("tokens=8,stall-after=1", TOTAL, &[], 5, "ejected"),
        // Its tokens came until the end.
        ("tokens=100000,pace=10ms", TOTAL, &[], 6, "in"),
        // The client gave it no more time.
        ("stall-before", "", &of_client, 6, "in"),
    ] {
        let bad = standin(behaviour).await;
        let site = Site::start(&beside(&good, &bad.url(), model)).await;
        let ask = headers.iter().fold(site.streamed(), |ask, (name, value)| {
            ask.header(name, *value)
        });
        for _ in 0..12 {
            let stream = ask.stream().await;
            if stream.status == 200 {
                stream.collect().await;
            }
        }
        assert_eq!(states(&site).await, ["in", state], "{behaviour} {model}");
        assert_eq!(bad.seen().requests, asked, "{behaviour} {model}");
    }
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_is_no_connection_and_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let far = standin("").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), Authority::new("a CA").pem()).unwrap();
    let silent_url = format!("https://{addr}");
    let in_line = in_line(&silent_url, &far.url(), "").replace(
        &format!("endpoints: [ \"{silent_url}\" ]"),
        &format!("endpoints: [ \"{silent_url}\" ], ca: ca.pem"),
    );
    let config = format!("timeouts: {{ connect: 300ms }}\n{in_line}");
    let site = Site::start_in(folder, &config, "").await;
    assert_eq!(site.chat().send().await.status, 200);
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["connect_timeout"], "{line}");
    silent.abort();
}
