//! Lets a future that must not be dropped half-way run on after its client left.
//!
//! hyper drops the future of an exchange when the client goes away. A hook must
//! never be dropped inside a call, and `on_finish` has to run, so a [`CarryOn`] that
//! is dropped unfinished raises its [`Gone`] flag and moves itself onto the runtime.
//! Waits on the network run under [`Gone::or`] and end at once; hooks do not.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientLeft;

/// Whether the client is still there. The default never says otherwise: it is for
/// futures that may simply be dropped.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone(Option<Arc<AtomicBool>>);

impl Gone {
    pub(super) fn watched() -> Self {
        Self(Some(Arc::default()))
    }

    /// Says that it left. Whoever does has to poll what waits under [`Gone::or`] again.
    pub(super) fn raise(&self) {
        if let Some(gone) = &self.0 {
            gone.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|gone| gone.load(Ordering::Acquire))
    }

    /// Runs `wait` unless or until the client is gone. The flag wakes nobody: it is
    /// only ever raised by [`CarryOn`], which then polls the whole future again.
    pub(super) async fn or<F: Future>(&self, wait: F) -> Result<F::Output, ClientLeft> {
        let mut wait = pin!(wait);
        poll_fn(|context| match self.is_gone() {
            true => Poll::Ready(Err(ClientLeft)),
            false => wait.as_mut().poll(context).map(Ok),
        })
        .await
    }
}

/// See the module.
pub(super) struct CarryOn<T: Send + 'static> {
    unfinished: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    gone: Gone,
    tracker: TaskTracker,
    runtime: Handle,
}

impl<T: Send + 'static> CarryOn<T> {
    /// `future` comes in its box, since it is large: each hand that it went through would copy
    /// it. `gone` is the flag that it was made with.
    pub(super) fn new(
        future: Pin<Box<dyn Future<Output = T> + Send>>,
        gone: Gone,
        tracker: TaskTracker,
        runtime: Handle,
    ) -> Self {
        Self {
            unfinished: Some(future),
            gone,
            tracker,
            runtime,
        }
    }
}

impl<T: Send + 'static> Future for CarryOn<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.unfinished else {
            return Poll::Pending;
        };
        let output = std::task::ready!(future.as_mut().poll(context));
        self.unfinished = None;
        Poll::Ready(output)
    }
}

impl<T: Send + 'static> Drop for CarryOn<T> {
    fn drop(&mut self) {
        let Some(future) = self.unfinished.take() else {
            return;
        };
        // One that panicked cannot go on.
        if std::thread::panicking() {
            return;
        }
        self.gone.raise();
        self.tracker
            .spawn_on(async move { drop(future.await) }, &self.runtime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    struct Exchange {
        hooks: AtomicUsize,
        resume: Notify,
    }

    /// One wait on the network, one hook that must run to its end, one more.
    async fn story(exchange: Arc<Exchange>, gone: Gone) -> Result<(), ClientLeft> {
        exchange.resume.notified().await;
        exchange.hooks.fetch_add(1, Ordering::SeqCst);
        let waited = gone.or(std::future::pending::<()>()).await;
        exchange.hooks.fetch_add(1, Ordering::SeqCst);
        waited
    }

    fn start() -> (Arc<Exchange>, TaskTracker, CarryOn<Result<(), ClientLeft>>) {
        let exchange = Arc::new(Exchange {
            hooks: AtomicUsize::new(0),
            resume: Notify::new(),
        });
        let (gone, tracker) = (Gone::watched(), TaskTracker::new());
        let story = story(exchange.clone(), gone.clone());
        let carried = CarryOn::new(Box::pin(story), gone, tracker.clone(), Handle::current());
        (exchange, tracker, carried)
    }

    #[tokio::test]
    async fn a_future_dropped_inside_a_hook_runs_to_its_end() {
        let (exchange, tracker, mut carried) = start();
        assert!(futures_util::poll!(&mut carried).is_pending());
        drop(carried);
        exchange.resume.notify_one();
        tracker.close();
        tracker.wait().await;
        assert_eq!(exchange.hooks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_future_dropped_while_it_waits_stops_waiting() {
        let (exchange, tracker, mut carried) = start();
        exchange.resume.notify_one();
        assert!(futures_util::poll!(&mut carried).is_pending());
        assert_eq!(exchange.hooks.load(Ordering::SeqCst), 1);
        drop(carried);
        tracker.close();
        tracker.wait().await;
        assert_eq!(exchange.hooks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_finished_future_is_not_spawned() {
        let (gone, tracker) = (Gone::watched(), TaskTracker::new());
        let carried = CarryOn::new(
            Box::pin(async { 7 }),
            gone.clone(),
            tracker.clone(),
            Handle::current(),
        );
        assert_eq!(carried.await, 7);
        assert!(tracker.is_empty());
        assert!(!gone.is_gone());
    }
}
