use std::time::Duration;

use tollgate_sdk::{
    Ending,
    testing::{advance, complete, counted, ended},
};

use super::*;

fn at_once(places: u64) -> Run<RateLimit> {
    run(json!([{ "name": "at-once", "by": ["caller"], "concurrency": places }]))
}

#[test]
fn as_many_as_allowed_run_at_once() {
    let run = at_once(2);
    let first = start(&run, chat("ada")).unwrap();
    let _second = start(&run, chat("ada")).unwrap();
    let told = refused(&run, chat("ada"));
    assert_eq!(
        (told.status, &*told.code),
        (429, "concurrency_limit_exceeded")
    );
    assert_eq!(
        told.message,
        "rate-limit: the limit `at-once` of 2 requests at once is reached. \
         Try again when one of them has ended."
    );
    assert_eq!(told.header("retry-after"), Some("1"));
    assert!(passes(&run, chat("bob")), "another's places are another's");
    first.finish(&complete(None));
    let _third = start(&run, chat("ada")).unwrap();
    assert!(!passes(&run, chat("ada")));
    assert_eq!(counted("refused"), 2);
}

#[test]
fn a_place_is_given_back_however_the_exchange_ended() {
    let run = at_once(1);
    for ending in [
        Ending::Complete,
        Ending::ClientGone,
        Ending::UpstreamFailed,
        Ending::Refused,
        Ending::Cut,
        Ending::TimedOut,
    ] {
        let session = start(&run, chat("ada")).unwrap();
        session.finish(&ended(ending));
    }
    assert!(passes(&run, chat("ada")));
}

#[test]
fn a_place_is_held_for_as_long_as_the_exchange_lasts() {
    let run = at_once(1);
    let session = start(&run, chat("ada").streaming()).unwrap();
    advance(Duration::from_secs(86_400));
    assert!(!passes(&run, chat("ada")));
    session.finish(&complete(None));
    assert!(passes(&run, chat("ada")));
}

#[test]
fn a_place_whose_exchange_went_down_is_free_again_soon() {
    let run = at_once(1);
    let session = start(&run, chat("ada")).unwrap();
    drop(session);
    assert!(!passes(&run, chat("ada")));
    advance(Duration::from_secs(1));
    assert!(passes(&run, chat("ada")));
}

#[test]
fn a_refusal_takes_no_place() {
    let run = at_once(1);
    let session = start(&run, chat("ada")).unwrap();
    for _ in 0..10 {
        let mut late = run.open(chat("ada"));
        assert!(!late.request().is_next());
        late.finish(&ended(Ending::Refused));
    }
    session.finish(&complete(None));
    let session = start(&run, chat("ada")).unwrap();
    assert!(!passes(&run, chat("ada")), "none was given back twice");
    session.finish(&complete(None));
}

#[test]
fn a_limit_may_bound_both_the_rate_and_what_runs_at_once() {
    let run = run(json!([{
        "name": "both", "by": ["caller"], "requests": 3, "period": "1s", "algorithm": "token-bucket",
        "concurrency": 1,
    }]));
    let session = start(&run, chat("ada")).unwrap();
    let told = refused(&run, chat("ada"));
    assert_eq!(told.code, "concurrency_limit_exceeded");
    assert_eq!(
        told.header("x-ratelimit-remaining-requests"),
        Some("2"),
        "what no place was free for is not counted"
    );
    session.finish(&complete(None));
    for _ in 0..2 {
        start(&run, chat("ada")).unwrap().finish(&complete(None));
    }
    assert_eq!(refused(&run, chat("ada")).code, "rate_limit_exceeded");
}
