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

use crate::serve::{Generation, Upstream};

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
        let stop = needs_tending(upstream).then(|| {
            let stop = self.stop.child_token();
            let ended = stop.clone();
            let upstream = Arc::clone(upstream);
            self.tasks.spawn(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = tend(&upstream) => {}
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
async fn tend(upstream: &Arc<Upstream>) {
    tokio::join!(discover::follow(upstream), questions::ask(upstream));
}
