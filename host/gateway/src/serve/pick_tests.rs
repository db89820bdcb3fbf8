use super::*;

fn at(upstream: &Upstream, avoid: &[Arc<Endpoint>]) -> String {
    let ask = Ask {
        avoid,
        ..Ask::default()
    };
    let pick = upstream.pick(&ask).unwrap();
    pick.endpoint().authority.to_string()
}

/// As many as it takes.
fn errors(upstream: &Upstream) -> u32 {
    let passive = upstream.care.health.passive.as_ref();
    passive.unwrap().consecutive_errors
}

fn fail(upstream: &Upstream, which: usize) {
    let others: Vec<_> = upstream.endpoints().iter().cloned().collect();
    let others = others
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != which)
        .map(|(_, one)| one.clone());
    let avoid: Vec<_> = others.collect();
    for _ in 0..errors(upstream) {
        let ask = Ask {
            avoid: &avoid,
            ..Ask::default()
        };
        let mut pick = upstream.pick(&ask).unwrap();
        assert!(pick.endpoint().is(&upstream.endpoints()[which]));
        pick.failed(Fault::Connect);
    }
}

#[tokio::test]
async fn endpoints_take_turns() {
    let upstream = Upstream::listed(&["http://a", "http://b"]);
    let mut picked: Vec<_> = (0..4).map(|_| at(&upstream, &[])).collect();
    assert_ne!(picked[0], picked[1]);
    picked.sort();
    assert_eq!(picked, ["a", "a", "b", "b"]);
}

#[tokio::test]
async fn one_that_failed_is_asked_again_only_if_there_is_no_other() {
    let upstream = Upstream::listed(&["http://a", "http://b"]);
    let both = upstream.endpoints();
    for _ in 0..3 {
        assert_eq!(at(&upstream, &both[..1]), "b");
    }
    assert!(["a", "b"].contains(&at(&upstream, &both).as_str()));
}

#[tokio::test]
async fn one_that_is_out_is_never_asked() {
    let upstream = Upstream::listed(&["http://a", "http://b"]);
    fail(&upstream, 0);
    for _ in 0..10 {
        assert_eq!(at(&upstream, &[]), "b");
    }
    let both = upstream.endpoints();
    assert_eq!(at(&upstream, &both), "b");
}

#[tokio::test]
async fn one_that_asked_for_a_pause_is_asked_only_if_there_is_no_other() {
    let upstream = Upstream::listed(&["http://a", "http://b"]);
    let both = upstream.endpoints();
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, 20.into());
    let ask = Ask {
        avoid: &both[1..],
        ..Ask::default()
    };
    let mut pick = upstream.pick(&ask).unwrap();
    pick.answered(StatusCode::TOO_MANY_REQUESTS, &headers);
    for _ in 0..4 {
        assert_eq!(at(&upstream, &[]), "b");
    }
    assert_eq!(at(&upstream, &both[1..]), "a");
}

#[tokio::test]
async fn with_none_in_there_is_no_pick() {
    let upstream =
        Upstream::read("{ endpoints: [ 'http://a', 'http://b' ], health: { max_out: 100 } }");
    assert_eq!(upstream.pause_left(), None);
    fail(&upstream, 0);
    let first = upstream.pause_left().unwrap();
    assert!(first > Duration::ZERO);
    fail(&upstream, 1);
    assert!(upstream.pick(&Ask::default()).is_none());
    assert!(upstream.pause_left().unwrap() <= first, "the shortest");
}

