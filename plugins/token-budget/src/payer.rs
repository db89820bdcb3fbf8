//! Whose budget a request takes from.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use tollgate_sdk::prelude::*;

use crate::{
    refusal::Refused,
    settings::{OnMissingCaller, Settings},
};

/// The host takes names of 256 bytes; the fact's own name and a date have to fit in.
const VALUE_MAX: usize = 128;

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

    /// Who is charged, for reports.
    pub(crate) fn caller(&self) -> &str {
        self.caller.as_deref().unwrap_or("-")
    }

    /// The fact and its value: no value can be made to look like another's bucket, nor
    /// like the shared one, which has no `=`. A long value's hash stands for it.
    pub(crate) fn bucket(
        &self,
        settings: &Settings,
        fact: impl FnOnce(&str) -> Option<String>,
    ) -> Result<String, Refused> {
        let scope = settings.scope.0.as_str();
        let value = match scope {
            "caller" => self.caller.clone(),
            "tier" => self.tier.clone(),
            name => fact(name),
        };
        match (value, settings.on_missing_caller) {
            (Some(value), _) if value.len() > VALUE_MAX => {
                Ok(format!("{scope}#{}", hex(&Sha256::digest(value))))
            }
            (Some(value), _) => Ok(format!("{scope}={value}")),
            (None, OnMissingCaller::Share) => Ok(scope.to_owned()),
            (None, OnMissingCaller::Refuse) => Err(Refused::NoCaller),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
