pub(crate) fn of(_settings: &crate::settings::Settings) -> Vec<tollgate_sdk::Sample> { Vec::new() }
