//! What the header `x-probe` asks for.

use tollgate_sdk::{clock, log};

/// A way to fail, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed {
    what: What,
    pub(crate) at: Hook,
}

/// A hook by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Request,
    Attempt,
    Response,
    Events,
    Finish,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Trap,
    Loop,
    Memory,
    /// Works until so many milliseconds after its session opened.
    Busy(u64),
}

impl Deed {
    /// `trap`, `loop@events`, `busy=200@response`; nothing else is anything.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (what, at) = text.split_once('@').unwrap_or((text, "request"));
        let what = match what {
            "trap" => What::Trap,
            "loop" => What::Loop,
            "memory" => What::Memory,
            _ => What::Busy(what.strip_prefix("busy=")?.parse().ok()?),
        };
        let at = match at {
            "request" => Hook::Request,
            "attempt" => Hook::Attempt,
            "response" => Hook::Response,
            "events" => Hook::Events,
            "finish" => Hook::Finish,
            _ => return None,
        };
        Some(Self { what, at })
    }

    pub(crate) fn commit(self, opened_us: u64) {
        match self.what {
            What::Trap => panic!("trapped, as told"),
            What::Loop => loop {
                std::hint::spin_loop();
            },
            What::Memory => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
            }
            What::Busy(milliseconds) => {
                log::debug("busy, as told");
                while clock::monotonic_us() < opened_us + milliseconds * 1000 {
                    // A look at the clock is a call to the host, and those are counted.
                    for round in 0..100_000_u32 {
                        std::hint::black_box(round);
                    }
                }
            }
        }
    }
}
