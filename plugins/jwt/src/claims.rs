//! What a token that is signed well has to say.

use serde_json::{Map, Value};

use crate::{refused::Refused, settings::Settings};

/// Whether it is of this issuer, for this audience, and valid at this time.
pub(crate) fn check(
    claims: &Map<String, Value>,
    settings: &Settings,
    now_ms: u64,
) -> Result<(), Refused> {
    if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
        return Err(Refused::Issuer);
    }
    if !is_for(claims.get("aud"), settings.audience.names()) {
        return Err(Refused::Audience);
    }
    let now = now_ms as f64 / 1000.0;
    let skew = settings.clock_skew.ms() as f64 / 1000.0;
    if now >= ends(claims)? + skew {
        return Err(Refused::Expired);
    }
    match seconds(claims, "nbf")? {
        Some(begins) if now + skew < begins => Err(Refused::NotYetValid),
        _ => Ok(()),
    }
}

/// When it ends, in milliseconds since 1970.
pub(crate) fn ends_ms(claims: &Map<String, Value>) -> Result<u64, Refused> {
    Ok((ends(claims)? * 1000.0) as u64)
}

/// A token that never ends is none.
fn ends(claims: &Map<String, Value>) -> Result<f64, Refused> {
    seconds(claims, "exp")?.ok_or(Refused::Claim)
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds >= 0.0 => Ok(Some(seconds)),
            _ => Err(Refused::Malformed),
        },
    }
}

fn is_for(aud: Option<&Value>, ours: &[String]) -> bool {
    let is_ours = |aud: &Value| {
        aud.as_str()
            .is_some_and(|aud| ours.iter().any(|our| our == aud))
    };
    match aud {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_ours),
        Some(aud) => is_ours(aud),
        None => false,
    }
}
