//! A connection to the admin port of a gateway, and the lines that come over it.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::token::{Token, TokenError};
use crate::trace::{Filter, Line};

/// To the head of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A gateway that says nothing for so long is gone; it says something every ten seconds.
const SILENCE: Duration = Duration::from_secs(35);
/// The longest stream that is asked for at once.
const SECONDS: u64 = 3600;
/// Of one line.
const LINE_MAX: usize = 4 << 20;
/// Of an answer that is no stream.
const MESSAGE_MAX: usize = 64 << 10;

/// Which exchanges, of which gateway.
pub(crate) struct Query {
    pub(crate) admin: SocketAddr,
    pub(crate) token: Token,
    pub(crate) filter: Filter,
    /// `None`: without end.
    pub(crate) count: Option<u64>,
}

/// Why nothing is to be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAttached {
    #[error(
        "there is no gateway to be reached at {admin}: {reason}; is it running, and is that its `admin` address?"
    )]
    Unreachable { admin: SocketAddr, reason: String },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the gateway at {admin} answers {status}: {message}")]
    Refused {
        admin: SocketAddr,
        status: StatusCode,
        message: String,
    },
}

/// See the module.
pub(crate) struct Attached {
    body: Incoming,
    buffer: Vec<u8>,
    /// Kept open by it.
    _sender: http1::SendRequest<Empty<Bytes>>,
    _driver: JoinSet<()>,
}

impl Attached {
    /// # Errors
    /// See [`NotAttached`].
    pub(crate) async fn to(query: &Query) -> Result<Self, NotAttached> {
        let admin = query.admin;
        let unreachable = |reason: String| NotAttached::Unreachable { admin, reason };
        let asked = timeout(PATIENCE, ask(query)).await;
        let asked = asked.map_err(|_| unreachable("no answer in ten seconds".to_owned()))?;
        let (status, attached) = asked.map_err(|error| unreachable(error.to_string()))?;
        if status.is_success() {
            return Ok(attached);
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(query.token.refused(admin).into());
        }
        let message = Limited::new(attached.body, MESSAGE_MAX).collect();
        let message = timeout(PATIENCE, message).await;
        let message = message
            .ok()
            .and_then(Result::ok)
            .map(http_body_util::Collected::to_bytes);
        Err(NotAttached::Refused {
            admin,
            status,
            message: String::from_utf8_lossy(&message.unwrap_or_default())
                .trim()
                .to_owned(),
        })
    }

    /// The next line, as it came and read; `None`: the gateway is gone.
    pub(crate) async fn line(&mut self) -> Option<(String, Line)> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line[..end]).into_owned();
                // One of a kind that a newer gateway sends.
                if let Ok(line) = serde_json::from_str(&text) {
                    return Some((text, line));
                }
            }
            let frame = timeout(SILENCE, self.body.frame()).await.ok()??.ok()?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
            if self.buffer.len() > LINE_MAX {
                return None;
            }
        }
    }
}

async fn ask(query: &Query) -> io::Result<(StatusCode, Attached)> {
    let stream = TcpStream::connect(query.admin).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut request = Request::get(path(query)).header("host", query.admin.to_string());
    if let Some(token) = query.token.shown() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Empty::new()).map_err(io::Error::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status();
    let attached = Attached {
        body: response.into_body(),
        buffer: Vec::new(),
        _sender: sender,
        _driver: driver,
    };
    Ok((status, attached))
}

fn path(query: &Query) -> String {
    let Filter {
        route,
        model,
        caller,
        id,
    } = &query.filter;
    let mut path = format!("/trace?seconds={SECONDS}");
    for (name, value) in [
        ("route", route),
        ("model", model),
        ("caller", caller),
        ("id", id),
    ] {
        if let Some(value) = value {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            path.push_str(&format!("&{name}={value}"));
        }
    }
    if let Some(count) = query.count {
        path.push_str(&format!("&count={count}"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_goes_into_the_query_whatever_is_in_it() {
        let query = Query {
            admin: ([127, 0, 0, 1], 1).into(),
            token: Token::default(),
            filter: Filter {
                model: Some("a/b&c=d e*".to_owned()),
                ..Filter::default()
            },
            count: Some(3),
        };
        assert_eq!(
            path(&query),
            "/trace?seconds=3600&model=a%2Fb%26c%3Dd%20e%2A&count=3"
        );
    }
}
