use proptest::prelude::*;
use tollgate_config::Active;

use super::{super::Standing, *};

const SECOND: Duration = Duration::from_secs(1);

fn settings(max_out_percent: u32) -> Settings {
    Settings {
        passive: Some(Passive {
            consecutive_errors: 3,
            circuit: tollgate_config::Circuit {
                error_percent: 50,
                min_requests: 10,
                window: 10 * SECOND,
                pause: 5 * SECOND,
                pause_max: 60 * SECOND,
                probes: 1,
            },
        }),
        active: Some(Active {
            path: "/".into(),
            interval: SECOND,
            jitter_percent: 0,
            timeout: SECOND,
            down_after: 2,
            up_after: 1,
        }),
        breaker: None,
        max_out_percent,
        slow_start: 10 * SECOND,
        busy_max: 30 * SECOND,
    }
}

fn endpoints(settings: &Settings, count: usize, now: Instant) -> Vec<Arc<Health>> {
    let names = (0..count).map(|number| number.to_string());
    names
        .map(|name| Arc::new(Health::new(name.into(), settings, now)))
        .collect()
}

/// A ward, its endpoints, and how they are dealt with.
struct Story {
    settings: Settings,
    ward: Ward,
    all: Vec<Arc<Health>>,
    now: Instant,
}

impl Story {
    fn new(settings: Settings, count: usize) -> Self {
        let now = Instant::now();
        let (ward, all) = (Ward::new(), endpoints(&settings, count, now));
        assert_eq!(ward.set(all.clone(), &settings, now), []);
        Self {
            settings,
            ward,
            all,
            now,
        }
    }

    fn ask(&self, which: usize, outcome: Outcome) -> Vec<Event> {
        let health = &self.all[which];
        let admitted = health.admit(&self.settings, self.now);
        if admitted == Admitted::No {
            return Vec::new();
        }
        let tended = self.ward.report(health, (outcome, admitted), self.now);
        tended.into_iter().map(|change| change.event).collect()
    }

    fn fail(&self, which: usize) -> Vec<Event> {
        self.ask(which, Outcome::Error);
        self.ask(which, Outcome::Error);
        self.ask(which, Outcome::Error)
    }

    fn check(&self, which: usize, good: bool) -> Vec<Event> {
        let health = &self.all[which];
        let tended = self.ward.checked(health, good, self.now);
        tended.into_iter().map(|change| change.event).collect()
    }

    fn standing(&self, which: usize) -> Standing {
        self.all[which].standing(&self.settings, self.now)
    }

    fn share(&self, which: usize) -> u32 {
        match self.standing(which) {
            Standing::In(share) => share.thousandths(),
            _ => 0,
        }
    }

    fn is_out(&self, which: usize) -> bool {
        self.all[which].state.lock().out
    }
}

#[test]
fn errors_in_a_row_eject_and_a_good_answer_between_them_starts_over() {
    let story = Story::new(settings(50), 2);
    for outcome in [
        Outcome::Error,
        Outcome::Error,
        Outcome::Good,
        Outcome::Error,
        Outcome::Error,
    ] {
        assert_eq!(story.ask(0, outcome), []);
    }
    let ejected = [Event::Ejected(Why::InARow, 5 * SECOND)];
    assert_eq!(story.ask(0, Outcome::Error), ejected);
    assert_eq!(story.standing(0), Standing::Out(super::super::Out::Ejected));
    assert_eq!(story.share(1), 1_000);
}

#[test]
fn too_large_a_share_of_errors_ejects_though_none_follow_each_other() {
    let story = Story::new(settings(50), 2);
    for _ in 0..4 {
        assert_eq!(story.ask(0, Outcome::Good), []);
        assert_eq!(story.ask(0, Outcome::Error), []);
    }
    assert_eq!(story.ask(0, Outcome::Good), []);
    let ejected = [Event::Ejected(Why::Rate, 5 * SECOND)];
    assert_eq!(story.ask(0, Outcome::Error), ejected);
}

#[test]
fn a_returning_endpoint_is_tried_first_and_comes_back_slowly() {
    let mut story = Story::new(settings(50), 2);
    story.fail(0);
    story.now += 5 * SECOND;
    assert_eq!(story.standing(0), Standing::OnProbation);
    let again = [Event::Ejected(Why::Probe, 10 * SECOND)];
    assert_eq!(story.ask(0, Outcome::Error), again);
    story.now += 9 * SECOND;
    assert_eq!(story.share(0), 0);
    story.now += SECOND;
    assert_eq!(story.ask(0, Outcome::Good), [Event::Returned]);
    assert_eq!(story.share(0), 100);
    story.now += 5 * SECOND;
    assert_eq!(story.share(0), 550);
    story.now += 5 * SECOND;
    assert_eq!(story.share(0), 1_000);
}

