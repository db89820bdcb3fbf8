//! What a store answers: at once where the state is at hand, later where it is not.
//!
//! The embedded stores always answer at once, so no future is allocated for them.

use std::{fmt, future::Future, pin::Pin};

/// A result that is there, or will be.
pub enum Answer<T> {
    /// There already.
    Ready(T),
    /// Has to be waited for. Dropping it gives up on the answer; whether the store
    /// still acts is then open.
    Pending(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Answer<T> {
    /// The result, waiting for it where needed.
    pub async fn get(self) -> T {
        match self {
            Self::Ready(value) => value,
            Self::Pending(future) => future.await,
        }
    }

    /// Boxes a future.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Pending(Box::pin(future))
    }

    /// The result if it is there, else the answer to wait for.
    ///
    /// # Errors
    /// The answer itself, when it has to be waited for.
    pub fn now(self) -> Result<T, Self> {
        match self {
            Self::Ready(value) => Ok(value),
            pending @ Self::Pending(_) => Err(pending),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(value) => formatter.debug_tuple("Ready").field(value).finish(),
            Self::Pending(_) => formatter.write_str("Pending"),
        }
    }
}
