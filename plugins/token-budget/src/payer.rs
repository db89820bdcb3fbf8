//! Whose budget a request takes from.

use tollgate_sdk::prelude::*;

use crate::{
    refusal::Refused,
    settings::{OnMissingCaller, Settings},
};

/// What earlier policies said about the caller.
pub(crate) struct Payer {
    caller: Option<String>,
    pub(crate) tier: Option<String>,
}

impl Payer {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            caller: head.caller.clone(),
            tier: head.tier.clone(),
        }
    }

    /// The fact and its value: no value can be made to look like another's bucket, nor
    /// like the shared one, which has no `=`.
    pub(crate) fn bucket(&self, settings: &Settings, request: &Request) -> Result<String, Refused> {
        let scope = settings.scope.0.as_str();
        let value = match scope {
            "caller" => self.caller.clone(),
            "tier" => self.tier.clone(),
            fact => request.fact(fact),
        };
        match (value, settings.on_missing_caller) {
            (Some(value), _) => Ok(format!("{scope}={value}")),
            (None, OnMissingCaller::Share) => Ok(scope.to_owned()),
            (None, OnMissingCaller::Refuse) => Err(Refused::NoCaller),
        }
    }
}
