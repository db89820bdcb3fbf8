//! What one exchange has to do with an answer that is kept or shared.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tollgate_sandbox::contract::{Ending, Usage};

use super::{
    super::{
        errors::ServeError,
        record::{Decided, Reason, Record},
        slot::Slot,
    },
    flight::{Flight, Told},
    listening::Account,
};

/// How long an exchange waits for the log of what others did for it.
const OVER: Duration = Duration::from_secs(1);

const NOTHING: Usage = Usage {
    input_tokens: 0,
    output_tokens: 0,
    cached_tokens: 0,
};

/// See the module.
pub(in crate::serve) enum Part {
    /// It asks the upstream, for all who listen; no client's own.
    Source(Arc<Flight>),
    /// It listens, as do others.
    Listener {
        account: Account,
        /// It answers for what the upstream did.
        is_accountable: bool,
    },
    /// It was given a stored answer.
    Hit,
}

impl Part {
    pub(in crate::serve) fn listener(account: Account) -> Self {
        Self::Listener {
            account,
            is_accountable: false,
        }
    }

    pub(in crate::serve) fn note_error(&self, error: &ServeError) {
        if let Self::Source(flight) = self {
            flight.note_fault(error.clone());
        }
    }

    /// The exchange is over: what was used is told once, by one of those who listened.
    pub(in crate::serve) fn settle(&mut self, record: &mut Record, slots: &[Slot]) {
        match self {
            Self::Source(flight) => flight.tell(Told {
                policies: slots.iter().map(Slot::so_far).collect(),
                facts: record.facts.clone(),
                is_good: is_good(record, slots),
            }),
            Self::Hit => record.usage = Some(NOTHING),
            Self::Listener {
                account,
                is_accountable,
            } => {
                *is_accountable = account.settle(record.ending != Ending::ClientGone);
                if !*is_accountable && !account.is_first() {
                    record.usage = Some(NOTHING);
                }
            }
        }
    }

    /// Adds what others did for this exchange. `false`: it is no client's, and not told of.
    pub(in crate::serve) async fn report(self, record: &mut Record) -> bool {
        match self {
            Self::Source(_) => return false,
            Self::Listener {
                account,
                is_accountable: true,
            } => {
                let flight = account.flight();
                let told = timeout(OVER, flight.told()).await.unwrap_or_default();
                record.policies.extend(told.policies);
                match flight.head() {
                    Some(head) => {
                        record.upstream.clone_from(&head.source.upstream);
                        record.endpoint.clone_from(&head.source.endpoint);
                        record.attempts = head.source.attempts;
                        record.reason = head.source.reason;
                        record.tries.clone_from(&head.source.tries);
                        record.over_budget = head.source.over_budget;
                        record.upstream_head = head.source.upstream_head;
                    }
                    None => record.facts = told.facts,
                }
            }
            Self::Listener { .. } | Self::Hit => {}
        }
        true
    }
}

/// Whole, of the target that was meant, and as every policy on the way wanted it.
fn is_good(record: &Record, slots: &[Slot]) -> bool {
    let is_as_wanted = |slot: &Slot| {
        let policy = slot.so_far();
        let is_own = matches!(
            policy.decided,
            Decided::Reply | Decided::Refuse | Decided::End | Decided::Failed
        );
        !is_own && policy.failure.is_none() && !policy.bypassed
    };
    let is_meant = record.reason != Reason::Fallback;
    let is_whole = record.ending == Ending::Complete && record.error.is_none();
    is_meant && is_whole && slots.iter().all(is_as_wanted)
}
