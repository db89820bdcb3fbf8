use std::{sync::Arc, time::Duration};

use tollgate_config::PeakEwma;

use super::*;
use crate::{
    load::{InFlight, Settings},
    scrape,
};

/// Endpoints, and what they have in flight.
struct Bed {
    now: Instant,
    loads: Vec<Arc<Load>>,
    weights: Vec<f64>,
    in_flight: Vec<InFlight>,
    seed: u64,
    balancer: Balancer,
}

impl Bed {
    fn new(balance: &Balance, weights: &[f64]) -> Self {
        let now = Instant::now();
        let load = |_: &f64| Load::new(Settings::of(balance), now);
        Self {
            now,
            loads: weights.iter().map(load).collect(),
            weights: weights.to_vec(),
            in_flight: Vec::new(),
            seed: 1,
            balancer: Balancer::new(balance),
        }
    }

    fn send(&mut self, at: usize, prefix: &Prefix) {
        self.in_flight.push(self.loads[at].begin(self.now, prefix));
    }

    fn report(&self, at: usize, page: &str) {
        let mark = self.loads[at].scrape_begins(self.now);
        self.loads[at].scraped(mark, scrape::figures(page.as_bytes()).unwrap());
    }

    fn picking<'a>(
        &mut self,
        scores: Option<&[f64]>,
        change: impl FnOnce(&mut Ask<'a>),
    ) -> Option<usize> {
        let candidates = candidates(&self.loads, &self.weights);
        let mut ask = Ask {
            now: self.now,
            key: None,
            model: None,
            prefix: Prefix::UNKNOWN,
        };
        change(&mut ask);
        let seed = &mut self.seed;
        let chance = || {
            *seed = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            hash(&seed.to_le_bytes())
        };
        match scores {
            Some(scores) => self
                .balancer
                .pick_by_scores(&candidates, scores, &ask, chance),
            None => self.balancer.pick(&candidates, &ask, chance),
        }
    }

    fn pick(&mut self) -> Option<usize> {
        self.picking(None, |_| ())
    }

    fn pick_key(&mut self, key: u64) -> Option<usize> {
        self.picking(None, |ask| ask.key = Some(hash(&key.to_le_bytes())))
    }

    /// How often each was picked of so many times, nothing being sent.
    fn count(&mut self, times: usize) -> Vec<usize> {
        let mut counts = vec![0; self.loads.len()];
        for _ in 0..times {
            counts[self.pick().unwrap()] += 1;
        }
        counts
    }
}

fn candidates<'a>(loads: &'a [Arc<Load>], weights: &[f64]) -> Vec<Candidate<'a>> {
    let all = loads.iter().zip(weights).enumerate();
    all.map(|(at, (load, weight))| Candidate {
        id: hash(&at.to_le_bytes()),
        weight: *weight,
        load,
    })
    .collect()
}

fn by_session(bound: u32) -> Balance {
    let on = HashOn::Fact("session".into());
    Balance::ConsistentHash(ConsistentHash { on, bound })
}

fn every_way() -> Vec<Balance> {
    vec![
        Balance::RoundRobin,
        Balance::LeastRequests,
        Balance::PeakEwma(PeakEwma::default()),
        by_session(125),
        Balance::ModelAware(ModelAware::default()),
    ]
}

fn model_aware(weights: &[f64]) -> Bed {
    let bed = Bed::new(&Balance::ModelAware(ModelAware::default()), weights);
    for at in 0..weights.len() {
        bed.report(at, IDLE);
    }
    bed
}

const IDLE: &str = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n";

#[test]
fn no_way_picks_what_is_not_available() {
    for balance in every_way() {
        let mut bed = Bed::new(&balance, &[0.0, 1.0, 0.0, f64::NAN]);
        bed.report(0, IDLE);
        for key in 0..50 {
            assert_eq!(bed.pick_key(key), Some(1), "{balance:?}");
            assert_eq!(bed.pick(), Some(1), "{balance:?}");
        }
        for weights in [&[][..], &[0.0], &[0.0, 0.0], &[-1.0, f64::INFINITY]] {
            let mut bed = Bed::new(&balance, weights);
            assert_eq!(bed.pick_key(1), None, "{balance:?}");
            assert_eq!(bed.pick(), None, "{balance:?}");
        }
    }
}

