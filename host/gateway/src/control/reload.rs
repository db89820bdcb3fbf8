//! The loop that looks, builds and swaps; one candidate at a time.
//!
//! It owns its state. There is no queue: files and callers only leave word that a
//! look is due, and whoever asked before the look began gets its result. So a storm
//! is a few looks, and the last content wins. Knows nothing of signals or HTTP.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_sandbox::Sandbox;

use super::{
    ask::{Answer, Orders, Reloaded},
    candidate::{Ground, Loaded, Policies, Proven},
    composition::warn_of,
    first::First,
    picture::{Picture, WRITTEN_REST},
    places::Places,
    refused::{Refused, Stage},
    snapshot::{self, Files, Snapshot, Taken},
    status::Status,
    watch::{Hint, Watch},
};
use crate::{
    serve::{Clients, Generation, Shared, TlsKeys},
    telemetry::{
        Counters,
        event::{ControlCounters, Drained, KeysKept, RefusedCandidate, Swapped, Unchanged},
    },
    upkeep::{Upkeep, before_going_live},
};

/// Looks are at least this far apart, however often they are asked for.
const SPACING: Duration = Duration::from_millis(120);
/// How often it is checked whether a former generation has drained.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What builds and swaps generations, for the life of the process.
pub(crate) struct Builder {
    pub(crate) source: PathBuf,
    /// The plugins' folder, where it is not the configuration's to say.
    pub(crate) plugins: Option<PathBuf>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) places: Places,
}

impl Builder {
    /// Brings a snapshot as far as it goes, off the data path.
    ///
    /// # Errors
    /// At whatever stage it is refused.
    pub(crate) async fn build(
        &self,
        snapshot: Snapshot,
        id: u64,
        (present, before): (&Policies, Option<&Generation>),
    ) -> Result<Proven, Refused> {
        let compiled = Loaded::new(snapshot)
            .compile(&self.sandbox, &self.places, present, &self.source)
            .await?;
        let ground = Ground {
            clients: &self.clients,
            looks: before_going_live(compiled.config(), &self.clients).await,
            before,
        };
        compiled.prove(id, ground, &self.source)
    }
}

/// Where the loop reports to.
#[derive(Clone, Default)]
pub(crate) struct Reports {
    pub(crate) status: Arc<Status>,
    pub(crate) control: Arc<ControlCounters>,
    pub(crate) exchanges: Arc<Counters>,
}

/// The loop and all that it remembers.
pub(crate) struct Reloader {
    builder: Builder,
    shared: Arc<Shared>,
    /// The listener's, if it speaks TLS.
    tls: Option<Arc<TlsKeys>>,
    reports: Reports,
    upkeep: Upkeep,
    watch: Watch,
    orders: Orders,
    present: Present,
    waiting: Option<Waiting>,
    last_look: Instant,
}

/// The live generation, and the files as they were last acted upon.
struct Present {
    id: u64,
    policies: Policies,
    /// What it was made of.
    made_of: Picture,
    /// The last candidate's; the same unless that was refused.
    seen: Picture,
    /// A file besides, that the last candidate was refused for.
    awaits: Option<Box<PathBuf>>,
}

/// A change that has not come to rest.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    until: Instant,
    hint: Hint,
    /// A file is gone; it may be on its way back.
    missing: bool,
}

/// Why to look.
#[derive(Debug, Clone, Copy, Default)]
struct Due {
    /// Someone waits for the result.
    asked: bool,
    hint: Hint,
}

