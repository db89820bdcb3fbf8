//! What the gateway does by itself for the upstreams of the live generation: looking for
//! their endpoints, and asking those whether they are ready and how busy they are.
//!
//! One task an upstream. It goes on over a reload that changes nothing of the upstream,
//! ends when the upstream changed or left, and with the process. What it learns is kept
//! with the endpoint, where picks and the admin port see it. Knows no exchange.

mod discover;
mod questions;

use std::{collections::HashMap, sync::Arc};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use tollgate_upstreams::discovery::DiscoveryError;

use crate::serve::{Generation, Turn, Upstream};

pub(crate) use discover::before_going_live;

/// The tasks of the live generation's upstreams.
pub(crate) struct Upkeep {
    tasks: TaskTracker,
    stop: CancellationToken,
    running: HashMap<String, Running>,
}

struct Running {
    /// The one that its task was begun with.
    upstream: Arc<Upstream>,
    /// The live generation's.
    live: Arc<Upstream>,
    _stop: Option<DropGuard>,
}

impl Upkeep {
    /// Its tasks are tracked here and end with `stop`.
    pub(crate) fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tasks,
            stop,
            running: HashMap::new(),
        }
    }

    /// From now on this generation is the live one.
    pub(crate) fn follow(&mut self, generation: &Generation) {
        generation.take_over();
        let mut before = std::mem::take(&mut self.running);
        for (name, upstream) in generation.upstreams() {
            let kept = before.remove(name);
            let kept = kept.filter(|running| running.upstream.is_tended_as(upstream));
            if kept.is_none() {
                // Before what it found itself is told.
                upstream.care.fleet.next_turn();
            }
            upstream.go_live();
            let kept = kept.filter(|running| upstream.is_told_as(&running.upstream));
            let running = kept.unwrap_or_else(|| self.begin(upstream));
            let running = Running {
                live: Arc::clone(upstream),
                ..running
            };
            self.running.insert(name.clone(), running);
        }
        for gone in before.into_values() {
            gone.live.retire();
        }
    }

    fn begin(&self, upstream: &Arc<Upstream>) -> Running {
        let turn = upstream.care.fleet.next_turn();
        let stop = needs_tending(upstream).then(|| {
            let stop = self.stop.child_token();
            let ended = stop.clone();
            let upstream = Arc::clone(upstream);
            self.tasks.spawn(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = tend(&upstream, turn) => {}
                }
            });
            stop.drop_guard()
        });
        Running {
            upstream: Arc::clone(upstream),
            live: Arc::clone(upstream),
            _stop: stop,
        }
    }
}

fn needs_tending(upstream: &Upstream) -> bool {
    discover::is_needed(upstream) || questions::are_needed(upstream)
}

/// Never ends by itself.
async fn tend(upstream: &Arc<Upstream>, turn: (Turn, Option<DiscoveryError>)) {
    tokio::join!(discover::follow(upstream, turn), questions::ask(upstream));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tollgate_upstreams::discovery::News;

    use super::*;
    use crate::serve::{Clients, Ingredients};

    fn generation(clients: &Clients, endpoints: &str) -> Generation {
        let text = format!(
            "upstreams: {{ u: {{ endpoints: {endpoints} }} }}\nroutes: [ {{ upstream: u }} ]\n"
        );
        let config = tollgate_config::parse_str(&text, "tollgate.yaml", "/".as_ref());
        let made = Generation::new(Ingredients {
            id: 1,
            config: Arc::new(config.unwrap()),
            policies: BTreeMap::new(),
            clients,
            looks: HashMap::new(),
            before: None,
            secret: &|_| None,
        });
        made.unwrap()
    }

    #[tokio::test]
    async fn who_looked_before_a_reload_is_heard_only_if_it_goes_on() {
        let clients = Clients::new();
        let mut upkeep = Upkeep::new(TaskTracker::new(), CancellationToken::new());
        let dns = "{ dns: 'http://a.test', resolver: '127.0.0.1:9', refresh: 1h }";
        let error = DiscoveryError::Empty("a.test".to_owned());
        let fleet = clients.fleet("u");
        let first = generation(&clients, dns);
        upkeep.follow(&first);
        let (turn, upstream) = (fleet.turn(), &first.upstreams().next().unwrap().1.clone());

        let same = generation(&clients, dns);
        upkeep.follow(&same);
        fleet.hear(turn, upstream, News::Failing(&error));
        assert_eq!(fleet.failing().as_ref(), Some(&error));

        let listed = generation(&clients, "[ 'http://b' ]");
        upkeep.follow(&listed);
        assert_eq!(fleet.failing(), None);
        for late in [News::Failing(&error), News::StillFailing(&error)] {
            fleet.hear(turn, upstream, late);
            assert_eq!(fleet.failing(), None);
        }
    }
}
