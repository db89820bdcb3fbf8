use super::*;

fn load(balance: &Balance) -> (Arc<Load>, Instant) {
    let now = Instant::now();
    (Load::new(Settings::of(balance), now), now)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_is_in_flight_until_it_is_dropped() {
    let (load, now) = load(&Balance::default());
    let one = load.begin(now, Prefix::UNKNOWN);
    let two = load.begin(now, Prefix::UNKNOWN);
    assert_eq!(load.in_flight(), 2);
    drop(one);
    assert_eq!(load.in_flight(), 1);
    drop(two);
    assert_eq!(load.in_flight(), 0);
}

#[test]
fn a_prompt_is_prefilling_until_its_first_token_or_its_end() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    let text = vec![7; 10 * BLOCK_BYTES];
    let prefix = Prefix::of("m", [&*text]);
    let mut one = load.begin(now, &prefix);
    assert_eq!(load.prefilling(), 10);
    let longer = Prefix::of("m", [&*text, b"and more"]);
    let two = load.begin(now, &longer);
    assert_eq!(
        load.prefilling(),
        11,
        "the second brings one block that is new"
    );
    one.answered(now, SECOND);
    drop(one);
    assert_eq!(load.prefilling(), 1);
    drop(two);
    assert_eq!(load.prefilling(), 0);
    load.forget();
    assert_eq!(load.uncached(&prefix), 10);
}

/// One request, sent so long before its answer comes.
fn answer(load: &Arc<Load>, now: Instant, took: Duration) {
    load.begin(now - took, Prefix::UNKNOWN).answered(now, took);
}

#[test]
fn a_latency_jumps_up_to_a_peak_and_sinks_with_time() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    let now = now + 60 * SECOND;
    assert_eq!(load.latency(now), None);
    answer(&load, now, SECOND);
    assert_eq!(load.latency(now), Some(SECOND));
    answer(&load, now, 5 * SECOND);
    assert_eq!(load.latency(now), Some(5 * SECOND));
    answer(&load, now, SECOND);
    assert_eq!(
        load.latency(now),
        Some(5 * SECOND),
        "at once, the peak stands"
    );
    let later = now + 10 * SECOND;
    let sunk = load.latency(later).unwrap().as_secs_f64();
    assert!((sunk - 5.0 / std::f64::consts::E).abs() < 1e-9, "{sunk}");
    answer(&load, later, SECOND);
    let average = load.latency(later).unwrap().as_secs_f64();
    let expected = sunk + 1.0 - 1.0 / std::f64::consts::E;
    assert!((average - expected).abs() < 1e-9, "{average}");
    assert_eq!(
        load.latency(now + 3_600 * SECOND),
        None,
        "an hour later it is forgotten"
    );
}

#[test]
fn a_latency_is_at_least_as_long_as_nothing_comes_that_is_awaited() {
    let (load, start) = load(&Balance::PeakEwma(Default::default()));
    let at = |seconds| start + seconds * SECOND;
    answer(&load, at(10), SECOND);
    let mut hanging = load.begin(at(20), Prefix::UNKNOWN);
    let mut another = load.begin(at(30), Prefix::UNKNOWN);
    assert_eq!(load.latency(at(50)), Some(30 * SECOND), "since the first");
    another.answered(at(50), 2 * SECOND);
    assert_eq!(load.latency(at(50)), Some(2 * SECOND), "it is not silent");
    assert_eq!(load.latency(at(90)), Some(40 * SECOND));
    hanging.turned_down(at(90));
    let sunk = load.latency(at(90)).unwrap();
    assert!(sunk < SECOND, "{sunk:?}: nothing is awaited");
}

#[test]
fn a_request_without_an_answer_counts_with_how_long_it_was_awaited() {
    let (load, start) = load(&Balance::PeakEwma(Default::default()));
    let at = |seconds| start + seconds * SECOND;
    load.begin(at(0), Prefix::UNKNOWN).give_up(at(5));
    assert_eq!(load.latency(at(5)), None, "it still never answered");
    answer(&load, at(10), SECOND);
    load.begin(at(10), Prefix::UNKNOWN).give_up(at(10));
    assert_eq!(
        load.latency(at(10)),
        Some(SECOND),
        "too short to say anything"
    );
    load.begin(at(10), Prefix::UNKNOWN).give_up(at(15));
    assert_eq!(load.latency(at(15)), Some(5 * SECOND));
    load.begin(at(15), Prefix::UNKNOWN).failed(at(35));
    assert_eq!(load.latency(at(35)), Some(20 * SECOND));
}