#[tokio::test]
async fn where_the_best_are_taken_the_next_best_is_asked() {
    let upstream = Upstream::read(
        "{ endpoints: [ 'http://a', 'http://b' ], health: { passive: \
         { consecutive_errors: 1, pause: 10ms, pause_max: 10ms, probes: 1 } } }",
    );
    fail(&upstream, 0);
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, 20.into());
    let mut pick = upstream.pick(&Ask::default()).unwrap();
    pick.answered(StatusCode::TOO_MANY_REQUESTS, &headers);
    drop(pick);
    tokio::time::sleep(Duration::from_millis(10)).await;
    // The first takes one request, to see whether it is back; the second asked for a pause.
    let begin = std::sync::Barrier::new(3);
    for _ in 0..1_000 {
        let pick = || {
            begin.wait();
            let pick = upstream.pick(&Ask::default());
            begin.wait();
            pick.map(|pick| pick.endpoint().authority.to_string())
        };
        let picked = std::thread::scope(|scope| {
            let picking = [(); 3].map(|()| scope.spawn(pick));
            picking.map(|picked| picked.join().unwrap())
        });
        assert!(picked.iter().all(Option::is_some), "{picked:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_as_a_whole_is_left_alone() {
    let upstream =
        Upstream::read("{ endpoints: [ 'http://a' ], health: { breaker: { min_requests: 3 } } }");
    for _ in 0..3 {
        upstream.pick(&Ask::default()).unwrap().failed(Fault::Reset);
    }
    assert!(upstream.pick(&Ask::default()).is_none());
}

/// What one try at `a` came to, as health counts it.
fn told(upstream: &Upstream, with: impl FnOnce(&mut Pick)) {
    let others = &upstream.endpoints()[1..];
    let ask = Ask {
        avoid: others,
        ..Ask::default()
    };
    let mut pick = upstream.pick(&ask).unwrap();
    assert_eq!(pick.endpoint().authority, "a");
    with(&mut pick);
}

fn head(pick: &mut Pick) {
    pick.answered(StatusCode::OK, &HeaderMap::new());
}

fn begun(pick: &mut Pick) {
    head(pick);
    pick.first_token(Duration::from_secs(1));
}

#[tokio::test]
async fn heads_of_answers_that_break_are_no_good_answers() {
    let fails: [fn(&mut Pick); 3] = [
        |pick| {
            head(pick);
            pick.failed(Fault::Silent);
        },
        |pick| {
            begun(pick);
            pick.failed(Fault::Broken);
            pick.ended();
        },
        |pick| {
            pick.failed(Fault::FirstByteTimeout);
            pick.failed(Fault::Broken);
        },
    ];
    for fail in fails {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        for _ in 0..5 {
            // A client that left before the body came tells nothing.
            told(&upstream, head);
            told(&upstream, fail);
        }
        assert_eq!(at(&upstream, &upstream.endpoints()[1..]), "b", "it is out");
    }
}

#[tokio::test]
async fn an_answer_is_good_when_it_ended_or_its_client_left_within() {
    let goods: [fn(&mut Pick); 4] = [
        begun,
        |pick| {
            begun(pick);
            pick.ended();
        },
        |pick| {
            head(pick);
            pick.ended();
            pick.failed(Fault::Broken);
        },
        |pick| pick.answered(StatusCode::NOT_FOUND, &HeaderMap::new()),
    ];
    for good in goods {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        for _ in 0..3 {
            for _ in 0..4 {
                told(&upstream, |pick| pick.failed(Fault::Reset));
            }
            told(&upstream, good);
        }
    }
}

#[tokio::test]
async fn a_stream_does_not_hold_a_probe_until_its_end() {
    let upstream = Upstream::read(
        "{ endpoints: [ 'http://a' ], health: { max_out: 100, slow_start: off, \
         passive: { pause: 1ms, pause_max: 1ms, probes: 1 } } }",
    );
    fail(&upstream, 0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut probe = upstream.pick(&Ask::default()).unwrap();
    assert!(upstream.pick(&Ask::default()).is_none());
    probe.answered(StatusCode::OK, &HeaderMap::new());
    assert!(
        upstream.pick(&Ask::default()).is_none(),
        "a head is no body"
    );
    probe.first_token(Duration::from_millis(1));
    assert!(upstream.pick(&Ask::default()).is_some());
}

#[tokio::test]
async fn a_look_for_another_endpoint_takes_and_counts_nothing() {
    let upstream =
        Upstream::read("{ endpoints: [ 'http://a', 'http://b' ], health: { max_out: 100 } }");
    let both = upstream.endpoints();
    let before = at(&upstream, &[]);
    assert!(upstream.has_other(&both[..1]));
    assert!(!upstream.has_other(&both));
    assert_ne!(at(&upstream, &[]), before, "it is still the other's turn");
    fail(&upstream, 1);
    assert!(!upstream.has_other(&both[..1]));
    let whole = Upstream::read(
        "{ endpoints: [ 'http://a', 'http://b' ], health: { breaker: { min_requests: 1 } } }",
    );
    assert!(whole.has_other(&[]));
    whole.pick(&Ask::default()).unwrap().failed(Fault::Reset);
    assert!(!whole.has_other(&[]));
}

#[tokio::test]
async fn a_pick_is_in_flight_until_it_is_dropped() {
    let upstream = Upstream::listed(&["http://a"]);
    let load = &upstream.endpoints()[0].load;
    let pick = upstream.pick(&Ask::default()).unwrap();
    assert_eq!(load.in_flight(), 1);
    drop(pick);
    assert_eq!(load.in_flight(), 0);
}
