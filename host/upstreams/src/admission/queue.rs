//! Who waits for a permit, of all classes: places and turns go by weight.
//!
//! A class of weight 8 gets eight permits for each one of a class of weight 1, while both
//! have somebody waiting: the least important is slow, and never starved. Places are shared
//! in the same way: one that is not used may be borrowed, and is taken back from who has
//! most beyond its share. Pure: it holds whatever is to be woken, and wakes nobody.

use super::{
    Asker,
    line::{Lines, Number, Place},
};

/// How far a class of weight 1 moves with each turn; one of the greatest weight moves still.
const STRIDE: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<W> {
    bound: usize,
    classes: Vec<Class<W>>,
    /// How many of the classes take somebody in. Those beyond are left over from before.
    open: usize,
    /// Where the class stood that had the last turn.
    pass: u64,
    count: usize,
    next: Number,
}

#[derive(Debug)]
struct Class<W> {
    weight: u32,
    /// Its places, while all others use theirs.
    share: usize,
    /// Grows with each turn, the slower the greater the weight; the lowest is next.
    pass: u64,
    lines: Lines<W>,
}

/// What became of one that asked for a place.
#[derive(Debug)]
pub(super) enum Placed<W> {
    Waits(Place),
    /// In the place of another, which is to be told.
    InPlaceOf(W, Others, Place),
    No(Others),
}

/// Whether others of the same caller wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Wait,
    None,
}

impl Others {
    fn of(count: usize) -> Self {
        if count > 0 { Self::Wait } else { Self::None }
    }
}

impl<W> Queue<W> {
    pub(super) fn new(bound: usize, weights: &[u32]) -> Self {
        let mut queue = Self {
            bound,
            classes: Vec::new(),
            open: 0,
            pass: 0,
            count: 0,
            next: 0,
        };
        queue.reconfigure(bound, weights);
        queue
    }

