//! Connections to endpoints, ready to be used within one bound: name, TCP and TLS together.
//!
//! The connector below bounds the TCP part alone, so an endpoint that accepts and then says
//! nothing would be waited for as if the request had been sent.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use tokio::time::timeout;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct InTime<C> {
    inner: C,
    most: Duration,
}

impl<C> InTime<C> {
    pub(super) fn new(inner: C, most: Duration) -> Self {
        Self { inner, most }
    }
}

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connected = timeout(self.most, self.inner.call(to));
        Box::pin(async move {
            match connected.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
