//! The gate itself: counts what is in use, and hands what comes back to who is next.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Asker, GateSettings, Reason, Refused,
    drain::Drain,
    line::Place,
    queue::{Others, Placed, Queue},
};

/// See the module [`admission`](super).
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    wait_max: Duration,
    in_use: usize,
    queue: Queue<oneshot::Sender<Outcome>>,
    drain: Drain,
    counts: Counts,
}

/// What one that waits is told.
#[derive(Debug)]
enum Outcome {
    Admitted,
    Displaced(Others),
}

/// What a gate has seen and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Permits at once.
    pub limit: usize,
    /// Permits that are out.
    pub in_use: usize,
    /// Who waits for one.
    pub waiting: usize,
    /// Permits given so far, with or without waiting.
    pub admitted: u64,
    /// Those of them that were waited for.
    pub waited: u64,
    /// How long, all together.
    pub wait: Duration,
    /// Refused, in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// Who left while waiting.
    pub left: u64,
}

impl Gate {
    /// Open, and with an empty queue.
    #[must_use]
    pub fn new(settings: &GateSettings) -> Arc<Self> {
        let state = State {
            limit: settings.limit,
            wait_max: settings.wait_max,
            in_use: 0,
            queue: Queue::new(settings.queue, &settings.weights),
            drain: Drain::default(),
            counts: Counts::default(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Other bounds, from now on. Permits beyond a lower limit stay out until they come back.
    pub fn reconfigure(&self, settings: &GateSettings) {
        let mut state = self.state.lock();
        state.limit = settings.limit;
        state.wait_max = settings.wait_max;
        state.queue.reconfigure(settings.queue, &settings.weights);
        drop(state);
        self.hand_on();
    }

    /// Another limit, as endpoints come and go.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.state.lock();
        if state.limit != limit {
            state.limit = limit;
            drop(state);
            self.hand_on();
        }
    }

    /// A permit if there is one that nobody waits for.
    pub fn try_admit(self: &Arc<Self>) -> Option<Permit> {
        self.state.lock().take().then(|| self.permit(None))
    }

    /// The same, for what is best left out when there is much to do: only while more than a
    /// quarter of all permits is free.
    pub fn try_admit_spare(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state.lock();
        (state.has_spare() && state.take()).then(|| self.permit(None))
    }

    /// Whether [`try_admit_spare`](Self::try_admit_spare) would let one in.
    #[must_use]
    pub fn has_spare(&self) -> bool {
        let state = self.state.lock();
        state.has_spare() && state.queue.count() == 0
    }

    /// Waits for a permit, until `deadline` at the latest. Dropped, it leaves the queue, or
    /// gives back what it was just given.
    ///
    /// # Errors
    /// There is no place in the queue, or no permit in time.
    pub async fn admit(
        self: &Arc<Self>,
        asker: Asker,
        deadline: Instant,
    ) -> Result<Permit, Refused> {
        let mut waiting = match self.ask(asker)? {
            Asked::Admitted(permit) => return Ok(permit),
            Asked::Waits(waiting) => waiting,
        };
        let due = waiting.due.min(deadline);
        match timeout_at(due, &mut waiting.outcome).await {
            Ok(told) => waiting.told(told.ok()),
            Err(_) => waiting.out_of_time(),
        }
    }

    /// What it has seen and what it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            limit: state.limit,
            in_use: state.in_use,
            waiting: state.queue.count(),
            ..state.counts
        }
    }

    fn ask(self: &Arc<Self>, asker: Asker) -> Result<Asked, Refused> {
        let mut state = self.state.lock();
        if state.take() {
            drop(state);
            return Ok(Asked::Admitted(self.permit(None)));
        }
        let (sender, outcome) = oneshot::channel();
        let (place, displaced) = match state.queue.ask(asker, sender) {
            Placed::Waits(place) => (place, None),
            Placed::InPlaceOf(displaced, others, place) => (place, Some((displaced, others))),
            Placed::No(others) => return Err(state.refuse(Reason::no_place(others))),
        };
        let since = Instant::now();
        let due = since.checked_add(state.wait_max);
        let has_room = state.in_use < state.limit;
        drop(state);
        if let Some((displaced, others)) = displaced {
            // Who is just leaving has no use for it.
            let _ = displaced.send(Outcome::Displaced(others));
        }
        // What came back meanwhile is on its way to those who were here before; what is
        // left then must not lie idle.
        if has_room {
            self.hand_on();
        }
        Ok(Asked::Waits(Waiting {
            gate: self.clone(),
            place: Some(place),
            outcome,
            since,
            due: due.unwrap_or(since + Duration::from_secs(24 * 60 * 60)),
        }))
    }

