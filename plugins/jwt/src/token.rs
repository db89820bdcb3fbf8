//! A token as it came, read but not believed.

use serde_json::{Map, Value};

use crate::{
    key::Algorithm,
    refused::Refused,
    strict::{base64url, object},
};

/// Longer ones are refused unread.
const TOKEN_MAX: usize = 16 * 1024;
/// With these a token brings its own key or rules.
const NOT_OURS: [&str; 6] = ["crit", "jwk", "jku", "x5u", "x5c", "b64"];

/// A token in its three parts, without a word of it proven.
#[derive(Debug)]
pub(crate) struct Unproven<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// What was signed.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Unproven<'a> {
    pub(crate) fn read(token: &'a [u8]) -> Result<Self, Refused> {
        if token.len() > TOKEN_MAX {
            return Err(Refused::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::Malformed);
        };
        let fields = base64url(header).and_then(|header| object(&header));
        let fields = fields.ok_or(Refused::Malformed)?;
        let algorithm = algorithm(&fields)?;
        if NOT_OURS.iter().any(|name| fields.contains_key(*name)) {
            return Err(Refused::Header);
        }
        let kid = match fields.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Refused::Malformed),
        };
        Ok(Self {
            algorithm,
            kid,
            message: &token[..header.len() + 1 + payload.len()],
            signature: base64url(signature).ok_or(Refused::Malformed)?,
            payload,
            whole: token,
        })
    }

    /// The claims; to be asked for once the signature is known to be good.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Refused> {
        base64url(self.payload)
            .and_then(|payload| object(&payload))
            .ok_or(Refused::Malformed)
    }

    pub(crate) fn whole(&self) -> &[u8] {
        self.whole
    }
}

/// Names are compared as they are: `none`, `None` and `nOnE` are all not on the list.
fn algorithm(fields: &Map<String, Value>) -> Result<Algorithm, Refused> {
    match fields.get("alg") {
        Some(Value::String(name)) => Algorithm::named(name).ok_or(Refused::Algorithm),
        _ => Err(Refused::Malformed),
    }
}