impl Reloader {
    /// Follows the files that `first` was made of.
    pub(crate) fn new(
        first: First,
        shared: Arc<Shared>,
        tls: Option<Arc<TlsKeys>>,
        (reports, mut upkeep): (Reports, Upkeep),
        orders: Orders,
    ) -> Self {
        upkeep.follow(&first.proven.generation);
        let mut watch = Watch::new(Arc::clone(&reports.control));
        watch.follow(first.interest);
        Self {
            builder: first.builder,
            shared,
            tls,
            reports,
            upkeep,
            watch,
            orders,
            present: Present {
                id: first.proven.generation.id,
                policies: first.proven.policies,
                made_of: first.picture.clone(),
                seen: first.picture,
                awaits: None,
            },
            waiting: None,
            last_look: Instant::now(),
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    /// Waits for a reason, looks, and answers whoever asked before the look.
    async fn round(&mut self) {
        let mut due = self.idle().await;
        if !due.asked
            && !due.hint.lost
            && snapshot::is_unmoved(&self.builder.source, &self.present.seen)
        {
            self.waiting = None;
            return;
        }
        sleep_until(self.last_look + SPACING).await;
        self.last_look = Instant::now();
        // Whoever asks from here on may have changed something after the look.
        let asked = *self.orders.asked.borrow_and_update();
        due.asked = asked > self.orders.answered.borrow().0;
        if let Some(answer) = self.look(due).await {
            self.orders.answered.send_replace((asked, Some(answer)));
        }
    }

    /// Waits for a reason to look.
    async fn idle(&mut self) -> Due {
        let waiting = self.waiting;
        let former = waiting.map(|waiting| waiting.hint).unwrap_or_default();
        let rested = async {
            match waiting {
                Some(waiting) => sleep_until(waiting.until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.orders.asked.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                Due { asked: true, hint: former }
            }
            hint = self.watch.hint() => {
                let hint = Hint { renamed: hint.renamed || former.renamed, lost: hint.lost || former.lost };
                Due { asked: false, hint }
            }
            () = rested => Due { asked: false, hint: former },
        }
    }

    /// Looks at the files and acts on what changed. `None`: nothing came of it that
    /// anyone waits for.
    async fn look(&mut self, due: Due) -> Option<Answer> {
        let started = Instant::now();
        self.reports.status.looked();
        let taken = self.take(due.hint.lost).await;
        let files = &taken.files;
        if taken.outcome.is_ok() && files.picture.same_content(&self.present.made_of) {
            self.watch.follow(taken.files.interest);
            return self.unchanged(taken.files.picture, due.asked);
        }
        let (seen, interest) = files.with(self.present.awaits.as_deref().map(PathBuf::as_path));
        self.watch.follow(interest);
        if !due.asked {
            if seen.same_content(&self.present.seen) {
                self.present.seen = seen;
                self.waiting = None;
                return None;
            }
            self.waiting = self.unrest(&seen, due.hint);
            if self.waiting.is_some() {
                return None;
            }
        }
        self.waiting = None;
        Some(self.try_candidate(taken, started).await)
    }

    /// Until when to leave a change alone, if it may be half of one.
    fn unrest(&self, picture: &Picture, hint: Hint) -> Option<Waiting> {
        let now = Instant::now();
        let missing = picture.misses_any_of(&self.present.seen);
        match self.waiting {
            Some(waiting) if missing && waiting.missing => {
                return (now < waiting.until).then_some(waiting);
            }
            _ if missing => {
                return Some(Waiting {
                    until: now + WRITTEN_REST,
                    hint,
                    missing,
                });
            }
            _ => {}
        }
        let rest = picture.unrest(&self.present.seen, hint.renamed)?;
        Some(Waiting {
            until: now + rest,
            hint,
            missing,
        })
    }

    async fn take(&self, trust_nothing: bool) -> Taken {
        let (source, plugins) = (self.builder.source.clone(), self.builder.plugins.clone());
        let before = (!trust_nothing).then(|| self.present.made_of.clone());
        let take = move || snapshot::take(&source, plugins.as_deref(), before.as_ref());
        match tokio::task::spawn_blocking(take).await {
            Ok(taken) => taken,
            Err(broken) => Taken {
                files: Files::default(),
                outcome: Err(Refused::file(
                    Stage::Load,
                    "internal",
                    &self.builder.source,
                    broken,
                )),
            },
        }
    }

    fn unchanged(&mut self, picture: Picture, is_asked: bool) -> Option<Answer> {
        self.present.made_of = picture.clone();
        self.present.seen = picture;
        self.present.awaits = None;
        self.waiting = None;
        self.reports.status.mended();
        if !is_asked {
            return None;
        }
        Unchanged {
            generation: self.present.id,
        }
        .emit(&self.reports.control);
        Some(Ok(Reloaded {
            generation: self.present.id,
            swapped: false,
            policies_loaded: 0,
            policies_kept: self.present.policies.arcs().len(),
            took_us: 0,
        }))
    }

    async fn try_candidate(&mut self, taken: Taken, started: Instant) -> Answer {
        let id = self.present.id + 1;
        let Taken { files, outcome } = taken;
        let candidate = match outcome.and_then(|snapshot| self.restartless(snapshot)) {
            Ok(snapshot) => {
                let live = self.shared.generation.load_full();
                let present = (&self.present.policies, Some(&*live));
                self.builder.build(snapshot, id, present).await
            }
            Err(refused) => Err(refused),
        };
        match candidate {
            Ok(proven) => {
                proven.first_ticks().await;
                self.present.made_of = files.picture.clone();
                self.present.seen = files.picture;
                self.present.awaits = None;
                Ok(self.swap(proven, id, started))
            }
            Err(refused) => {
                let (seen, interest) = files.with(refused.awaits.as_deref().map(PathBuf::as_path));
                self.watch.follow(interest);
                self.present.seen = seen;
                self.present.awaits.clone_from(&refused.awaits);
                RefusedCandidate {
                    refused: &refused,
                    generation: self.present.id,
                }
                .emit(&self.reports.control);
                self.reports.status.refuse(&refused);
                Err(refused)
            }
        }
    }

    /// Some settings are the process's, not a generation's.
    fn restartless(&self, snapshot: Snapshot) -> Result<Snapshot, Refused> {
        let live = self.shared.generation.load();
        let (old, new) = (&live.config, &snapshot.config);
        let changed = [
            ("listen", old.listen != new.listen),
            ("admin", old.admin != new.admin),
            ("cache", old.cache != new.cache),
            ("tls", old.tls != new.tls),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            None => Ok(snapshot),
            Some((name, _)) => Err(Refused::file(
                Stage::Load,
                "restart_needed",
                &self.builder.source,
                format_args!("`{name}` cannot change while the gateway runs: restart it for that"),
            )),
        }
    }

    fn swap(&mut self, proven: Proven, id: u64, started: Instant) -> Reloaded {
        let config = &proven.generation.config;
        self.reports.exchanges.know(config);
        self.shared.cache.resize(config.limits.answers_bytes);
        // First, so that its bounds hold when the first exchange takes it.
        self.upkeep.follow(&proven.generation);
        proven.swap_in(&self.shared, &self.reports.status.generations);
        if let Some(Err(error)) = self.tls.as_ref().map(|keys| keys.reload()) {
            KeysKept { reason: &error }.emit();
        }
        let took = started.elapsed();
        let kept = config.policies.len().saturating_sub(proven.loaded);
        Swapped {
            generation: id,
            loaded: proven.loaded,
            kept,
            took,
        }
        .emit(&self.reports.control);
        warn_of(&proven.generation, &self.builder.source);
        self.reports.status.mended();
        self.present.id = id;
        let reloaded = Reloaded {
            generation: id,
            swapped: true,
            policies_loaded: proven.loaded,
            policies_kept: kept,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        self.present.policies = proven.policies;
        reloaded
    }
}

/// Notes generations that have drained, until `stop`.
pub(crate) async fn note_drained(
    status: Arc<Status>,
    control: Arc<ControlCounters>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DRAIN_LOOK) => {}
        }
        for (generation, took) in status.generations.drained() {
            Drained { generation, took }.emit(&control);
        }
    }
}
