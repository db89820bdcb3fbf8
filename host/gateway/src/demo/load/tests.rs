use super::{
    super::standin::{Behaviour, Standin, StandinOptions},
    *,
};

async fn standin(behaviour: &str) -> Standin {
    let options = StandinOptions::behaving(behaviour).expect("is understood");
    Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .expect("binds")
}

fn mixed(standin: &Standin) -> Load {
    Load {
        connections: 4,
        streamed_percent: 25,
        ..Load::chat(standin.addr, "m")
    }
}

#[tokio::test]
async fn a_load_of_plain_and_streamed_requests_is_counted_on_both_sides() {
    let standin = standin("tokens=5").await;
    let report = mixed(&standin).run(Until::Requests(200)).await;
    assert_eq!(
        (report.sent, report.ok, report.failed),
        (200, 200, 0),
        "{report:?}"
    );
    assert_eq!(
        (report.plain, report.streamed, report.connections),
        (150, 50, 4)
    );
    assert_eq!(report.events, 50 * (1 + 5 + 1 + 1));
    let seen = standin.seen();
    assert_eq!(
        (
            seen.requests,
            seen.streams,
            seen.cancelled,
            seen.connections
        ),
        (200, 50, 0, 4)
    );
    assert!(report.is_clean());
}

#[tokio::test]
async fn each_fault_is_a_failure_with_its_reason() {
    let cases = [
        ("fail=503", 0, "status 503 standin_503"),
        ("malformed-json", 0, "not JSON"),
        ("cut-after=5", 0, "the connection broke"),
        ("cut-headers", 0, "the connection broke"),
        ("cut-after=3", 100, "the connection broke"),
        ("no-done", 100, "the stream ended without [DONE]"),
        ("after-done", 100, "an event came after [DONE]"),
        (
            "error-event=2",
            100,
            "the stream carried an error: standin_500",
        ),
        ("stall-after=2", 100, "no end within 200ms"),
    ];
    for (behaviour, streamed_percent, reason) in cases {
        let standin = standin(behaviour).await;
        let patience = Duration::from_millis(if behaviour.starts_with("stall") {
            200
        } else {
            30_000
        });
        let load = Load {
            streamed_percent,
            patience,
            ..Load::chat(standin.addr, "m")
        };
        let report = load.run(Until::Requests(3)).await;
        assert_eq!(
            (report.sent, report.failed),
            (3, 3),
            "{behaviour}: {report:?}"
        );
        assert!(
            report
                .failures
                .keys()
                .all(|failure| failure.starts_with(reason)),
            "{behaviour}: {report:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_a_failure() {
    let standin = standin("").await;
    let load = Load::chat(standin.addr, "m");
    standin.stop().await;
    let report = load.run(Until::Requests(2)).await;
    assert_eq!(
        report.failures.keys().collect::<Vec<_>>(),
        ["could not connect: connection refused"]
    );
}

#[tokio::test]
async fn a_load_ends_when_it_is_told() {
    let standin = standin("").await;
    let stop = CancellationToken::new();
    let load = tokio::spawn(mixed(&standin).run(Until::Told(stop.clone())));
    standin
        .wait_for(Duration::from_secs(10), |seen| seen.requests > 50)
        .await
        .expect("arrive");
    stop.cancel();
    let report = load.await.expect("ends");
    assert!(report.ok > 50 && report.is_clean(), "{report:?}");
}

fn marked(standin: &Standin) -> Load {
    Load {
        marks: vec!["/system_fingerprint".to_owned(), "/model".to_owned()],
        ..mixed(standin)
    }
}

#[tokio::test]
async fn two_marks_in_one_exchange_count_as_two_generations() {
    let standin = standin("").await;
    let agrees = marked(&standin).header(
        "x-standin-mark".parse().expect("is one"),
        HeaderValue::from_static("m"),
    );
    let report = agrees.run(Until::Requests(20)).await;
    assert_eq!((report.two_generations, report.marked), (0, 20));
    assert_eq!(
        marked(&standin)
            .run(Until::Requests(20))
            .await
            .two_generations,
        20
    );
}

#[tokio::test]
async fn an_exchange_without_a_mark_at_every_place_is_not_marked() {
    let standin = standin("").await;
    let load = Load {
        marks: vec!["/model".to_owned(), "/greeting".to_owned()],
        ..mixed(&standin)
    };
    let report = load.run(Until::Requests(20)).await;
    assert_eq!(
        (report.ok, report.two_generations, report.marked),
        (20, 0, 0)
    );
}

#[tokio::test]
async fn a_generation_that_shows_two_marks_counts_as_two_generations() {
    let mut tally = Tally::default();
    for mark in ["a", "b"] {
        let behaviour: Behaviour = format!("header={GENERATION_HEADER}:7")
            .parse()
            .expect("is understood");
        let options = StandinOptions {
            behaviour,
            ..StandinOptions::default()
        };
        let standin = Standin::start(([127, 0, 0, 1], 0).into(), options)
            .await
            .expect("binds");
        let load = Load {
            marks: vec!["/system_fingerprint".to_owned()],
            ..Load::chat(standin.addr, "m")
        };
        let load = Arc::new(load.header(
            "x-standin-mark".parse().expect("is one"),
            mark.parse().expect("is one"),
        ));
        let exchange = Connection::new(load)
            .exchange(mark == "a", &mut tally)
            .await;
        assert_eq!(exchange.generation, Some(7));
        tally.add(exchange);
    }
    let report = tally.report(Duration::ZERO);
    assert_eq!((report.ok, report.two_generations), (2, 1), "{report:?}");
    assert_eq!(report.generations, [(7, 2)].into());
}
