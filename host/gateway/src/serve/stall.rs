//! Notices when something that should go on has stopped.
//!
//! One timer per body at most, made when the first wait begins and moved only when
//! it fires: a body that never waits pays nothing.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Which of the two bounds was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    /// Nothing came for too long.
    Silent,
    /// Whatever came: the exchange's time is over, and nothing came for so long.
    Total(Duration),
}

/// A bound on each wait and one on all of it.
pub(super) struct Stall {
    wait_max: Duration,
    end: Instant,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(wait_max: Duration, end: Instant) -> Self {
        Self {
            wait_max,
            end,
            waiting_since: None,
            timer: None,
        }
    }

    /// Something came.
    pub(super) fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// To be polled while nothing comes; ready when that has been too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Stalled> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let due = (since + self.wait_max).min(self.end);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            if now >= due {
                return Poll::Ready(if due == self.end {
                    Stalled::Total(now.saturating_duration_since(since))
                } else {
                    Stalled::Silent
                });
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_wait_that_is_too_long_is_told_from_an_exchange_that_is() {
        let hour = Duration::from_secs(3600);
        let mut silent = Stall::new(Duration::from_millis(5), Instant::now() + hour);
        assert_eq!(
            poll_fn(|context| silent.poll(context)).await,
            Stalled::Silent
        );
        let mut total = Stall::new(hour, Instant::now() + Duration::from_millis(5));
        let stalled = poll_fn(|context| total.poll(context)).await;
        assert!(matches!(stalled, Stalled::Total(_)), "{stalled:?}");
    }

    #[tokio::test]
    async fn what_moved_may_wait_anew() {
        let mut stall = Stall::new(
            Duration::from_millis(30),
            Instant::now() + Duration::from_secs(3600),
        );
        for _ in 0..3 {
            let wait = tokio::time::timeout(
                Duration::from_millis(1),
                poll_fn(|context| stall.poll(context)),
            );
            assert!(wait.await.is_err());
            stall.moved();
        }
        assert_eq!(
            poll_fn(|context| stall.poll(context)).await,
            Stalled::Silent
        );
    }
}
