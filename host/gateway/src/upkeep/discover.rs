//! Looks for the endpoints of an upstream, again and again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tollgate_config::{Config, Endpoints};
use tollgate_upstreams::discovery::{self, DiscoveryError, Source};

use crate::serve::{Clients, FirstLook, Turn, Upstream};

pub(super) fn is_needed(upstream: &Upstream) -> bool {
    !matches!(upstream.written.endpoints, Endpoints::Listed(_))
}

/// Follows the source, where there is one, for as long as it is its turn.
pub(super) async fn follow(
    upstream: &Arc<Upstream>,
    (turn, failing): (Turn, Option<DiscoveryError>),
) {
    let endpoints = &upstream.written.endpoints;
    let Some(source) = Source::new(endpoints) else {
        return;
    };
    let before = (upstream.found(), failing);
    // What was found before it went live is as good as new, for a while.
    let first = match (before.0.is_empty(), endpoints) {
        (true, _) => Duration::ZERO,
        (false, Endpoints::File(file)) => file.refresh,
        (false, Endpoints::Dns(dns)) => dns.refresh.unwrap_or(Duration::from_secs(1)),
        (false, Endpoints::Listed(_)) => return,
    };
    let fleet = &upstream.care.fleet;
    discovery::follow(source, before, first, |news| {
        fleet.hear(turn, upstream, news);
    })
    .await;
}

/// Asks the DNS for the endpoints of upstreams that are new, so that a generation knows
/// them when it goes live. Where that fails it goes live with what was found last of the
/// same name, or without, and they are looked for from then on.
pub(crate) async fn before_going_live(
    config: &Config,
    clients: &Clients,
) -> HashMap<String, FirstLook> {
    let looks = config.upstreams.iter().map(async |(name, upstream)| {
        let look = first_look(FirstLook::none(clients.fleet(name)), &upstream.endpoints);
        (name.clone(), look.await)
    });
    join_all(looks).await.into_iter().collect()
}

async fn first_look(nothing: FirstLook, endpoints: &Endpoints) -> FirstLook {
    let found = nothing.fleet.known(endpoints);
    let is_asked = matches!(endpoints, Endpoints::Dns(_)) && found.is_empty();
    let Some(mut source) = Source::new(endpoints).filter(|_| is_asked) else {
        return FirstLook { found, ..nothing };
    };
    let fleet = nothing.fleet;
    let (found, looked) = match source.look(false).await.found {
        Ok(found) => (found, Ok(())),
        Err(error) => {
            fleet.warn_of(&error);
            (fleet.last_found(endpoints), Err(error))
        }
    };
    FirstLook {
        fleet,
        found,
        looked: Some(looked),
    }
}
