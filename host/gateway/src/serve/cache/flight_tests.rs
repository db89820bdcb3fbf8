use std::{pin::Pin, task::Waker};

use http_body::Body;
use http_body_util::BodyExt;

use super::{
    super::{
        super::body::BodyError,
        listening::{Account, Listening},
    },
    *,
};

const MUCH: usize = 1 << 30;

fn head() -> Head {
    Head {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        watch: Watch::Nothing,
        length: None,
        is_upstreams: true,
        stream_usage: false,
        source: Source::default(),
    }
}

fn begin(bytes_max: usize) -> (Arc<Flight>, Seat) {
    Flight::begin(bytes_max, &Arc::default())
}

fn chunk(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn is_ready(poll: impl Fn(&mut Context<'_>) -> Poll<()>) -> bool {
    poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// What is there to be taken now, and how it ended, if it did.
fn take(body: &mut Listening) -> (String, Option<Result<(), ServeError>>) {
    let mut text = String::new();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(&mut context) {
            Poll::Pending => return (text, None),
            Poll::Ready(None) => return (text, Some(Ok(()))),
            Poll::Ready(Some(Err(BodyError))) => {
                return (text, Some(Err(body.fault().unwrap())));
            }
            Poll::Ready(Some(Ok(frame))) => {
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
        }
    }
}

fn listening(seat: Seat) -> Listening {
    Listening::new(seat, None)
}

#[tokio::test]
async fn who_comes_late_gets_what_was_said_and_then_what_is_said() {
    let (flight, first) = begin(100);
    flight.announce(head());
    assert!(flight.push(chunk("a"), MUCH));
    let mut first = listening(first);
    assert!(matches!(take(&mut first), (text, None) if text == "a"));
    let late = flight.join().unwrap();
    assert_eq!(late.head().await.unwrap().status, StatusCode::OK);
    let mut late = listening(late);
    assert!(matches!(take(&mut late), (text, None) if text == "a"));
    let live = tokio::spawn(async move { late.frame().await });
    tokio::task::yield_now().await;
    flight.push(chunk("b"), MUCH);
    let frame = live.await.unwrap().unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "b", "it is woken");
    flight.end(chunk("c"), Ok(()));
    let (text, end) = take(&mut first);
    assert_eq!((text.as_str(), end.unwrap().is_ok()), ("bc", true));
    assert!(flight.join().is_none(), "it is over");
}

#[tokio::test]
async fn it_is_given_up_with_the_last_who_listens_and_not_before() {
    let (flight, first) = begin(100);
    let second = flight.join().unwrap();
    drop(first);
    assert!(!is_ready(|context| flight.poll_abandoned(context)));
    let third = flight.join().unwrap();
    drop(second);
    let waiting = flight.clone();
    let left = tokio::spawn(async move {
        poll_fn(|context| waiting.poll_abandoned(context)).await;
    });
    tokio::task::yield_now().await;
    assert!(!left.is_finished());
    drop(third);
    left.await.unwrap();
    assert!(flight.join().is_none(), "nobody revives it");
}

#[tokio::test]
async fn all_are_told_what_went_wrong_after_what_had_come() {
    let (flight, first) = begin(100);
    let second = flight.join().unwrap();
    flight.announce(head());
    flight.push(chunk("a"), MUCH);
    flight.note_fault(ServeError::BetweenBytesTimeout);
    assert!(flight.join().is_none());
    flight.end(Bytes::new(), Err(ServeError::StreamBroken));
    for seat in [first, second] {
        let (text, end) = take(&mut listening(seat));
        assert_eq!(text, "a");
        assert!(matches!(end, Some(Err(ServeError::BetweenBytesTimeout))));
    }
    let (flight, seat) = begin(100);
    flight.end(Bytes::new(), Err(ServeError::UpstreamUnreachable));
    let error = seat.head().await.unwrap_err();
    assert!(matches!(error, ServeError::UpstreamUnreachable));
}

#[test]
fn one_who_listens_alone_loses_nothing_however_slow_and_long() {
    let (flight, seat) = begin(10);
    let mut body = listening(seat);
    for _ in 0..3 {
        assert!(flight.push(chunk("1234"), MUCH) == (flight.bytes() <= 10));
    }
    assert!(flight.join().is_none(), "it is too long to be kept");
    assert!(
        !is_ready(|context| flight.poll_room(context)),
        "the writer waits"
    );
    assert_eq!(take(&mut body).0, "123412341234");
    assert!(is_ready(|context| flight.poll_room(context)));
    assert_eq!(flight.bytes(), 0, "what was read is let go");
    flight.push(chunk("5"), MUCH);
    flight.end(Bytes::new(), Ok(()));
    assert!(matches!(take(&mut body), (text, Some(Ok(()))) if text == "5"));
    assert!(flight.whole(&Bytes::new()).is_none());
}

#[test]
fn who_falls_too_far_behind_is_cut_and_neither_slows_nor_costs_the_others() {
    let (flight, quick) = begin(10);
    let (mut quick, slow) = (listening(quick), flight.join().unwrap());
    let mut slow = listening(slow);
    for _ in 0..100 {
        flight.push(chunk("1234"), MUCH);
        assert_eq!(take(&mut quick).0, "1234");
        assert!(
            is_ready(|context| flight.poll_room(context)),
            "of the quick one"
        );
        assert!(flight.bytes() <= 12, "{}", flight.bytes());
    }
    assert!(
        matches!(take(&mut slow), (text, Some(Err(ServeError::FellBehind))) if text.is_empty())
    );
    drop(slow);
    flight.push(chunk("end"), MUCH);
    assert_eq!(take(&mut quick).0, "end");
}

#[test]
fn what_all_together_hold_is_bounded_and_given_back() {
    let held = Arc::<Held>::default();
    let (first, seat) = Flight::begin(100, &held);
    assert!(first.push(chunk("1234567890"), 15));
    let (second, other) = Flight::begin(100, &held);
    assert!(!second.push(chunk("123456"), 15), "there is no room left");
    assert!(second.join().is_none());
    assert_eq!(take(&mut listening(other)).0, "123456");
    drop(second);
    assert_eq!(held.0.load(Relaxed), 10);
    drop((first, seat));
    assert_eq!(held.0.load(Relaxed), 0);
}

#[test]
fn a_small_chunk_does_not_hold_on_to_what_was_read_with_it() {
    let (flight, seat) = begin(100);
    let read = Bytes::from(vec![b'x'; 8192]);
    assert!(flight.push(read.slice(10..20), MUCH));
    assert!(read.is_unique());
    assert_eq!(take(&mut listening(seat)).0, "x".repeat(10));
}

#[test]
fn one_of_all_who_listen_answers_for_the_upstream() {
    let (flight, seat) = begin(10);
    let account = |is_first| Account::of(&seat, is_first);
    assert!(!account(false).settle(true), "the first is still there");
    assert!(account(true).settle(true));
    assert!(!account(false).settle(true));
    drop(seat);
    let (flight2, seat) = begin(10);
    let account = |is_first| Account::of(&seat, is_first);
    assert!(!account(true).settle(false), "it left");
    assert!(!account(false).settle(false), "it left too");
    assert!(account(false).settle(true));
    assert!(!account(false).settle(true), "once");
    drop((flight, flight2));
}

#[test]
fn a_body_of_known_length_ends_with_its_last_byte() {
    let (flight, seat) = begin(100);
    let mut body = Listening::new(seat, Some(3));
    assert_eq!(body.size_hint().exact(), Some(3));
    flight.push(chunk("ab"), MUCH);
    take(&mut body);
    assert!(!body.is_end_stream());
    flight.push(chunk("c"), MUCH);
    take(&mut body);
    assert!(body.is_end_stream());
}
