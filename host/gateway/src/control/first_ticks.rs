//! What policies do by the clock begins here, right before their generation goes live.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate_sandbox::{FirstTick, Policy};

use super::candidate::Proven;

/// How long a generation waits for the first ticks of its policies.
const PATIENCE: Duration = Duration::from_secs(2);

impl Proven {
    /// Has the timers of its policies begin, and waits a while for the first ticks of those
    /// that did not tick before. What comes of them is no reason to refuse the generation:
    /// what a policy cannot reach now must not keep a change from going live.
    pub(crate) async fn first_ticks(&self) {
        let policies = self.generation.policies.values();
        let first: Vec<_> = policies.map(Policy::start_timer).collect();
        let all = join_all(first.into_iter().map(FirstTick::over));
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                generation = self.generation.id,
                "the first tick of a policy takes long: the generation goes live meanwhile"
            );
        }
    }
}
