//! Takes connections: our own accept loop, with every bound that hyper leaves open.
//!
//! A cap on connections, a pause when the process is out of file descriptors, a
//! bound on handshakes, heads and rest, and a shutdown that ends. What is said on a
//! connection is [`exchange`](super::exchange)'s business.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    select,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_config::Config;

use super::{
    Shared, certificate,
    connection::{Connection, Streams, Watched},
    exchange,
    exhaustion::{Exhaustion, Word},
    origin,
    tls::TlsKeys,
};

/// How long the loop rests when the system has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(100);
const STREAMS_MAX: u32 = 250;
/// How long a forced shutdown waits for the last hooks of what it cut.
const LAST_HOOKS: Duration = Duration::from_secs(5);
/// hyper refuses a longer head without a word; ours, up to half of it, with one.
const HEAD_SLACK: usize = 2;
const BUFFER_MIN: usize = 16 * 1024;

/// A listener that serves.
pub struct Server {
    address: SocketAddr,
    room: Arc<Room>,
}

/// What the accept loop and its connections share.
struct Room {
    shared: Arc<Shared>,
    tls: Option<Arc<TlsKeys>>,
    connections: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Server {
    /// Serves every connection of `listener`, over TLS if there are keys.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(
        listener: TcpListener,
        shared: Arc<Shared>,
        tls: Option<Arc<TlsKeys>>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let room = Arc::new(Room {
            shared,
            tls,
            connections: TaskTracker::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        });
        room.connections.spawn(accept(listener, room.clone()));
        Ok(Self { address, room })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets exchanges end, and cuts what is left after `wait`; the
    /// last hooks of those have a little longer. Tells whether nothing had to be cut.
    pub async fn shutdown(self, wait: Duration) -> bool {
        self.room.stop.cancel();
        self.room.shared.stopping.cancel();
        self.room.connections.close();
        self.room.shared.tracker.close();
        let drained = async {
            self.room.connections.wait().await;
            self.room.shared.tracker.wait().await;
        };
        if timeout(wait, drained).await.is_ok() {
            return true;
        }
        self.room.abort.cancel();
        self.room.shared.cut.cancel();
        self.room.connections.wait().await;
        if timeout(LAST_HOOKS, self.room.shared.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("gave up waiting for the last hooks of exchanges that were cut");
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.room.stop.cancel();
    }
}

async fn accept(listener: TcpListener, room: Arc<Room>) {
    let mut exhaustion = Exhaustion::default();
    loop {
        let accepted = select! {
            biased;
            () = room.stop.cancelled() => return,
            accepted = room.next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Word::Over(failures, took) = exhaustion.succeeded(Instant::now()) {
                    let took_ms = took.as_millis();
                    tracing::info!(failures, took_ms, "accepting connections again");
                }
                let connection =
                    Connection::new(room.shared.clone(), peer.ip(), room.tls.is_some());
                room.connections
                    .spawn(converse(stream, connection, room.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if let Word::Failing(failures) = exhaustion.failed(Instant::now()) {
                    tracing::warn!(%error, failures, "cannot accept connections; trying again");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

impl Room {
    /// The next connection, once there is room for it.
    async fn next(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let left = self.shared.gauges.connection_left.notified();
            let most = self.shared.generation.load().config.limits.connections;
            if self.shared.gauges.connections() < most {
                break;
            }
            left.await;
        }
        listener.accept().await
    }
}

/// The peer gave up before it was accepted; the next one is none the worse.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn converse(stream: TcpStream, connection: Connection, room: Arc<Room>) {
    let config = room.shared.generation.load().config.clone();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    select! {
        biased;
        () = room.abort.cancelled() => {}
        () = greet(stream, connection, &config, &room) => {}
    }
}

async fn greet(stream: TcpStream, mut connection: Connection, config: &Config, room: &Room) {
    let Some(keys) = &room.tls else {
        return serve(stream, connection, config, &room.stop).await;
    };
    match timeout(config.timeouts.header, keys.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => {
            // The handshake has verified it, or there is none.
            if let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() {
                let facts = certificate::facts(certificate);
                connection.given = origin::of_connection(connection.address, facts);
            }
            serve(stream, connection, config, &room.stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

async fn serve<S>(stream: S, connection: Connection, config: &Config, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let watched = Watched::new(
        stream,
        connection.clone(),
        config.timeouts.header,
        config.timeouts.idle,
    );
    let protocol = protocol(config, Streams(connection.shared.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        let connection = connection.clone();
        // hyper hides a `content-length` that stands beside chunks: whoever forwarded by
        // it takes what follows for this request's body, so nothing may follow.
        let is_last = request.headers().contains_key(header::TRANSFER_ENCODING);
        async move {
            let mut response = exchange::serve(connection, request).await;
            if is_last {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut served = pin!(protocol.serve_connection_with_upgrades(TokioIo::new(watched), service));
    let ended = select! {
        biased;
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

fn protocol(config: &Config, streams: Streams) -> auto::Builder<Streams> {
    let head = config.limits.request_header_bytes;
    let mut protocol = auto::Builder::new(streams);
    protocol
        .http1()
        .header_read_timeout(None)
        .max_buf_size((head * HEAD_SLACK).max(BUFFER_MIN));
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    protocol
}
