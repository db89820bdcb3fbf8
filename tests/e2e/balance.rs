//! What an upstream's balance goes by, on a running gateway.

use crate::fixture::{Site, probing};

async fn latency(site: &Site) -> Option<f64> {
    let page = site.look("/upstreams").await.json();
    page["upstreams"][0]["endpoints"][0]["latency_ms"].as_f64()
}

#[tokio::test]
async fn how_soon_an_answer_came_is_known_however_it_passed() {
    // Relayed, and at hand for a policy.
    for config in [probing("mark: one"), crate::fixture::chat_through("", "")] {
        let site = Site::start(&config).await;
        assert_eq!(site.chat().send().await.status, 200);
        assert!(latency(&site).await.is_some(), "{config}");
    }
    // One that is no success says nothing.
    let site = Site::start(&probing("mark: one")).await;
    assert_eq!(site.chat().behaving("fail=500").send().await.status, 500);
    assert_eq!(latency(&site).await, None);
}

#[tokio::test]
async fn the_model_is_known_where_the_balance_goes_by_it_and_nothing_is_refused_for_that() {
    for balance in [
        "model-aware",
        "{ consistent-hash: { on: { prompt: 1KiB } } }",
    ] {
        let site = Site::start(&format!(
            "upstreams: {{ u: {{ endpoints: [ \"http://UPSTREAM\" ], balance: {balance} }} }}\n\
             routes: [ {{ upstream: u }} ]\n"
        ))
        .await;
        assert!(site.streamed().stream().await.collect().await.is_complete());
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(
            (&line["model"], &line["stream"]),
            (&"small".into(), &true.into()),
            "{line}"
        );
        for (coding, body) in [
            ("gzip", "{}"),
            ("identity", "{\"model\":"),
            ("identity", ""),
        ] {
            let echo = site.ask("POST", "/echo").header("content-encoding", coding);
            let answer = echo.body(body).send().await;
            assert_eq!((answer.status, answer.text()), (200, body.to_owned()));
        }
    }
}
