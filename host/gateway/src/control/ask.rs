//! How others ask for a reload, and learn what came of it.
//!
//! Without a queue: who asks leaves a number, and a result answers all numbers up to
//! the one that it began with.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use super::refused::{Refused, Stage};

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The generation that serves now.
    pub generation: u64,
    /// `false`: the files say what they said before, and nothing was swapped.
    pub swapped: bool,
    /// Policies that were compiled, configured and proven for it.
    pub policies_loaded: usize,
    /// Policies that were taken over from the generation before.
    pub policies_kept: usize,
    /// From the first look at the files to the swap, in microseconds.
    pub took_us: u64,
}

pub(crate) type Answer = Result<Reloaded, Refused>;

/// Asks for reloads. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Reloads {
    asked: Arc<watch::Sender<u64>>,
    /// The last look's result, and the number of the last one who asked before it.
    answered: watch::Receiver<(u64, Option<Answer>)>,
}

/// The loop's ends of the same.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(super) asked: watch::Receiver<u64>,
    pub(super) answered: watch::Sender<(u64, Option<Answer>)>,
}

impl Reloads {
    pub(crate) fn new() -> (Self, Orders) {
        let (asked, asked_end) = watch::channel(0);
        let (answered_end, answered) = watch::channel((0, None));
        (
            Self {
                asked: Arc::new(asked),
                answered,
            },
            Orders {
                asked: asked_end,
                answered: answered_end,
            },
        )
    }

    /// Looks at the files now and waits for what comes of it.
    ///
    /// # Errors
    /// The candidate was refused, or the gateway is stopping.
    pub(crate) async fn reload(&self) -> Answer {
        let mut mine = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            mine = *asked;
        });
        let mut answered = self.answered.clone();
        let answer = answered.wait_for(|(upto, _)| *upto >= mine).await;
        answer
            .ok()
            .and_then(|answer| answer.1.clone())
            .unwrap_or_else(|| Err(stopping()))
    }
}

fn stopping() -> Refused {
    Refused::new(Stage::Load, "stopping", "the gateway is stopping")
}
