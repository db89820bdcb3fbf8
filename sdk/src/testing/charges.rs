//! What a policy holds for an exchange in native tests, settled as the gateway does.

use super::{
    host::{limits::Reservation, metrics},
    world::arrange,
};
use crate::{Ending, Outcome, limits::Counter};

/// What is held for an exchange.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) reservation: Reservation,
    /// Of what is held.
    pub(super) input: u64,
    pub(super) counter: Option<Counter>,
}

/// The hook about a request with so long a body begins.
pub(super) fn begin(body_bytes: Option<u64>) -> During {
    arrange(|world| world.holds = Some((body_bytes, Vec::new())));
    During
}

/// Until it ends, however it does.
pub(super) struct During;

impl During {
    /// The hook has ended: what it held.
    pub(super) fn end(self) -> Vec<Charge> {
        arrange(|world| world.holds.take()).map_or_else(Vec::new, |(_, held)| held)
    }
}

impl Drop for During {
    fn drop(&mut self) {
        let held = arrange(|world| world.holds.take());
        drop(held);
    }
}

pub(super) fn settle(charges: Vec<Charge>, outcome: &Outcome) {
    for charge in charges {
        let took = took(outcome, charge.input, charge.reservation.held());
        if let Some(Counter { name, labels }) = charge.counter {
            metrics::count(&name, &labels, took);
        }
        charge.reservation.settle(took);
    }
}

/// As if it had never been held.
pub(super) fn give_back(charges: Vec<Charge>) {
    for charge in charges {
        charge.reservation.settle(0);
    }
}

fn took(outcome: &Outcome, input: u64, held: u64) -> u64 {
    if let Some(usage) = outcome.usage {
        return usage.input_tokens.saturating_add(usage.output_tokens);
    }
    let came_to_nothing = matches!(
        outcome.ending,
        Ending::Refused | Ending::UpstreamFailed | Ending::TimedOut
    );
    match outcome.status {
        _ if came_to_nothing || outcome.attempts == 0 => 0,
        0 => input,
        200..400 => held,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ended;

    #[test]
    fn what_the_gateway_charges_without_a_report_is_charged_here() {
        for (ending, status, charged) in include!("charged.in") {
            for (attempts, charged) in [(1, charged), (0, 0)] {
                let outcome = Outcome {
                    status,
                    attempts,
                    ..ended(ending)
                };
                let shown = format!("{ending:?} {status} {attempts}");
                assert_eq!(took(&outcome, 20, 120), charged, "{shown}");
            }
        }
    }
}
