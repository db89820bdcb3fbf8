//! Looks for the endpoints of an upstream, again and again.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tollgate_config::{Config, Endpoints};
use tollgate_upstreams::discovery::{self, Found, News, Source};

use crate::serve::{Clients, Fleet, Upstream};

pub(super) fn is_needed(upstream: &Upstream) -> bool {
    !matches!(upstream.written.endpoints, Endpoints::Listed(_))
}

/// Follows the source, where there is one.
pub(super) async fn follow(upstream: &Arc<Upstream>) {
    let endpoints = &upstream.written.endpoints;
    let Some(source) = Source::new(endpoints) else {
        return;
    };
    let fleet = &upstream.care.fleet;
    let known = fleet.last_found(endpoints);
    // What was found before it went live is as good as new, for a while.
    let first = match (known.is_empty(), endpoints) {
        (true, _) => Duration::ZERO,
        (false, Endpoints::File(file)) => file.refresh,
        (false, Endpoints::Dns(dns)) => dns.refresh.unwrap_or(Duration::from_secs(1)),
        (false, Endpoints::Listed(_)) => return,
    };
    discovery::follow(source, known, first, |news| match news {
        News::Endpoints(found) => {
            changed(upstream, found);
            fleet.look_succeeded();
        }
        News::Failing(error) => fleet.look_failed(error, true),
        News::StillFailing(error) => fleet.look_failed(error, false),
        News::Mended => fleet.look_succeeded(),
    })
    .await;
}

fn changed(upstream: &Upstream, found: &[Found]) {
    let fleet = &upstream.care.fleet;
    let (before, now) = (upstream.endpoints().len(), found.len());
    tracing::info!(upstream = &*fleet.name, before, now, "endpoints changed");
    fleet.renew(&upstream.written.endpoints, found);
    upstream.take_over();
}

/// Asks the DNS for the endpoints of upstreams that are new, so that a generation knows
/// them when it goes live. Where that fails it goes live without, and they are looked for
/// from then on. Keep what is returned until the generation is made.
pub(crate) async fn before_going_live(config: &Config, clients: &Clients) -> Vec<Arc<Fleet>> {
    let looks = config.upstreams.iter().map(async |(name, upstream)| {
        let fleet = clients.fleet(name);
        let endpoints = &upstream.endpoints;
        let is_dns = matches!(endpoints, Endpoints::Dns(_));
        let source = Source::new(endpoints);
        if let Some(mut source) = source
            && is_dns
            && fleet.last_found(endpoints).is_empty()
        {
            match source.look(false).await.found {
                Ok(found) => fleet.remember(endpoints, &found),
                Err(error) => fleet.look_failed(&error, true),
            }
        }
        fleet
    });
    join_all(looks).await
}
