//! What the client's `cache-control` asks for.

use tollgate_sdk::prelude::*;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// The answer is not to be kept: it is not looked up either, since who says so wants
    /// nothing to do with a cache.
    pub(crate) no_store: bool,
    /// No stored answer.
    pub(crate) no_cache: bool,
    /// No stored answer older than this.
    pub(crate) max_age_ms: Option<u64>,
}

impl Control {
    pub(crate) fn of(request: &Request) -> Self {
        let [control, pragma] = ["cache-control", "pragma"].map(|name| request.header(name));
        match (control, pragma) {
            (Some(control), _) => Self::read(&control),
            (None, Some(pragma)) => Self {
                no_cache: Self::read(&pragma).no_cache,
                ..Self::default()
            },
            (None, None) => Self::default(),
        }
    }

    /// What is not understood says nothing, but a `max-age` that is no number is none at all.
    fn read(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        let mut control = Self::default();
        for directive in line.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim() {
                "no-store" => control.no_store = true,
                "no-cache" => control.no_cache = true,
                "max-age" => {
                    let seconds = value.trim().trim_matches('"');
                    let seconds: u64 = match seconds.parse() {
                        Ok(seconds) => seconds,
                        Err(_) if is_huge(seconds) => u64::MAX,
                        Err(_) => 0,
                    };
                    control.no_cache |= seconds == 0;
                    let most = seconds.saturating_mul(1000);
                    let before = control.max_age_ms.unwrap_or(u64::MAX);
                    control.max_age_ms = Some(before.min(most));
                }
                _ => {}
            }
        }
        control
    }
}

fn is_huge(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_however_they_are_written() {
        let read = |line: &str| {
            let Control {
                no_store,
                no_cache,
                max_age_ms,
            } = Control::read(line.as_bytes());
            (no_store, no_cache, max_age_ms)
        };
        for (line, expected) in [
            ("", (false, false, None)),
            ("no-store", (true, false, None)),
            ("No-Cache", (false, true, None)),
            ("max-age=5", (false, false, Some(5000))),
            (" max-age = \"5\" , private", (false, false, Some(5000))),
            ("max-age=0", (false, true, Some(0))),
            ("max-age=9, max-age=5", (false, false, Some(5000))),
            ("max-age=-1", (false, true, Some(0))),
            ("max-age=soon", (false, true, Some(0))),
            ("max-age", (false, true, Some(0))),
            (
                "max-age=99999999999999999999999",
                (false, false, Some(u64::MAX)),
            ),
            ("no-store-ever, x-no-cache", (false, false, None)),
            ("no-cache=\"x\", no-store", (true, true, None)),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
        assert!(Control::read(b"\xff\xfe, no-store").no_store);
    }
}