    /// Other bounds. Who waits keeps its place, beyond a smaller bound and in a class that is
    /// no more, too.
    pub(super) fn reconfigure(&mut self, bound: usize, weights: &[u32]) {
        self.bound = bound;
        self.open = weights.len().max(1);
        while self.classes.len() < self.open {
            self.classes.push(Class {
                weight: 1,
                share: 0,
                pass: self.pass,
                lines: Lines::default(),
            });
        }
        let mut open: Vec<u32> = weights.iter().map(|weight| (*weight).max(1)).collect();
        open.resize(self.open, 1);
        let shares = shares(bound, &open).into_iter();
        let settings = open.into_iter().zip(shares);
        let settings = settings.chain(std::iter::repeat((1, 0)));
        for (class, (weight, share)) in self.classes.iter_mut().zip(settings) {
            class.weight = weight;
            class.share = share;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Asks for a place.
    pub(super) fn ask(&mut self, asker: Asker, waiter: W) -> Placed<W> {
        let asker = Asker {
            class: asker.class.min(self.open - 1),
            ..asker
        };
        if self.count < self.bound {
            return Placed::Waits(self.push(asker, waiter));
        }
        match self.displace(asker) {
            Some((displaced, others)) => {
                let place = self.push(asker, waiter);
                Placed::InPlaceOf(displaced, others, place)
            }
            None => {
                let lines = &self.classes[asker.class].lines;
                Placed::No(Others::of(lines.count_of(asker.caller)))
            }
        }
    }

    /// Takes a place back: from the class that has most beyond its share, where the asker's
    /// has less than its own, or else from who would be served later than the asker.
    fn displace(&mut self, asker: Asker) -> Option<(W, Others)> {
        let own = &self.classes[asker.class];
        let is_short = own.lines.count() < own.share;
        let class = if is_short {
            let beyond = |class: &usize| {
                let class = &self.classes[*class];
                class.lines.count().saturating_sub(class.share)
            };
            let most = (0..self.classes.len()).max_by_key(beyond);
            most.filter(|class| beyond(class) > 0)?
        } else {
            asker.class
        };
        let lines = &mut self.classes[class].lines;
        let (caller, round) = lines.longest()?;
        if !is_short && round <= lines.next_round(asker.caller) {
            return None;
        }
        let displaced = lines.pop_newest(caller)?;
        self.count -= 1;
        Some((displaced, Others::of(lines.count_of(caller))))
    }

    fn push(&mut self, asker: Asker, waiter: W) -> Place {
        let number = self.next;
        self.next += 1;
        let class = &mut self.classes[asker.class];
        // What it did not use while nobody waited is not made up for.
        if class.lines.count() == 0 {
            class.pass = class.pass.max(self.pass);
        }
        class.lines.push(asker.caller, number, waiter);
        self.count += 1;
        Place {
            class: asker.class,
            caller: asker.caller,
            number,
        }
    }

    /// The next whose turn it is.
    pub(super) fn pop(&mut self) -> Option<W> {
        let waiting = self.classes.iter_mut();
        let waiting = waiting.filter(|class| class.lines.count() > 0);
        let class = waiting.min_by_key(|class| class.pass)?;
        self.pass = class.pass;
        class.pass += STRIDE / u64::from(class.weight).min(STRIDE);
        let waiter = class.lines.pop()?;
        self.count -= 1;
        Some(waiter)
    }

    /// One that no longer waits; `None`: it did not.
    pub(super) fn remove(&mut self, place: Place) -> Option<W> {
        let class = self.classes.get_mut(place.class)?;
        let removed = class.lines.remove(place.caller, place.number)?;
        self.count -= 1;
        Some(removed)
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.count == 0 && self.classes.iter().all(|class| class.lines.is_clear())
    }
}

/// The places of each class: by weight, rounded down, but one at least where there are
/// enough for all.
fn shares(bound: usize, weights: &[u32]) -> Vec<usize> {
    let mut has_one = vec![false; weights.len()];
    loop {
        let by_weight = || weights.iter().zip(&has_one);
        let ones = has_one.iter().filter(|has_one| **has_one).count();
        let rest = by_weight().filter(|(_, has_one)| !**has_one);
        let all: u128 = rest.map(|(weight, _)| u128::from(*weight)).sum();
        let left = (bound - ones) as u128;
        let share = |(weight, has_one): (&u32, &bool)| match has_one {
            true => 1,
            false => (left * u128::from(*weight) / all) as usize,
        };
        let shares: Vec<usize> = by_weight().map(share).collect();
        match shares.iter().position(|share| *share == 0) {
            // What it gets is taken from the others, one of which may now be without.
            Some(without) if bound >= weights.len() => has_one[without] = true,
            _ => return shares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Who = (usize, u64);

    fn asker((class, caller): Who) -> Asker {
        Asker { class, caller }
    }

    fn queue(bound: usize, weights: &[u32], asked: &[Who]) -> Queue<Who> {
        let mut queue = Queue::new(bound, weights);
        for who in asked {
            queue.ask(asker(*who), *who);
        }
        queue
    }

    fn served(queue: &mut Queue<Who>) -> Vec<Who> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn classes_take_turns_by_weight() {
        let asked: Vec<_> = (0..40).map(|at| (at % 2, 0)).collect();
        let mut queue = queue(100, &[4, 1], &asked);
        let classes: String = served(&mut queue)
            .iter()
            .map(|(class, _)| class.to_string())
            .collect();
        assert_eq!(&classes[..15], "010000100001000");
        assert_eq!(&classes[30..], "1111111111");
        assert!(queue.is_clear());
    }

    #[test]
    fn a_class_that_rested_makes_nothing_up() {
        let mut queue = queue(100, &[1, 1], &[(0, 0); 20]);
        for _ in 0..10 {
            queue.pop();
        }
        for _ in 0..5 {
            queue.ask(asker((1, 0)), (1, 0));
        }
        let classes: Vec<_> = served(&mut queue).iter().map(|(class, _)| *class).collect();
        assert_eq!(classes[..6], [1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_borrowed_place_is_taken_back_from_the_newest_of_who_borrowed_most() {
        let asked = [(1, 7), (1, 7), (1, 8), (1, 7)];
        let mut queue = queue(4, &[3, 1], &asked);
        let placed = queue.ask(asker((0, 1)), (0, 1));
        assert!(matches!(placed, Placed::InPlaceOf((1, 7), Others::Wait, _)));
        for _ in 0..2 {
            let placed = queue.ask(asker((0, 1)), (0, 1));
            assert!(matches!(placed, Placed::InPlaceOf(..)), "{placed:?}");
        }
        // Three of four places are its share. The last one is the other class's own.
        let placed = queue.ask(asker((0, 1)), (0, 1));
        assert!(matches!(placed, Placed::No(Others::Wait)), "{placed:?}");
        let placed = queue.ask(asker((1, 9)), (1, 9));
        assert!(matches!(placed, Placed::No(Others::None)), "{placed:?}");
        assert_eq!(queue.count(), 4);
    }

    #[test]
    fn a_class_of_little_weight_has_a_place_where_there_is_one_for_each() {
        assert_eq!(shares(13, &[8, 4, 1]), [8, 4, 1]);
        assert_eq!(shares(9, &[8, 4, 1]), [5, 2, 1]);
        assert_eq!(shares(3, &[8, 4, 1]), [1, 1, 1]);
        assert_eq!(shares(2, &[8, 4, 1]), [1, 0, 0]);
        assert_eq!(shares(4, &[1_000, 1, 1, 1]), [1, 1, 1, 1]);
        let mut queue = queue(9, &[8, 4, 1], &[(0, 1); 9]);
        let placed = queue.ask(asker((2, 2)), (2, 2));
        assert!(matches!(placed, Placed::InPlaceOf((0, 1), Others::Wait, _)));
        let placed = queue.ask(asker((2, 3)), (2, 3));
        assert!(matches!(placed, Placed::No(Others::None)), "{placed:?}");
    }

    #[test]
    fn a_flood_of_one_caller_leaves_places_to_the_others() {
        let mut queue = queue(6, &[1], &[(0, 1); 10]);
        for other in [2, 3] {
            let placed = queue.ask(asker((0, other)), (0, other));
            assert!(matches!(placed, Placed::InPlaceOf((0, 1), Others::Wait, _)));
        }
        let placed = queue.ask(asker((0, 1)), (0, 1));
        assert!(matches!(placed, Placed::No(Others::Wait)), "{placed:?}");
        let callers: Vec<_> = served(&mut queue)
            .iter()
            .map(|(_, caller)| *caller)
            .collect();
        assert_eq!(callers, [1, 2, 3, 1, 1, 1]);
    }

    #[test]
    fn a_queue_without_places_takes_nobody_in() {
        let mut queue = Queue::new(0, &[]);
        let placed = queue.ask(asker((3, 1)), ());
        assert!(matches!(placed, Placed::No(Others::None)));
        assert!(queue.is_clear());
    }

    #[test]
    fn who_waits_in_a_class_that_is_no_more_is_served_all_the_same() {
        let mut queue = queue(9, &[8, 4, 1], &[(2, 1), (2, 2), (1, 3)]);
        queue.reconfigure(3, &[1]);
        let placed = queue.ask(asker((2, 4)), (0, 4));
        assert!(matches!(placed, Placed::InPlaceOf((2, 2), Others::None, _)));
        let mut left = served(&mut queue);
        left.sort_unstable();
        assert_eq!(left, [(0, 4), (1, 3), (2, 1)]);
        assert!(queue.is_clear());
    }

    #[test]
    fn one_place_can_be_left_once() {
        let mut queue = Queue::new(2, &[1]);
        let Placed::Waits(place) = queue.ask(asker((0, 1)), ()) else {
            panic!("no place");
        };
        assert!(queue.remove(place).is_some());
        assert!(queue.remove(place).is_none());
        assert!(queue.is_clear());
    }

    proptest! {
        #[test]
        fn shares_fit_the_bound_and_leave_nobody_without(
            weights in prop::collection::vec(1_u32..1_001, 1..17),
            bound in 0_usize..300,
        ) {
            let shares = shares(bound, &weights);
            prop_assert!(shares.iter().sum::<usize>() <= bound);
            prop_assert!(bound < weights.len() || shares.iter().all(|share| *share > 0));
        }

        #[test]
        fn while_two_callers_wait_neither_is_served_twice_more(
            callers in prop::collection::vec(0_u64..6, 1..200),
        ) {
            let asked: Vec<_> = callers.iter().map(|caller| (0, *caller)).collect();
            let mut queue = queue(1_000, &[1], &asked);
            let mut count = [0_usize; 6];
            let total = |caller: u64| callers.iter().filter(|other| **other == caller).count();
            while let Some((_, caller)) = queue.pop() {
                count[caller as usize] += 1;
                for other in 0..6 {
                    let waits = count[other as usize] < total(other);
                    prop_assert!(!waits || count[caller as usize] <= count[other as usize] + 1);
                }
            }
            prop_assert!(queue.is_clear());
        }

        #[test]
        fn while_two_classes_wait_they_are_served_by_weight(
            weights in prop::collection::vec(1_u32..20, 2..5),
            extra in 0_usize..50,
        ) {
            let each = 200 + extra;
            let asked: Vec<_> = (0..weights.len())
                .flat_map(|class| std::iter::repeat_n((class, 0), each))
                .collect();
            let mut queue = queue(10_000, &weights, &asked);
            let mut count = vec![0_usize; weights.len()];
            while count.iter().all(|count| *count < each) {
                let Some((class, _)) = queue.pop() else { break };
                count[class] += 1;
                let turns = |class: usize| count[class] as f64 / f64::from(weights[class]);
                for other in 0..weights.len() {
                    let step = 1.0 / f64::from(weights[class]) + 1.0 / f64::from(weights[other]);
                    prop_assert!(turns(class) - turns(other) <= step + 0.01);
                }
            }
        }

        #[test]
        fn no_order_of_comings_and_goings_breaks_the_bounds(
            steps in prop::collection::vec((0_usize..4, 0_usize..3, 0_u64..5, any::<prop::sample::Index>()), 1..300),
            bound in 0_usize..12,
            weights in prop::collection::vec(1_u32..9, 1..4),
        ) {
            let mut queue = Queue::new(bound, &weights);
            let mut places = Vec::new();
            for (step, class, caller, which) in steps {
                match step {
                    0 | 1 => {
                        let id = places.len();
                        match queue.ask(asker((class, caller)), id) {
                            Placed::Waits(place) => places.push(Some(place)),
                            Placed::InPlaceOf(displaced, _, place) => {
                                prop_assert!(places[displaced].take().is_some());
                                places.push(Some(place));
                            }
                            Placed::No(_) => prop_assert_eq!(queue.count(), bound),
                        }
                    }
                    2 if !places.is_empty() => {
                        if let Some(place) = which.get(&places).as_ref() {
                            let removed = queue.remove(*place);
                            prop_assert!(removed.is_some());
                            places[removed.unwrap()] = None;
                        }
                    }
                    _ => {
                        if let Some(served) = queue.pop() {
                            prop_assert!(places[served].take().is_some());
                        }
                    }
                }
                prop_assert!(queue.count() <= bound);
                prop_assert_eq!(queue.count(), places.iter().flatten().count());
            }
            for place in places.into_iter().flatten() {
                prop_assert!(queue.remove(place).is_some());
            }
            prop_assert!(queue.is_clear());
        }
    }
}
