//! A way that is closed for a while, and then tried with a few requests.

use std::time::{Duration, Instant};

use tollgate_config::Circuit as Settings;

/// Whether a request may go this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// As any other.
    Freely,
    /// As one of the few that decide: say what became of it.
    AsProbe(Phase),
    /// It may not.
    No,
}

/// Which time of being tried a probe belongs to: the one that began when this pause was over. A
/// probe that ends later than that decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase(Instant);

/// Where it stands. The words are those of electricity: an open circuit lets nothing by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Circuit {
    Closed {
        /// How often it opened in a row.
        openings: u32,
        since: Option<Instant>,
    },
    Open {
        openings: u32,
        until: Instant,
    },
    HalfOpen {
        openings: u32,
        phase: Phase,
        in_flight: u32,
        passed: u32,
    },
}

impl Circuit {
    pub(super) const fn new() -> Self {
        Self::Closed {
            openings: 0,
            since: None,
        }
    }

    pub(super) fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Opens it, longer than the last time if that was not long ago.
    pub(super) fn open(&mut self, settings: &Settings, now: Instant) -> Duration {
        let openings = match *self {
            Self::Closed { openings, since } => {
                let long_closed = since
                    .is_none_or(|since| now.saturating_duration_since(since) >= settings.pause_max);
                if long_closed { 0 } else { openings }
            }
            Self::Open { openings, .. } | Self::HalfOpen { openings, .. } => openings,
        };
        let doubled = 2_u32.checked_pow(openings);
        let pause = doubled.and_then(|times| settings.pause.checked_mul(times));
        let pause = pause.map_or(settings.pause_max, |pause| pause.min(settings.pause_max));
        *self = Self::Open {
            openings: openings.saturating_add(1),
            until: now + pause,
        };
        pause
    }

    /// Closes it at once, whatever the probes would say.
    pub(super) fn close(&mut self, now: Instant) {
        let openings = match *self {
            Self::Closed { .. } => return,
            Self::Open { openings, .. } | Self::HalfOpen { openings, .. } => openings,
        };
        *self = Self::Closed {
            openings,
            since: Some(now),
        };
    }

    /// What [`admit`](Self::admit) would say.
    pub(super) fn would_admit(self, settings: &Settings, now: Instant) -> Admitted {
        match self {
            Self::Closed { .. } => Admitted::Freely,
            Self::Open { until, .. } if now >= until => Admitted::AsProbe(Phase(until)),
            // One goes by in any case: the settings may ask for fewer than have passed.
            Self::HalfOpen {
                phase,
                in_flight,
                passed,
                ..
            } if in_flight == 0 || in_flight + passed < settings.probes => Admitted::AsProbe(phase),
            Self::Open { .. } | Self::HalfOpen { .. } => Admitted::No,
        }
    }