#[test]
fn failures_add_up_and_sink_with_time_and_with_answers() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    let fail = || load.begin(now, Prefix::UNKNOWN).failed(now);
    assert_eq!(load.failing(now), 0.0);
    (0..5).for_each(|_| fail());
    let most = load.failing(now);
    assert!((0.6..0.7).contains(&most), "{most}");
    assert!(load.failing(now + 10 * SECOND) < most / 2.0);
    answer(&load, now, Duration::ZERO);
    assert!((load.failing(now) - most * 0.8).abs() < 1e-9);
    (0..1_000).for_each(|_| fail());
    assert!(load.failing(now) <= 1.0);
    answer(&load, now, SECOND);
    let later = now + 10 * SECOND;
    assert!(load.latency(later).unwrap() < SECOND / 2);
    load.begin(later, Prefix::UNKNOWN).failed(later);
    assert_eq!(load.latency(later), Some(SECOND), "failures make no faster");
}

#[test]
fn a_prompt_that_was_turned_down_is_not_taken_for_cached() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    let text = vec![7; 10 * BLOCK_BYTES];
    let (prefix, longer) = (Prefix::of("m", [&*text]), [&*text, &[8; 4 * BLOCK_BYTES]]);
    let longer = Prefix::of("m", longer);
    load.begin(now, &prefix).turned_down(now);
    assert_eq!(load.uncached(&prefix), 10);
    load.begin(now, &prefix).failed(now);
    assert_eq!(load.uncached(&prefix), 10);
    load.begin(now, &prefix).answered(now, SECOND);
    assert_eq!(load.uncached(&prefix), 0);
    load.begin(now, &longer).failed(now);
    assert_eq!(
        (load.uncached(&prefix), load.uncached(&longer)),
        (0, 4),
        "what others brought stays"
    );
    let mut broken = load.begin(now, &longer);
    broken.answered(now, SECOND);
    broken.failed(now);
    assert_eq!(load.uncached(&longer), 0, "it was read before that");
}

#[test]
fn a_clock_that_steps_back_does_no_harm() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    let now = now + SECOND;
    answer(&load, now + SECOND, SECOND);
    answer(&load, now, SECOND);
    assert_eq!(load.latency(now), Some(SECOND));
    let _hanging = load.begin(now + SECOND, Prefix::UNKNOWN);
    assert_eq!(load.latency(now), Some(SECOND));
}

#[test]
fn a_report_is_fresh_by_when_it_was_asked_for() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    let fresh = |at| load.fresh(at, 5 * SECOND, |report| report.in_flight);
    assert_eq!(fresh(now), None);
    let one = load.begin(now, Prefix::UNKNOWN);
    let mark = load.scrape_begins(now);
    drop(one);
    load.scraped(mark, Figures::default());
    assert_eq!(fresh(now + 4 * SECOND), Some(1));
    assert_eq!(fresh(now + 5 * SECOND), None);
    assert!(load.report().is_some());
}

#[test]
fn counts_hold_when_many_threads_come_and_go() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let load = &load;
            scope.spawn(move || {
                for round in 0..500_u16 {
                    let text = [thread; BLOCK_BYTES * 3];
                    let prefix = Prefix::of("m", [&text[..], &round.to_le_bytes()]);
                    load.begin(now, &prefix).answered(now, SECOND);
                }
            });
        }
    });
    assert_eq!((load.in_flight(), load.prefilling()), (0, 0));
}

#[test]
fn answers_without_a_token_are_no_silence() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    answer(&load, now, SECOND);
    let waiting = load.begin(now, Prefix::UNKNOWN);
    let later = now + 9 * SECOND;
    load.begin(later - SECOND, Prefix::UNKNOWN).ended(later);
    assert_eq!(load.latency(later), Some(SECOND));
    assert_eq!(
        load.latency(later + 3 * SECOND),
        Some(3 * SECOND),
        "one is awaited"
    );
    drop(waiting);
}

#[test]
fn what_was_not_sent_is_neither_awaited_nor_remembered() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    let prefix = Prefix::of("m", [&*vec![7; 10 * BLOCK_BYTES]]);
    let mut unsent = load.begin(now, &prefix);
    unsent.unsent();
    assert_eq!((load.in_flight(), load.prefilling()), (1, 0));
    drop(unsent);
    assert_eq!((load.in_flight(), load.uncached(&prefix)), (0, 10));
}
