//! Budgets and rate limits, as the contract words them.

use serde_json::{Value, json};
use tollgate_capabilities as capability;
use wasmtime::component::Resource;

use super::super::{HeldReservation, State};
use crate::{
    charge::Hold,
    contract::tollgate::policy::limits,
    observed::Stage,
    recording::{Note, outcome, pairs, text},
};

/// The most that one hook may hold for an exchange.
const CHARGES_MAX: usize = 64;

impl From<limits::Limit> for capability::Limit {
    fn from(limit: limits::Limit) -> Self {
        Self {
            algorithm: match limit.algorithm {
                limits::Algorithm::TokenBucket => capability::Algorithm::TokenBucket,
                limits::Algorithm::SlidingWindow => capability::Algorithm::SlidingWindow,
            },
            amount: limit.amount,
            period_ms: limit.period_ms,
        }
    }
}

impl From<capability::LimitError> for limits::Error {
    fn from(error: capability::LimitError) -> Self {
        match error {
            capability::LimitError::Exceeded(exceeded) => Self::Exceeded(limits::Exceeded {
                retry_after_ms: exceeded.retry_after_ms,
                remaining: exceeded.remaining,
            }),
            capability::LimitError::Unavailable => Self::Unavailable,
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl limits::HostReservation for State {
    async fn settle(
        &mut self,
        held: Resource<HeldReservation>,
        used: u64,
    ) -> wasmtime::Result<u64> {
        self.enter()?;
        match self.reservations.settle(&held) {
            Some(reservation) => {
                let answer = reservation.settle(used);
                let left = self.wait(answer).await;
                self.recorded.note(|to| {
                    let what = json!({ "reservation": held.rep(), "used": used });
                    to.call("limits.settle", what, json!(left));
                });
                Ok(left)
            }
            None => Err(wasmtime::Error::msg("the reservation was settled before")),
        }
    }

    fn drop(&mut self, held: Resource<HeldReservation>) -> wasmtime::Result<()> {
        self.reservations.release(&held);
        Ok(())
    }
}

impl limits::Host for State {
    async fn take(
        &mut self,
        bucket: String,
        amount: u64,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<u64, limits::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.limits.take(
            &self.shared.namespace,
            &bucket,
            amount,
            limit.into(),
        );
        let left: Result<u64, limits::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let what = of_bucket(&bucket, Some(amount), limit);
            to.call("limits.take", what, outcome(&left, |left| json!(left)));
        });
        Ok(left)
    }

    async fn reserve(
        &mut self,
        bucket: String,
        amount: u64,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<Resource<HeldReservation>, limits::Error>> {
        self.enter()?;
        if !self.reservations.has_room() {
            return Ok(Err(limits::Error::Invalid(
                "too many reservations are held at once".to_owned(),
            )));
        }
        let answer = self.shared.capabilities.limits.reserve(
            &self.shared.namespace,
            &bucket,
            amount,
            limit.into(),
        );
        let held: Result<_, limits::Error> = match self.wait(answer).await {
            Ok(reservation) => Ok(self.reservations.hold(reservation)),
            Err(error) => Err(error.into()),
        };
        self.recorded.note(|to| {
            let what = of_bucket(&bucket, Some(amount), limit);
            let shown = |held: &Resource<HeldReservation>| json!({ "reservation": held.rep() });
            to.call("limits.reserve", what, outcome(&held, shown));
        });
        Ok(held)
    }

    async fn remaining(
        &mut self,
        bucket: String,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<u64, limits::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.limits.remaining(
            &self.shared.namespace,
            &bucket,
            limit.into(),
        );
        let left: Result<u64, limits::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let what = of_bucket(&bucket, None, limit);
            to.call("limits.remaining", what, outcome(&left, |left| json!(left)));
        });
        Ok(left)
    }

    async fn hold_tokens(
        &mut self,
        bucket: String,
        limit: limits::Limit,
        tokens: limits::Tokens,
        counter: Option<limits::Counter>,
    ) -> wasmtime::Result<Result<(), limits::Error>> {
        self.hold(Hold::new(bucket, limit, tokens, counter)).await
    }
}

impl State {
    /// The charge lies with the request, until whoever asks the policies takes it.
    pub(crate) async fn hold(&mut self, hold: Hold) -> wasmtime::Result<Result<(), limits::Error>> {
        self.enter()?;
        let held = self.place_hold(&hold).await;
        self.recorded.note(|to| {
            let mut what = of_bucket(&hold.bucket, None, hold.limit);
            let limits::Tokens {
                bytes_per_token,
                output,
            } = hold.tokens;
            what["tokens"] = json!({ "bytes-per-token": bytes_per_token, "output": output });
            if let Some(counter) = &hold.counter {
                let (name, labels) = (text(counter.name.as_bytes()), pairs(&counter.labels));
                what["counter"] = json!({ "name": name, "labels": labels });
            }
            let shown = |amount: &u64| json!({ "held": amount });
            to.call("limits.hold-tokens", what, outcome(&held, shown));
        });
        let held = held.map(drop);
        if let (Ok(()), Some(reads)) = (&held, &mut self.reads) {
            reads.note_hold(hold);
        }
        Ok(held)
    }

    /// How much.
    async fn place_hold(&mut self, hold: &Hold) -> Result<u64, limits::Error> {
        if self.stage != Stage::Request {
            let late = "tokens of an exchange are held when its request comes";
            return Err(limits::Error::Invalid(late.to_owned()));
        }
        if self.message.charges.len() == CHARGES_MAX {
            return Err(limits::Error::Invalid(
                "too many budgets are charged at once".to_owned(),
            ));
        }
        let (input, held) = hold.ask(&self.shared, self.body_bytes)?;
        let held = self.wait(held).await?;
        let amount = held.amount();
        let charge = hold.charge(&self.shared, (input, held));
        self.message.charges.push(charge);
        Ok(amount)
    }
}

/// The arguments of a call about a bucket.
fn of_bucket(bucket: &str, amount: Option<u64>, limit: limits::Limit) -> Value {
    let limits::Limit {
        algorithm,
        amount: most,
        period_ms,
    } = limit;
    let algorithm = match algorithm {
        limits::Algorithm::TokenBucket => "token-bucket",
        limits::Algorithm::SlidingWindow => "sliding-window",
    };
    let limit = json!({ "algorithm": algorithm, "amount": most, "period-ms": period_ms });
    match amount {
        Some(amount) => {
            json!({ "bucket": text(bucket.as_bytes()), "amount": amount, "limit": limit })
        }
        None => json!({ "bucket": text(bucket.as_bytes()), "limit": limit }),
    }
}
