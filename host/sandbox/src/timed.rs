//! How long a call of a guest takes.

use std::{
    future::poll_fn,
    pin::pin,
    time::{Duration, Instant},
};

/// How long a call took, and how much of that it was polled.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) took: Duration,
    /// What a capability takes, and the turns of other tasks, are not the guest's doing.
    pub(crate) worked: Duration,
}

/// Awaits a call and times it. Most calls are done when first polled, and then the
/// clock is read twice.
pub(crate) async fn timed<F: Future>(call: F) -> (F::Output, Times) {
    let mut call = pin!(call);
    let started = Instant::now();
    let mut since = Some(started);
    let mut worked = Duration::ZERO;
    let output = poll_fn(|context| {
        let resumed = since.take().unwrap_or_else(Instant::now);
        let polled = call.as_mut().poll(context);
        let now = Instant::now();
        worked += now - resumed;
        polled.map(|output| (output, now))
    })
    .await;
    let (output, ended) = output;
    (
        output,
        Times {
            took: ended - started,
            worked,
        },
    )
}
