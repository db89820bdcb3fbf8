//! What was spent, by caller and model.
//!
//! As a metric, which the host bounds to a hundred pairs of caller and model and adds up
//! beyond that. With the feature `report` also in the store, where there is room for about
//! a hundred thousand pairs a month; it needs the grant `kv` then.

use tollgate_sdk::metrics;

/// Counts what an exchange cost, in millionths. `model`: as the prices call it, so that no
/// client makes up names.
pub(crate) fn spent(caller: &str, model: &str, micros: u64) {
    metrics::count(
        "spent_micros",
        &[("caller", caller), ("model", model)],
        micros,
    );
    #[cfg(feature = "report")]
    keep(caller, model, micros);
}

/// Under `spent/MONTH/MODEL_BYTES/MODEL/CALLER`: the length of the model's name, which may
/// have a slash in it, tells where the caller's begins.
#[cfg(feature = "report")]
fn keep(caller: &str, model: &str, micros: u64) {
    use std::time::Duration;

    use tollgate_sdk::{clock, kv, log};

    use crate::calendar;

    /// Until the month after is well under way; a time to live is at most 49 days.
    const LIVES: Duration = Duration::from_secs(45 * 86_400);

    let month = calendar::month(clock::now_ms()).name;
    let key = format!("spent/{month}/{}/{model}/{caller}", model.len());
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    if micros == 0 {
        return;
    }
    if let Err(error) = kv::increment(&key, micros, Some(LIVES)) {
        metrics::count("unreported_micros", &[], micros.unsigned_abs());
        log::warn(&format!("what was spent is not in the report: {error:?}"));
    }
}
