//! What it costs that somebody may watch exchanges, and that somebody does: a gateway with
//! three policies.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{Plan, compare, contender::watched, swift};

const NOBODY: &str = "trace: nobody watches";

/// Side by side with a gateway that nobody watches.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let rows = [
        (NOBODY, None),
        ("trace: one watches another route", Some("route=none")),
        ("trace: one watches another caller", Some("caller=nobody")),
        ("trace: one watches everything", Some("")),
    ];
    if !rows.iter().any(|(name, _)| plan.wants(name)) {
        return Ok(());
    }
    let standin = swift().await?;
    println!();
    compare(&watched(standin.addr, &rows).await?, NOBODY, plan).await?;
    standin.stop().await;
    Ok(())
}

/// Somebody who watches, and reads as fast as it comes.
pub(crate) struct Watching {
    seen: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Watching {
    /// Watches when it returns.
    pub(crate) async fn at(admin: SocketAddr, query: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let request = Request::get(format!("/trace?seconds=3600&{query}"))
            .header("host", admin.to_string())
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        anyhow::ensure!(
            response.status().is_success(),
            "it may not watch: {}",
            response.status()
        );
        let mut body = response.into_body();
        body.frame().await.context("nothing is to be seen")??;
        let seen = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&seen);
        tasks.spawn(async move {
            let _sender = sender;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.into_data().map_or(0, |data| data.len() as u64);
                counted.fetch_add(bytes, Ordering::Relaxed);
            }
        });
        Ok(Self {
            seen,
            _tasks: tasks,
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let seen = self.seen.load(Ordering::Relaxed);
        eprintln!("{} KiB of traces were seen", seen / 1024);
    }
}
