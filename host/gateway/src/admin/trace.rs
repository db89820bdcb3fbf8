//! `GET /trace`: exchanges as they end, a line of JSON each.
//!
//! Shows parts of messages, so it asks for a token where the configuration names one, and
//! without one answers nobody but this machine. Ends by itself, by count or by time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, sleep_until};
use tollgate_capabilities::{EmbeddedSecrets, SecretStore};
use tollgate_config::Config;

use super::Shown;
use crate::trace::{Filter, Line, Next, Watch};

/// How long a stream lasts, unless it is said.
const SECONDS: u64 = 600;
const SECONDS_MAX: u64 = 3600;
/// After so much silence there is a line that says so.
const STILL: Duration = Duration::from_secs(10);
/// What a connection has for the last line.
const GRACE: Duration = Duration::from_secs(5);

/// How long a connection may last, and who is at its other end.
#[derive(Clone)]
pub(super) struct Lifetime {
    until: Arc<Mutex<Instant>>,
    is_local: bool,
}

impl Lifetime {
    pub(super) fn new(most: Duration, is_local: bool) -> Self {
        Self {
            until: Arc::new(Mutex::new(Instant::now() + most)),
            is_local,
        }
    }

    /// Returns when the connection is to be closed.
    pub(super) async fn over(&self) {
        loop {
            let until = *self.until.lock();
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// What the query says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    route: Option<String>,
    model: Option<String>,
    caller: Option<String>,
    id: Option<String>,
    count: Option<u64>,
    seconds: Option<u64>,
}

/// Shows the exchanges that begin from now on.
pub(super) async fn trace(
    State(admin): State<Shown>,
    Extension(lifetime): Extension<Lifetime>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let live = admin.shared.generation.load_full();
    if let Some(refused) = not_let_in(&live.config, &lifetime, &headers) {
        return refused;
    }
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(wrong) => return (StatusCode::BAD_REQUEST, format!("{wrong}\n")).into_response(),
    };
    let seconds = wanted.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) || wanted.count == Some(0) {
        let message = format!("`count` is at least 1, `seconds` 1 to {SECONDS_MAX}\n");
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let filter = Filter {
        route: wanted.route,
        model: wanted.model,
        caller: wanted.caller,
        id: wanted.id,
    };
    let watch = match admin.shared.watchers.watch(filter) {
        Ok(watch) => watch,
        Err(busy) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{busy}\n")).into_response();
        }
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    *lifetime.until.lock() = until + GRACE;
    let lines = Lines {
        watch,
        next: Some(Line::Watching {
            generation: live.id,
            seconds,
        }),
        left: wanted.count,
        until,
        is_over: false,
    };
    let lines = stream::unfold(lines, Lines::line);
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

/// The answer to who may not watch.
fn not_let_in(config: &Config, lifetime: &Lifetime, headers: &HeaderMap) -> Option<Response> {
    let Some(name) = &config.admin_token else {
        const OPEN: &str = "exchanges are shown to this machine alone as long as the configuration \
            has no `admin_token`\n";
        return match lifetime.is_local {
            true => None,
            false => Some((StatusCode::FORBIDDEN, OPEN).into_response()),
        };
    };
    let Ok(token) = EmbeddedSecrets::new(config.secrets.clone()).get(name) else {
        let message = "the secret of `admin_token` cannot be read now\n";
        return Some((StatusCode::SERVICE_UNAVAILABLE, message).into_response());
    };
    if token.expose().is_empty() {
        let message = "the secret of `admin_token` is empty, so nobody is let in: fill it\n";
        return Some((StatusCode::SERVICE_UNAVAILABLE, message).into_response());
    }
    // Of digests: how far two tokens are alike takes no time that could be measured.
    let is_it = |shown: &[u8]| Sha256::digest(shown) == Sha256::digest(token.expose());
    let message = match bearer(headers) {
        Some(shown) if is_it(shown) => return None,
        Some([]) => {
            "the token in `authorization` is empty: send `Bearer TOKEN`, the configuration's `admin_token`\n"
        }
        Some(_) => "the token in `authorization` is not the configuration's `admin_token`\n",
        None => {
            "this takes the configuration's `admin_token`: send `authorization: Bearer TOKEN`\n"
        }
    };
    let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, asks, message).into_response())
}

/// The token that is shown. Clients cut a space at the end of a header off.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = shown.split_at_checked(b"Bearer".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer");
    let is_apart = token.first().is_none_or(|byte| *byte == b' ');
    (is_bearer && is_apart).then_some(token.trim_ascii())
}

struct Lines {
    watch: Watch,
    next: Option<Line>,
    /// Traces that are still to come.
    left: Option<u64>,
    until: Instant,
    is_over: bool,
}

impl Lines {
    async fn line(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let line = match self.next.take() {
            Some(line) => written(&line),
            None => self.coming().await,
        };
        Some((Ok(line), self))
    }

    async fn coming(&mut self) -> Bytes {
        if self.left == Some(0) {
            return self.end("count");
        }
        let next = tokio::select! {
            next = self.watch.next() => next,
            () = sleep_until(self.until) => None,
            () = sleep(STILL) => return written(&Line::Still),
        };
        match next {
            Some(Next::Trace(line)) => {
                self.left = self.left.map(|left| left - 1);
                line
            }
            Some(Next::Lost { slow, skipped }) => written(&Line::Lost { slow, skipped }),
            None => self.end("seconds"),
        }
    }

    fn end(&mut self, reason: &str) -> Bytes {
        self.is_over = true;
        written(&Line::Ended {
            reason: reason.to_owned(),
        })
    }
}

fn written(line: &Line) -> Bytes {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text.into()
}