#[test]
fn the_last_ones_stay_however_bad_they_are() {
    let story = Story::new(settings(50), 3);
    assert_eq!(story.fail(0), [Event::Ejected(Why::InARow, 5 * SECOND)]);
    assert_eq!(story.fail(1), [Event::Spared(Why::InARow)]);
    assert_eq!(story.share(1), 1_000);
    let alone = Story::new(settings(99), 1);
    assert_eq!(alone.fail(0), []);
    let all = Story::new(settings(100), 1);
    assert_eq!(all.fail(0), [Event::Ejected(Why::InARow, 5 * SECOND)]);
}

#[test]
fn one_that_was_kept_in_though_down_is_taken_out_when_another_is_back() {
    let mut story = Story::new(settings(50), 2);
    assert_eq!(story.check(0, false), []);
    assert_eq!(story.check(0, false), [Event::Down { out: true }]);
    story.check(1, false);
    assert_eq!(story.check(1, false), [Event::Down { out: false }]);
    assert_eq!(story.share(1), 1_000);
    assert_eq!(story.check(0, true), [Event::Up, Event::TakenOut]);
    assert_eq!((story.share(0), story.share(1)), (100, 0));
    story.now += 60 * SECOND;
    assert_eq!(story.check(1, true), [Event::Up]);
    assert_eq!((story.share(0), story.share(1)), (1_000, 100));
}

#[test]
fn one_that_is_down_and_ejected_needs_both_to_be_back() {
    let mut story = Story::new(settings(50), 2);
    story.fail(0);
    story.check(0, false);
    assert_eq!(story.check(0, false), [Event::Down { out: true }]);
    story.now += 5 * SECOND;
    assert_eq!(story.standing(0), Standing::Out(super::super::Out::Down));
    assert_eq!(story.ask(0, Outcome::Good), []);
    assert_eq!(story.check(0, true), [Event::Up]);
    assert_eq!(story.standing(0), Standing::OnProbation);
    assert_eq!(story.ask(0, Outcome::Good), [Event::Returned]);
}

#[test]
fn when_others_leave_the_upstream_some_that_were_out_come_back() {
    let story = Story::new(settings(50), 4);
    story.fail(0);
    story.fail(1);
    let rest = story.all[..2].to_vec();
    let tended = story.ward.set(rest, &story.settings, story.now);
    assert_eq!(tended.len(), 1);
    assert_eq!(tended[0].event, Event::Readmitted);
    assert_eq!((story.is_out(0), story.is_out(1)), (false, true));
}

#[test]
fn a_reload_keeps_who_is_out_and_new_settings_let_them_back() {
    let mut story = Story::new(settings(50), 2);
    story.fail(0);
    let more = endpoints(&story.settings, 1, story.now);
    let all = [&story.all[..], &more[..]].concat();
    assert_eq!(story.ward.set(all, &story.settings, story.now), []);
    assert!(story.is_out(0));
    let share = more[0].standing(&story.settings, story.now);
    assert!(
        matches!(share, Standing::In(share) if share.thousandths() == 100),
        "a new endpoint starts slowly"
    );
    story.settings.passive = None;
    story.settings.active = None;
    let tended = story
        .ward
        .set(story.all.clone(), &story.settings, story.now);
    assert_eq!(tended.len(), 1);
    assert!(!story.is_out(0));
}

#[test]
fn an_exchange_that_outlives_a_reload_is_judged_by_the_new_settings() {
    let mut story = Story::new(settings(50), 2);
    story.ask(0, Outcome::Error);
    story.ask(0, Outcome::Error);
    let health = story.all[0].clone();
    let admitted = health.admit(&story.settings, story.now);
    story.settings.passive = None;
    story
        .ward
        .set(story.all.clone(), &story.settings, story.now);
    let told = (Outcome::Error, admitted);
    assert_eq!(story.ward.report(&health, told, story.now), []);
    assert_eq!(story.share(0), 1_000, "nothing would let it back");
}