    /// How long it lets nothing by, if it does not.
    pub(super) fn pause_left(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Self::Closed { .. } | Self::HalfOpen { .. } => None,
        }
    }

    /// Lets a request by, or not.
    pub(super) fn admit(&mut self, settings: &Settings, now: Instant) -> Admitted {
        let admitted = self.would_admit(settings, now);
        if let Admitted::AsProbe(phase) = admitted {
            match self {
                Self::Open { openings, .. } => {
                    *self = Self::HalfOpen {
                        openings: *openings,
                        phase,
                        in_flight: 1,
                        passed: 0,
                    };
                }
                Self::HalfOpen { in_flight, .. } => *in_flight += 1,
                Self::Closed { .. } => {}
            }
        }
        admitted
    }

    /// A probe did well. Tells whether the circuit is closed by it.
    pub(super) fn passed(&mut self, probe: Phase, settings: &Settings, now: Instant) -> bool {
        let Self::HalfOpen {
            phase,
            in_flight,
            passed,
            ..
        } = self
        else {
            return false;
        };
        if *phase != probe {
            return false;
        }
        *in_flight = in_flight.saturating_sub(1);
        *passed += 1;
        let enough = *passed >= settings.probes;
        if enough {
            self.close(now);
        }
        enough
    }

    /// A probe did not do well. Tells how long the circuit is open for it; `None`: it had
    /// been decided before.
    pub(super) fn failed(
        &mut self,
        probe: Phase,
        settings: &Settings,
        now: Instant,
    ) -> Option<Duration> {
        let is_tried = matches!(self, Self::HalfOpen { phase, .. } if *phase == probe);
        is_tried.then(|| self.open(settings, now))
    }

    /// A probe ended and nobody knows how it did.
    pub(super) fn left(&mut self, probe: Phase) {
        if let Self::HalfOpen {
            phase, in_flight, ..
        } = self
            && *phase == probe
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings {
            error_percent: 50,
            min_requests: 1,
            window: 10 * SECOND,
            pause: 5 * SECOND,
            pause_max: 30 * SECOND,
            probes: 2,
        }
    }

    fn probe(circuit: &mut Circuit, settings: &Settings, now: Instant) -> Phase {
        match circuit.admit(settings, now) {
            Admitted::AsProbe(phase) => phase,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_while_probes_fail() {
        let (settings, mut now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        let mut pauses = vec![circuit.open(&settings, now)];
        for _ in 0..5 {
            now += *pauses.last().unwrap();
            let phase = probe(&mut circuit, &settings, now);
            pauses.push(circuit.failed(phase, &settings, now).unwrap());
        }
        assert_eq!(pauses, [5, 10, 20, 30, 30, 30].map(|n| n * SECOND));
    }

    #[test]
    fn it_is_tried_with_a_few_and_closed_when_all_of_them_do_well() {
        let (settings, now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        assert_eq!(circuit.admit(&settings, now + 4 * SECOND), Admitted::No);
        let now = now + 5 * SECOND;
        let phase = probe(&mut circuit, &settings, now);
        assert_eq!(phase, probe(&mut circuit, &settings, now));
        assert_eq!(circuit.admit(&settings, now), Admitted::No);
        assert!(!circuit.passed(phase, &settings, now));
        assert_eq!(circuit.admit(&settings, now), Admitted::No);
        assert!(circuit.passed(phase, &settings, now));
        assert_eq!(circuit.admit(&settings, now), Admitted::Freely);
    }

    #[test]
    fn a_probe_that_nobody_waited_for_makes_room_for_another() {
        let (settings, now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        let now = now + 5 * SECOND;
        for _ in 0..10 {
            let phase = probe(&mut circuit, &settings, now);
            circuit.left(phase);
        }
    }

    #[test]
    fn a_probe_that_ends_after_another_failed_changes_nothing() {
        let (settings, now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        let now = now + 5 * SECOND;
        let phase = probe(&mut circuit, &settings, now);
        probe(&mut circuit, &settings, now);
        circuit.failed(phase, &settings, now);
        let open = circuit;
        assert!(!circuit.passed(phase, &settings, now));
        assert_eq!(circuit.failed(phase, &settings, now), None);
        circuit.left(phase);
        assert_eq!(circuit, open);
    }

    #[test]
    fn a_probe_of_an_earlier_time_decides_nothing_the_next_time() {
        let (settings, now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        let now = now + 5 * SECOND;
        let early = probe(&mut circuit, &settings, now);
        let late = probe(&mut circuit, &settings, now);
        circuit.failed(early, &settings, now);
        let now = now + 10 * SECOND;
        let phase = probe(&mut circuit, &settings, now);
        assert_ne!(phase, late);
        let tried = circuit;
        assert!(!circuit.passed(late, &settings, now));
        circuit.left(late);
        assert_eq!(circuit.failed(late, &settings, now), None);
        assert_eq!(circuit, tried);
        assert!(circuit.failed(phase, &settings, now).is_some());
    }

    #[test]
    fn fewer_probes_than_have_passed_do_not_keep_it_from_closing() {
        let (mut settings, now) = (settings(), Instant::now());
        settings.probes = 3;
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        let now = now + 5 * SECOND;
        for _ in 0..2 {
            let phase = probe(&mut circuit, &settings, now);
            assert!(!circuit.passed(phase, &settings, now));
        }
        settings.probes = 1;
        let phase = probe(&mut circuit, &settings, now);
        assert_eq!(circuit.admit(&settings, now), Admitted::No);
        assert!(circuit.passed(phase, &settings, now));
        assert_eq!(circuit.admit(&settings, now), Admitted::Freely);
    }

    #[test]
    fn one_that_did_well_for_long_begins_with_the_first_pause_again() {
        let (settings, now) = (settings(), Instant::now());
        let mut circuit = Circuit::new();
        circuit.open(&settings, now);
        circuit.close(now);
        assert_eq!(circuit.open(&settings, now + 29 * SECOND), 10 * SECOND);
        circuit.close(now);
        assert_eq!(circuit.open(&settings, now + 30 * SECOND), 5 * SECOND);
    }
}
