//! The admin port: looks at the data path and the control path, changes neither.
//!
//! The one thing it can be told is to look at the files now. Kept to this machine
//! by default, to its own address by name, and to few connections that may not
//! dawdle. Never shows a setting or a secret; parts of messages to who may watch alone.

mod gates;
mod host;
mod metrics;
mod pages;
#[cfg(test)]
mod tests;
mod trace;
mod upstreams;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_capabilities::{LogSink, MetricSink};

use crate::{
    control::{Reloads, Status},
    serve::Shared,
    telemetry::{Counters, Lines, event::ControlCounters},
};

/// Connections at once; an operator and a scraper need a few.
const CONNECTIONS: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(5);
const HEADER_BYTES: usize = 16 << 10;
/// A connection is closed after this, whatever it does but watch.
const CONNECTION_TIME: Duration = Duration::from_secs(120);

/// All that the port looks at.
pub(crate) struct Admin {
    pub(crate) status: Arc<Status>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) reloads: Reloads,
    pub(crate) control: Arc<ControlCounters>,
    pub(crate) exchanges: Arc<Counters>,
    pub(crate) plugin_metrics: Arc<dyn MetricSink>,
    pub(crate) plugin_log: Arc<dyn LogSink>,
    pub(crate) access: Option<Lines>,
    pub(crate) requests: AtomicU64,
}

type Shown = Arc<Admin>;

fn router(admin: Shown, configured: SocketAddr) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/metrics/{name}", get(pages::metric))
        .route("/generations", get(pages::generations))
        .route("/policies", get(pages::policies))
        .route("/upstreams", get(upstreams::upstreams))
        .route("/reload", post(pages::reload))
        .route("/trace", get(trace::trace))
        .fallback(|| async { (StatusCode::NOT_FOUND, NOT_FOUND) })
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), around))
        .layer(middleware::from_fn_with_state(
            host::Configured(configured),
            host::check,
        ))
        .with_state(admin)
}

const NOT_FOUND: &str = "There is /healthz, /readyz, /metrics, /metrics/NAME, /generations, /policies, /upstreams, /trace, and POST /reload.
";

async fn readyz(State(admin): State<Shown>) -> Response {
    if admin.status.is_ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
}

async fn metrics_text(State(admin): State<Shown>) -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        metrics::render(&admin),
    )
}

/// Counts the request, and tells a browser to make nothing of the answer.
async fn around(State(admin): State<Shown>, request: Request, next: Next) -> Response {
    admin.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    response
}

/// Serves the port until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    configured: SocketAddr,
    admin: Admin,
    stop: CancellationToken,
) {
    let router = router(Arc::new(admin), configured);
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let tracker = TaskTracker::new();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: the next try would fail as fast.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = connection(stream, router.clone(), configured.ip().is_loopback());
        let stop = stop.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = stop.cancelled() => {}
            }
            drop(seat);
        });
    }
    tracker.close();
    tracker.wait().await;
}

async fn connection(stream: TcpStream, router: Router, is_local: bool) {
    let lifetime = trace::Lifetime::new(CONNECTION_TIME, is_local);
    let router = router.layer(Extension(lifetime.clone()));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        // A client that breaks off is its own affair.
        _ = serving => {}
        () = lifetime.over() => {}
    }
}
