//! Takes all that a request takes, or nothing.
//!
//! What is taken before the last step is only held, so that it can be given back if a
//! later one has no room. A request that needs one thing alone asks the host once.

use tollgate_sdk::{
    limits::{self, Error, Reservation},
    log,
};

use crate::{
    refusal::Refused,
    standing::Standing,
    subject::{Kind, Step},
};

/// A request that was let through.
pub(crate) struct Admitted {
    places: Vec<Reservation>,
    standing: Option<Standing>,
}

impl Admitted {
    /// Of the limit that has the fewest requests left, if one limits them.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// Gives back the places: at the end of the exchange, once.
    pub(crate) fn leave(self) {
        for place in self.places {
            place.settle(0);
        }
    }
}

/// # Errors
/// A limit without room, or one that cannot be asked; nothing is taken then.
pub(crate) fn admit(steps: &[Step]) -> Result<Admitted, Refused> {
    let mut taken = Taken::default();
    for (nth, step) in steps.iter().enumerate() {
        let is_last = nth + 1 == steps.len();
        if let Err(error) = taken.take(step, is_last) {
            taken.give_back();
            return Err(refusal(error, step, steps));
        }
    }
    Ok(taken.keep())
}

#[derive(Default)]
struct Taken<'a> {
    held: Vec<(Reservation, &'a Step)>,
    standing: Option<Standing>,
}

impl<'a> Taken<'a> {
    fn take(&mut self, step: &'a Step, is_last: bool) -> Result<(), Error> {
        match step.kind {
            Kind::Request(rate) if is_last => {
                let remaining = limits::take(&step.bucket, 1, &rate.limit)?;
                self.standing = Some(Standing::of(rate, remaining));
            }
            Kind::Request(rate) => self.hold(step, &rate.limit)?,
            Kind::Place(places) => self.hold(step, &places)?,
        }
        Ok(())
    }

    fn hold(&mut self, step: &'a Step, limit: &limits::Limit) -> Result<(), Error> {
        let reservation = limits::reserve(&step.bucket, 1, limit)?;
        self.held.push((reservation, step));
        Ok(())
    }

    fn give_back(self) {
        for (reservation, _) in self.held {
            reservation.settle(0);
        }
    }

    /// Requests are charged for good; places stay held.
    fn keep(self) -> Admitted {
        let Self { held, mut standing } = self;
        let mut places = Vec::new();
        for (reservation, step) in held {
            match step.kind {
                Kind::Place(_) => places.push(reservation),
                Kind::Request(rate) => {
                    let remaining = reservation.settle(1);
                    standing = Some(Standing::tighter(standing, Standing::of(rate, remaining)));
                }
            }
        }
        Admitted { places, standing }
    }
}

fn refusal(error: Error, step: &Step, steps: &[Step]) -> Refused {
    let limit = step.limit;
    match (error, step.kind) {
        (Error::Exceeded(exceeded), Kind::Request(rate)) => Refused::Requests {
            limit,
            retry_after_ms: exceeded.retry_after_ms,
            standing: Standing::of(rate, exceeded.remaining),
        },
        (Error::Exceeded(exceeded), Kind::Place(_)) => Refused::Places {
            limit,
            retry_after_ms: exceeded.retry_after_ms,
            standing: standing(steps),
        },
        (Error::Invalid(reason), _) => {
            let name = limit.name.as_str();
            log::error(&format!("the limit `{name}` cannot be counted: {reason}"));
            Refused::Unavailable { limit }
        }
        (Error::Unavailable, _) => Refused::Unavailable { limit },
    }
}

/// How the client stands with its rates, when it was not them that refused it.
fn standing(steps: &[Step]) -> Option<Standing> {
    let rates = steps.iter().filter_map(|step| match step.kind {
        Kind::Request(rate) => Some((step, rate)),
        Kind::Place(_) => None,
    });
    rates
        .filter_map(|(step, rate)| {
            let remaining = limits::remaining(&step.bucket, &rate.limit).ok()?;
            Some(Standing::of(rate, remaining))
        })
        .fold(None, |before, other| Some(Standing::tighter(before, other)))
}