#[test]
fn a_probe_whose_answer_began_passes_and_its_end_counts_like_any_other() {
    let mut story = Story::new(settings(50), 2);
    story.fail(0);
    story.now += 5 * SECOND;
    let health = story.all[0].clone();
    let admitted = health.admit(&story.settings, story.now);
    let events = |tended: Tended| {
        tended
            .into_iter()
            .map(|change| change.event)
            .collect::<Vec<_>>()
    };
    let began = story.ward.began(&health, admitted, story.now);
    assert_eq!(events(began), [Event::Returned]);
    let broken = (Outcome::Error, Admitted::Freely);
    for expected in [&[][..], &[], &[Event::Ejected(Why::InARow, 10 * SECOND)]] {
        let tended = story.ward.report(&health, broken, story.now);
        assert_eq!(events(tended), expected);
    }
}

#[test]
fn a_pause_that_was_asked_for_is_kept_within_a_bound_and_is_no_error() {
    let mut story = Story::new(settings(50), 2);
    let pause = Outcome::Busy(3600 * SECOND);
    for _ in 0..5 {
        assert_eq!(story.ask(0, pause), [Event::Busy(30 * SECOND)]);
    }
    assert_eq!(story.standing(0), Standing::Busy);
    story.now += 30 * SECOND;
    assert_eq!(story.share(0), 1_000);
    story.settings.busy_max = Duration::ZERO;
    story
        .ward
        .set(story.all.clone(), &story.settings, story.now);
    assert_eq!(story.ask(0, pause), []);
    assert_eq!(story.share(0), 1_000);
}

/// Something that may happen.
#[derive(Debug, Clone)]
enum Step {
    Ask(usize, Option<Outcome>),
    Check(usize, bool),
    Wait(u64),
    Keep(usize, usize),
    Cap(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Some(Outcome::Error)),
        1 => Just(Some(Outcome::Good)),
        1 => Just(Some(Outcome::Busy(SECOND))),
        1 => Just(None),
    ];
    prop_oneof![
        8 => (0..8_usize, outcome).prop_map(|(which, outcome)| Step::Ask(which, outcome)),
        4 => (0..8_usize, any::<bool>()).prop_map(|(which, good)| Step::Check(which, good)),
        2 => (0..20_u64).prop_map(Step::Wait),
        1 => (0..8_usize, 0..=8_usize).prop_map(|(from, count)| Step::Keep(from, count)),
        1 => (0..=100_u32).prop_map(Step::Cap),
    ]
}

proptest! {
    #[test]
    fn never_more_are_out_than_may_be(
        percent in 0..=100_u32,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut story = Story::new(settings(percent), 8);
        let mut present = story.all.clone();
        for step in steps {
            match step {
                Step::Ask(which, Some(outcome)) => drop(story.ask(which, outcome)),
                Step::Ask(which, None) => {
                    let health = &story.all[which];
                    health.left(health.admit(&story.settings, story.now));
                }
                Step::Check(which, good) => drop(story.check(which, good)),
                Step::Wait(seconds) => story.now += Duration::from_secs(seconds),
                Step::Keep(from, count) => {
                    present = story.all.iter().cycle().skip(from).take(count).cloned().collect();
                    story.ward.set(present.clone(), &story.settings, story.now);
                }
                Step::Cap(percent) => {
                    story.settings.max_out_percent = percent;
                    story.ward.set(present.clone(), &story.settings, story.now);
                }
            }
            let percent = story.settings.max_out_percent as usize;
            let out = present.iter().filter(|health| {
                !matches!(
                    health.standing(&story.settings, story.now),
                    Standing::In(_) | Standing::Busy
                )
            });
            let out = out.count();
            prop_assert!(out * 100 <= present.len() * percent, "{out} of {}", present.len());
            // One that only probes may ask is one that is out.
            for health in &present {
                let shown = health.state.lock();
                prop_assert_eq!(shown.circuit.is_closed() || shown.out, true);
            }
        }
    }
}

#[test]
fn another_window_holds_for_endpoints_that_stay() {
    let mut story = Story::new(settings(50), 2);
    let passive = story.settings.passive.as_mut().unwrap();
    passive.consecutive_errors = 0;
    passive.circuit.window = 2 * SECOND;
    story
        .ward
        .set(story.all.clone(), &story.settings, story.now);
    // Within ten seconds there are enough of them, within two there are not.
    for _ in 0..12 {
        assert_eq!(story.ask(0, Outcome::Error), []);
        story.now += SECOND;
    }
    assert_eq!(story.share(0), 1_000);
}