    /// Gives what is free to who is next. Nobody is woken under the lock: a waker may drop a
    /// future that waits here.
    fn hand_on(&self) {
        loop {
            let mut state = self.state.lock();
            if state.in_use >= state.limit {
                return;
            }
            let Some(next) = state.queue.pop() else {
                return;
            };
            state.in_use += 1;
            drop(state);
            if next.send(Outcome::Admitted).is_err() {
                self.state.lock().in_use -= 1;
            }
        }
    }

    fn give_back(&self) {
        let mut state = self.state.lock();
        let waiting = state.queue.count();
        if waiting > 0 || state.in_use >= state.limit {
            state.drain.note(Instant::now());
        }
        state.in_use -= 1;
        drop(state);
        if waiting > 0 {
            self.hand_on();
        }
    }

    fn permit(self: &Arc<Self>, waited: Option<Duration>) -> Permit {
        Permit {
            gate: self.clone(),
            waited,
        }
    }
}

impl State {
    /// Whether there was a permit that nobody waits for.
    fn take(&mut self) -> bool {
        let is_free = self.in_use < self.limit && self.queue.count() == 0;
        if is_free {
            self.in_use += 1;
            self.counts.admitted += 1;
        }
        is_free
    }

    /// Of fewer than four permits all are spare.
    fn has_spare(&self) -> bool {
        self.in_use < self.limit - self.limit / 4
    }

    fn refuse(&mut self, reason: Reason) -> Refused {
        self.counts.refused[reason as usize] += 1;
        let ahead = self.queue.count();
        Refused {
            reason,
            retry_after: self.drain.retry_after(ahead, Instant::now(), self.wait_max),
        }
    }
}

impl Reason {
    fn no_place(others: Others) -> Self {
        match others {
            Others::Wait => Self::Share,
            Others::None => Self::Full,
        }
    }
}

enum Asked {
    Admitted(Permit),
    Waits(Waiting),
}

/// A place in the queue.
#[derive(Debug)]
struct Waiting {
    gate: Arc<Gate>,
    /// `None`: it was told what became of it.
    place: Option<Place>,
    outcome: oneshot::Receiver<Outcome>,
    since: Instant,
    due: Instant,
}

impl Waiting {
    /// `None`: nobody is left to tell, which no gate does to who waits.
    fn told(mut self, outcome: Option<Outcome>) -> Result<Permit, Refused> {
        self.place = None;
        let mut state = self.gate.state.lock();
        match outcome {
            Some(Outcome::Admitted) => {
                let waited = self.since.elapsed();
                state.counts.admitted += 1;
                state.counts.waited += 1;
                state.counts.wait += waited;
                drop(state);
                Ok(self.gate.permit(Some(waited)))
            }
            Some(Outcome::Displaced(others)) => Err(state.refuse(Reason::no_place(others))),
            None => Err(state.refuse(Reason::Full)),
        }
    }

    fn out_of_time(mut self) -> Result<Permit, Refused> {
        match self.leave() {
            Some(outcome) => self.told(Some(outcome)),
            None => Err(self.gate.state.lock().refuse(Reason::Late)),
        }
    }

    /// Gives up the place. What it was told in the same moment, it has to heed.
    fn leave(&mut self) -> Option<Outcome> {
        let place = self.place.take()?;
        if self.gate.state.lock().queue.remove(place).is_some() {
            return None;
        }
        // It was taken out of the queue to be told. Either that has happened, or it fails
        // from here on, and who tells keeps what it has.
        self.outcome.close();
        self.outcome.try_recv().ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.place.is_none() {
            return;
        }
        let outcome = self.leave();
        self.gate.state.lock().counts.left += 1;
        if let Some(Outcome::Admitted) = outcome {
            self.gate.give_back();
        }
    }
}

/// Leave to go in. Given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    gate: Arc<Gate>,
    waited: Option<Duration>,
}

impl Permit {
    /// How long it was waited for; `None`: not at all.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Whether it lets in at this gate.
    #[must_use]
    pub fn is_of(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back();
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