#[test]
fn equal_endpoints_take_turns() {
    let mut bed = Bed::new(&Balance::RoundRobin, &[1.0; 3]);
    let picks: Vec<_> = (0..6).map(|_| bed.pick().unwrap()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    bed.weights[1] = 0.0;
    let picks: Vec<_> = (0..4).map(|_| bed.pick().unwrap()).collect();
    assert_eq!(picks, [0, 2, 0, 2]);
}

#[test]
fn turns_go_by_weight_and_a_slow_start_gets_its_share() {
    let mut bed = Bed::new(&Balance::RoundRobin, &[1.0, 2.0, 0.25]);
    let counts = bed.count(3_250);
    for (count, expected) in counts.iter().zip([1_000, 2_000, 250]) {
        assert!(count.abs_diff(expected) <= 5, "{counts:?}");
    }
    let mut last = 0;
    for pick in 0..300 {
        if bed.pick() == Some(1) {
            last = pick;
        }
        assert!(
            pick - last <= 3,
            "the heavy one waited for {} turns",
            pick - last
        );
    }
}

#[test]
fn least_requests_never_picks_the_busiest_of_all() {
    let mut bed = Bed::new(&Balance::LeastRequests, &[1.0; 4]);
    for _ in 0..3 {
        bed.send(2, Prefix::UNKNOWN);
    }
    let counts = bed.count(1_000);
    assert_eq!(counts[2], 0);
    assert!(
        counts.iter().filter(|count| **count > 200).count() == 3,
        "{counts:?}"
    );
}

#[test]
fn requests_in_flight_count_by_weight() {
    let mut bed = Bed::new(&Balance::LeastRequests, &[1.0, 4.0]);
    for at in [0, 1, 1, 1] {
        bed.send(at, Prefix::UNKNOWN);
    }
    assert_eq!(bed.count(100), [0, 100], "3 of 4 are less than 1 of 1");
    for _ in 0..2 {
        bed.send(1, Prefix::UNKNOWN);
    }
    assert_eq!(bed.count(100), [100, 0], "5 of 4 are more than 1 of 1");
}

#[test]
fn one_request_at_a_time_goes_by_weight() {
    let peak_ewma = Balance::PeakEwma(PeakEwma::default());
    for (balance, shares) in [(Balance::LeastRequests, 250..350), (peak_ewma, 220..450)] {
        let mut bed = Bed::new(&balance, &[1.0, 2.0]);
        let mut counts = [0, 0];
        for _ in 0..900 {
            let at = bed.pick().unwrap();
            counts[at] += 1;
            let took = Duration::from_millis(50);
            let mut request = bed.loads[at].begin(bed.now, Prefix::UNKNOWN);
            bed.now += took;
            request.answered(bed.now, took);
        }
        assert!(shares.contains(&counts[0]), "{balance:?}: {counts:?}");
    }
}

/// What comes of a request at an endpoint.
#[derive(Clone, Copy)]
enum Fate {
    /// After so many milliseconds.
    Answered(u64),
    Failed(u64),
}

/// A hundred requests a second for so many seconds at endpoints of these fates: how many went to
/// each in the last half.
fn busy(bed: &mut Bed, fates: &[Fate], seconds: u64) -> Vec<usize> {
    let mut counts = vec![0; fates.len()];
    let mut open: Vec<(Instant, usize, Instant, InFlight)> = Vec::new();
    for tick in 0..seconds * 100 {
        bed.now += Duration::from_millis(10);
        let now = bed.now;
        open.sort_by_key(|(due, ..)| *due);
        while open.first().is_some_and(|(due, ..)| *due <= now) {
            let (due, at, sent, mut request) = open.remove(0);
            match fates[at] {
                Fate::Answered(_) => request.answered(due, due - sent),
                Fate::Failed(_) => request.failed(due),
            }
        }
        let at = bed.pick().unwrap();
        if tick >= seconds * 50 {
            counts[at] += 1;
        }
        let (Fate::Answered(takes) | Fate::Failed(takes)) = fates[at];
        let due = now + Duration::from_millis(takes);
        open.push((due, at, now, bed.loads[at].begin(now, Prefix::UNKNOWN)));
    }
    counts
}

#[test]
fn peak_ewma_leaves_endpoints_alone_that_stall_or_fail() {
    let well = Fate::Answered(200);
    // Requests that hang until they are given up, and such as fail at once.
    for bad in [Fate::Failed(30_000), Fate::Failed(5)] {
        let mut bed = Bed::new(&Balance::PeakEwma(PeakEwma::default()), &[1.0; 3]);
        let before = busy(&mut bed, &[well; 3], 20);
        assert!(before.iter().all(|count| *count > 200), "{before:?}");
        let after = busy(&mut bed, &[bad, well, well], 120);
        assert!(after[0] < 300, "of 6,000: {after:?}");
        assert!(after[0] > 0, "it is never tried again: {after:?}");
        let again = busy(&mut bed, &[well; 3], 120);
        assert!(again[0] > 1_000, "it does not come back: {again:?}");
        // One that never did anything else is no better.
        let mut bed = Bed::new(&Balance::PeakEwma(PeakEwma::default()), &[1.0; 3]);
        let counts = busy(&mut bed, &[bad, well, well], 120);
        assert!(counts[0] < 300, "of 6,000: {counts:?}");
    }
}

#[test]
fn peak_ewma_prefers_who_answers_sooner_and_tries_who_never_did() {
    let mut bed = Bed::new(&Balance::PeakEwma(PeakEwma::default()), &[1.0; 2]);
    let millis = Duration::from_millis;
    bed.loads[0]
        .begin(bed.now, Prefix::UNKNOWN)
        .answered(bed.now, millis(300));
    assert_eq!(bed.count(50), [0, 50], "the other was never tried");
    bed.send(1, Prefix::UNKNOWN);
    assert_eq!(bed.count(50), [50, 0], "it is being tried");
    bed.in_flight[0].answered(bed.now, millis(50));
    assert_eq!(bed.count(50), [0, 50], "two times 50 ms are less than 300");
    for _ in 0..6 {
        bed.send(1, Prefix::UNKNOWN);
    }
    assert_eq!(bed.count(50), [50, 0], "eight times 50 ms are more");
}

#[test]
fn a_key_goes_to_one_endpoint_and_only_the_keys_of_a_lost_one_move() {
    let mut bed = Bed::new(&by_session(125), &[1.0; 5]);
    let before: Vec<_> = (0..500).map(|key| bed.pick_key(key)).collect();
    let again: Vec<_> = (0..500).map(|key| bed.pick_key(key)).collect();
    assert_eq!(before, again);
    bed.weights[3] = 0.0;
    for (key, before) in before.iter().enumerate() {
        let now = bed.pick_key(key as u64);
        assert!(
            now == *before || *before == Some(3),
            "{key} moved from {before:?} to {now:?}"
        );
    }
}

#[test]
fn keys_spread_by_weight() {
    let mut bed = Bed::new(&by_session(125), &[1.0, 3.0]);
    let to_heavy = (0..2_000)
        .filter(|key| bed.pick_key(*key) == Some(1))
        .count();
    assert!((1_400..1_600).contains(&to_heavy), "{to_heavy}");
}

#[test]
fn a_hot_key_flows_over_at_the_bound() {
    let mut bed = Bed::new(&by_session(150), &[1.0; 4]);
    let mut counts = vec![0_usize; 4];
    for _ in 0..80 {
        let at = bed.pick_key(7).unwrap();
        counts[at] += 1;
        bed.send(at, Prefix::UNKNOWN);
    }
    counts.sort_unstable();
    assert!(
        counts[3] <= 30 && counts[3] >= 28,
        "half more than a fair share: {counts:?}"
    );
    assert!(
        counts[0] < 20,
        "its last choice gets what is left: {counts:?}"
    );
}

#[test]
fn where_none_has_room_the_first_choice_is_picked() {
    let mut bed = Bed::new(&by_session(125), &[1.0; 3]);
    (0..3).for_each(|at| bed.send(at, Prefix::UNKNOWN));
    let candidates = candidates(&bed.loads, &bed.weights);
    for key in 0..20 {
        let key = hash(&u64::to_le_bytes(key));
        let free = consistent_hash::pick(&candidates, key, 125);
        assert!(free.is_some());
        // As if each got busy after its requests were added up.
        assert_eq!(consistent_hash::pick_within(&candidates, key, 0.0), free);
    }
}

#[test]
fn without_a_key_the_less_busy_is_picked() {
    let mut bed = Bed::new(&by_session(125), &[1.0; 2]);
    bed.send(0, Prefix::UNKNOWN);
    assert_eq!(bed.count(50), [0, 50]);
}

#[test]
fn model_aware_goes_where_the_prompt_is_known_until_the_queue_there_costs_more() {
    let mut bed = model_aware(&[1.0; 3]);
    let text = vec![1; 100 * BLOCK_BYTES];
    let prefix = Prefix::of("m", [&*text]);
    bed.send(1, &prefix);
    bed.in_flight[0].answered(bed.now, Duration::from_secs(1));
    let mut sent = 1;
    while bed.picking(None, |ask| ask.prefix = &prefix) == Some(1) {
        bed.send(1, &prefix);
        sent += 1;
        assert!(sent < 100, "everything goes to one endpoint");
    }
    assert!(sent > 5, "its prompt is known there, and {sent} were sent");
}

#[test]
fn model_aware_counts_what_it_sent_since_the_scrape_and_what_others_have_sent() {
    let mut bed = model_aware(&[1.0; 3]);
    bed.report(
        0,
        "vllm:num_requests_running 20\nvllm:num_requests_waiting 0\n",
    );
    bed.report(
        2,
        "vllm:num_requests_running 0\nvllm:num_requests_waiting 3\n",
    );
    assert_eq!(bed.count(50), [0, 50, 0]);
    for _ in 0..10 {
        bed.send(1, Prefix::UNKNOWN);
    }
    assert_eq!(
        bed.count(50),
        [0, 0, 50],
        "10 sent since are more than 3 that wait"
    );
}

#[test]
fn model_aware_shuns_a_full_cache() {
    let mut bed = model_aware(&[1.0; 2]);
    bed.report(0, &format!("{IDLE}vllm:kv_cache_usage_perc 0.99\n"));
    bed.report(
        1,
        "vllm:num_requests_running 5\nvllm:kv_cache_usage_perc 0.5\n",
    );
    assert_eq!(bed.count(50), [0, 50]);
}

#[test]
fn model_aware_goes_where_an_adapter_is_loaded() {
    let mut bed = model_aware(&[1.0; 3]);
    let page = |adapter| {
        format!(
            "{IDLE}vllm:lora_requests_info{{max_lora=\"1\",running_lora_adapters=\"{adapter}\"}} 1\n"
        )
    };
    bed.report(0, &page("chat"));
    bed.report(1, &page("sql"));
    for _ in 0..20 {
        assert_eq!(bed.picking(None, |ask| ask.model = Some("sql")), Some(1));
        assert_eq!(bed.picking(None, |ask| ask.model = Some("chat")), Some(0));
    }
    let mut seen = [false; 3];
    for _ in 0..100 {
        seen[bed.picking(None, |ask| ask.model = Some("base")).unwrap()] = true;
    }
    assert_eq!(seen, [true; 3], "what no endpoint names is no adapter");
}

#[test]
fn an_endpoint_without_fresh_figures_competes_by_what_is_in_flight() {
    let mut bed = model_aware(&[1.0; 3]);
    bed.loads[2] = Load::new(
        Settings::of(&Balance::ModelAware(ModelAware::default())),
        bed.now,
    );
    for _ in 0..4 {
        bed.send(0, Prefix::UNKNOWN);
        bed.send(1, Prefix::UNKNOWN);
    }
    let counts = bed.count(900);
    assert!(
        (200..400).contains(&counts[2]),
        "its share and no more: {counts:?}"
    );
    for _ in 0..5 {
        bed.send(2, Prefix::UNKNOWN);
    }
    assert_eq!(bed.count(100)[2], 0);
}

#[test]
fn given_scores_win_and_equal_ones_share() {
    let mut bed = Bed::new(&Balance::RoundRobin, &[1.0, 1.0, 1.0, 0.0]);
    let mut counts = [0; 4];
    for _ in 0..300 {
        counts[bed
            .picking(Some(&[2.0, f64::NAN, 2.0, 9.0]), |_| ())
            .unwrap()] += 1;
    }
    assert!(
        counts[0] > 100 && counts[2] > 100 && counts[1] + counts[3] == 0,
        "{counts:?}"
    );
    assert_eq!(
        bed.picking(Some(&[f64::NEG_INFINITY, -1.0]), |_| ()),
        Some(1)
    );
    let mut turns = vec![];
    for scores in [&[][..], &[f64::NAN; 4], &[f64::NAN]] {
        turns.push(bed.picking(Some(scores), |_| ()).unwrap());
    }
    assert_eq!(
        turns,
        [0, 1, 2],
        "without a score the upstream's own way picks"
    );
}
