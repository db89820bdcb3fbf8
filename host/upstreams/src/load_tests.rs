use super::*;

fn load(balance: &Balance) -> (Arc<Load>, Instant) {
    let now = Instant::now();
    (Load::new(Settings::of(balance), now), now)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_is_in_flight_until_it_is_dropped() {
    let (load, _) = load(&Balance::default());
    let one = load.begin(Prefix::UNKNOWN);
    let two = load.begin(Prefix::UNKNOWN);
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
    let mut one = load.begin(&prefix);
    assert_eq!(load.prefilling(), 10);
    let longer = Prefix::of("m", [&*text, b"and more"]);
    let two = load.begin(&longer);
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

#[test]
fn a_latency_jumps_up_to_a_peak_and_sinks_with_time() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    assert_eq!(load.latency(now), None);
    let mut request = load.begin(Prefix::UNKNOWN);
    request.answered(now, SECOND);
    assert_eq!(load.latency(now), Some(SECOND));
    request.answered(now, 5 * SECOND);
    assert_eq!(load.latency(now), Some(5 * SECOND));
    request.answered(now, SECOND);
    assert_eq!(
        load.latency(now),
        Some(5 * SECOND),
        "at once, the peak stands"
    );
    let later = now + 10 * SECOND;
    let sunk = load.latency(later).unwrap().as_secs_f64();
    assert!((sunk - 5.0 / std::f64::consts::E).abs() < 1e-9, "{sunk}");
    request.answered(later, SECOND);
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
fn a_clock_that_steps_back_does_no_harm() {
    let (load, now) = load(&Balance::PeakEwma(Default::default()));
    let mut request = load.begin(Prefix::UNKNOWN);
    request.answered(now + SECOND, SECOND);
    request.answered(now, SECOND);
    assert_eq!(load.latency(now), Some(SECOND));
}

#[test]
fn a_report_is_fresh_by_when_it_was_asked_for() {
    let (load, now) = load(&Balance::ModelAware(Default::default()));
    let fresh = |at| load.fresh(at, 5 * SECOND, |report| report.in_flight);
    assert_eq!(fresh(now), None);
    let one = load.begin(Prefix::UNKNOWN);
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
                    load.begin(&prefix).answered(now, SECOND);
                }
            });
        }
    });
    assert_eq!((load.in_flight(), load.prefilling()), (0, 0));
}
