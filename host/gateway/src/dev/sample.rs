//! Two requests to see something by: a plain one, and one that asks for a stream.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// For the whole of one.
const PATIENCE: Duration = Duration::from_secs(60);
const PROMPT: &str = "Name three rivers.";

/// Sends both, one after the other, and reads their answers to the end.
///
/// # Errors
/// There was no answer, whatever its status.
pub(super) async fn send(addr: SocketAddr, model: &str) -> io::Result<()> {
    for streamed in [false, true] {
        match timeout(PATIENCE, ask(addr, model, streamed)).await {
            Ok(asked) => asked?,
            Err(_) => return Err(io::Error::other("no whole answer in a minute")),
        }
    }
    Ok(())
}

async fn ask(addr: SocketAddr, model: &str, streamed: bool) -> io::Result<()> {
    let stream = TcpStream::connect(addr).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": PROMPT }],
    });
    if streamed {
        body["stream"] = true.into();
    }
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, addr.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "tollgate-dev")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await;
    let mut body = response.map_err(io::Error::other)?.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(io::Error::other)?;
    }
    Ok(())
}
