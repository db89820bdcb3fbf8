//! The circuit breaker of an upstream: when it fails as a whole, requests fail at once
//! for a while instead of waiting for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tollgate_config::Circuit as Settings;

use super::{
    circuit::{Admitted, Circuit},
    outcome::Outcome,
    window::Window,
};

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    closed: AtomicBool,
    window: Window,
    circuit: Mutex<Circuit>,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Nothing goes by for this long.
    For(Duration),
    /// Everything goes by again.
    NoLonger,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            closed: AtomicBool::new(true),
            window: Window::new(settings.window, now),
            circuit: Mutex::new(Circuit::new()),
            settings,
        }
    }

    /// What it goes by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether everything goes by.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether a request may go by. A probe has to be told of when it ended.
    #[must_use]
    pub fn admit(&self, now: Instant) -> Admitted {
        if self.is_closed() {
            return Admitted::Freely;
        }
        self.circuit.lock().admit(&self.settings, now)
    }

    /// A request that went by came to an end.
    pub fn report(&self, outcome: Outcome, admitted: Admitted, now: Instant) -> Option<Opened> {
        let good = outcome != Outcome::Error;
        if let Admitted::AsProbe(phase) = admitted {
            if good {
                return self.began(admitted, now);
            }
            let pause = self.circuit.lock().failed(phase, &self.settings, now);
            return pause.map(Opened::For);
        }
        self.window.count(good, now);
        let Settings {
            error_percent,
            min_requests,
            ..
        } = self.settings;
        if good || !self.window.is_over(error_percent, min_requests, now) {
            return None;
        }
        let mut circuit = self.circuit.lock();
        if !circuit.is_closed() {
            return None;
        }
        let pause = circuit.open(&self.settings, now);
        self.closed.store(false, Ordering::Release);
        Some(Opened::For(pause))
    }

    /// The answer to a probe began, which passes for having done well: how it ends is then told
    /// as of any other request.
    pub fn began(&self, admitted: Admitted, now: Instant) -> Option<Opened> {
        let Admitted::AsProbe(phase) = admitted else {
            return None;
        };
        let mut circuit = self.circuit.lock();
        let closes = circuit.passed(phase, &self.settings, now);
        if closes {
            self.window.clear();
            self.closed.store(true, Ordering::Release);
        }
        closes.then_some(Opened::NoLonger)
    }

    /// How long nothing goes by, if that is so.
    #[must_use]
    pub fn pause_left(&self, now: Instant) -> Option<Duration> {
        let is_closed = self.is_closed();
        (!is_closed).then(|| self.circuit.lock().pause_left(now))?
    }

    /// A probe ended and nobody knows how it did.
    pub fn left(&self, admitted: Admitted) {
        if let Admitted::AsProbe(phase) = admitted {
            self.circuit.lock().left(phase);
        }
    }

    /// Whether a request may go by, without one that does.
    #[must_use]
    pub fn would_admit(&self, now: Instant) -> bool {
        self.is_closed() || self.circuit.lock().would_admit(&self.settings, now) != Admitted::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_fails_is_left_alone_tried_with_a_few_and_taken_back() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let settings = Settings {
            error_percent: 50,
            min_requests: 4,
            window: 10 * second,
            pause: 5 * second,
            pause_max: 60 * second,
            probes: 2,
        };
        let breaker = Breaker::new(settings, now);
        let report = |outcome, now| breaker.report(outcome, breaker.admit(now), now);
        assert_eq!(report(Outcome::Good, now), None);
        assert_eq!(report(Outcome::Good, now), None);
        assert_eq!(report(Outcome::Error, now), None);
        let opened = Some(Opened::For(5 * second));
        assert_eq!(report(Outcome::Error, now), opened);
        assert_eq!(breaker.admit(now + 4 * second), Admitted::No);
        assert_eq!(breaker.pause_left(now + 4 * second), Some(second));

        let now = now + 5 * second;
        let probes = [breaker.admit(now), breaker.admit(now)];
        assert!(matches!(
            probes,
            [Admitted::AsProbe(_), Admitted::AsProbe(_)]
        ));
        assert_eq!(breaker.admit(now), Admitted::No);
        let opened = Some(Opened::For(10 * second));
        assert_eq!(breaker.report(Outcome::Error, probes[0], now), opened);
        assert_eq!(breaker.report(Outcome::Good, probes[1], now), None);

        let now = now + 10 * second;
        let probes = [breaker.admit(now), breaker.admit(now)];
        assert_eq!(breaker.report(Outcome::Good, probes[0], now), None);
        let closed = Some(Opened::NoLonger);
        assert_eq!(breaker.began(probes[1], now), closed, "it need not end");
        assert_eq!(breaker.admit(now), Admitted::Freely);
        assert_eq!(
            report(Outcome::Error, now),
            None,
            "what was before is forgotten"
        );
    }
}
