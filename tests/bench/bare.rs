//! The bare minimum of a proxy, to compare with: request in, request out, body
//! streamed, nothing checked. Each runs in a process of its own.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Which proxy this process is to be.
pub(crate) const ROLE: &str = "TOLLGATE_BENCH_ROLE";
/// `address upstream`, both `ip:port`.
pub(crate) const PLACES: &str = "TOLLGATE_BENCH_PLACES";

pub(crate) fn main(role: &str) -> anyhow::Result<()> {
    let places = std::env::var(PLACES)?;
    let (listen, upstream) = places
        .split_once(' ')
        .ok_or_else(|| anyhow::anyhow!("{PLACES} has two places"))?;
    let (listen, upstream): (SocketAddr, SocketAddr) = (listen.parse()?, upstream.parse()?);
    // reqwest wants a provider even where no TLS is spoken.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let app = match role {
            "axum + reqwest" => {
                let client = reqwest::Client::builder().no_proxy().build()?;
                Router::new()
                    .fallback(with_reqwest)
                    .with_state((client, upstream))
            }
            "axum + hyper-util" => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client: Pool = Client::builder(TokioExecutor::new()).build(connector);
                Router::new()
                    .fallback(with_hyper)
                    .with_state((client, upstream))
            }
            other => anyhow::bail!("no such role: {other}"),
        };
        use axum::serve::ListenerExt;
        let listener = listener.tap_io(|io| {
            let _ = io.set_nodelay(true);
        });
        axum::serve(listener, app).await?;
        Ok(())
    })
}

type Pool = Client<HttpConnector, Body>;

async fn with_reqwest(
    State((client, upstream)): State<(reqwest::Client, SocketAddr)>,
    request: Request,
) -> Result<Response, http::StatusCode> {
    let bad = |_| http::StatusCode::BAD_GATEWAY;
    let (parts, body) = request.into_parts();
    let url = format!("http://{upstream}{}", parts.uri);
    let mut headers = parts.headers;
    headers.remove(http::header::HOST);
    let answer = client
        .request(parts.method, url)
        .headers(headers)
        .body(reqwest::Body::wrap_stream(body.into_data_stream()))
        .send()
        .await
        .map_err(bad)?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    response
        .body(Body::from_stream(answer.bytes_stream()))
        .map_err(|_| http::StatusCode::BAD_GATEWAY)
}

async fn with_hyper(
    State((client, upstream)): State<(Pool, SocketAddr)>,
    mut request: Request,
) -> Result<Response, http::StatusCode> {
    let bad = http::StatusCode::BAD_GATEWAY;
    *request.uri_mut() = format!("http://{upstream}{}", request.uri())
        .parse()
        .map_err(|_| bad)?;
    request.headers_mut().remove(http::header::HOST);
    Ok(client
        .request(request)
        .await
        .map_err(|_| bad)?
        .map(Body::new))
}
