//! What holds where the file says nothing. This table is the one place for it.
//!
//! | key | default | | key | default |
//! |---|---|---|---|---|
//! | `listen` | 127.0.0.1:8080 | | `limits.connections` | 10000 |
//! | `admin` | 127.0.0.1:9901 | | `limits.request_header` | 32KiB |
//! | `plugins` | `plugins/` | | `limits.request_body` | 10MiB |
//! | `cache` | `.tollgate/cache` | | `limits.response_buffer` | 4MiB |
//! | `policies.*.on_error` | none: it must be written | | `limits.event` | 1MiB |
//! | `policies.*.isolation` | exchange | | `limits.json_depth` | 64 |
//! | `policies.*.settings` | `{}` | | `timeouts.header` | 10s |
//! | `….http-call.timeout` | 500ms | | `timeouts.idle` | 60s |
//! | `….http-call.max_response` | 64KiB | | `timeouts.request_body` | 30s |
//! | `….http-call.max_calls` | 4 | | `timeouts.connect` | 5s |
//! | `sandbox.hook_time` | 10ms | | `timeouts.first_byte` | 60s |
//! | `sandbox.exchange_time` | 1s | | `timeouts.between_bytes` | 60s |
//! | `sandbox.memory` | 16MiB | | `timeouts.total` | 10m |
//! | `sandbox.table_elements` | 10000 | | `timeouts.shutdown` | 30s |
//! | `sandbox.host_calls` | 1000 | | `compile.cpu_time` | 30s |
//! | `sandbox.edits` | 64 | | `compile.memory` | 1GiB |
//! | `sandbox.log_lines` | 20 | | `compile.input` | 16MiB |
//! | `limits.answers` | 64MiB | | `limits.answer` | 1MiB |
//! | `upstreams.*.dialect` | openai | | `upstreams.*.balance` | round-robin |
//! | `limits.upgrades` | 1000 | | `limits.mirrors` | 64 |
//! | `limits.mirror_bodies` | 16MiB | | `timeouts.upgrade_idle` | 5m |
//! | `timeouts.upgrade_total` | 24h | | `routes.mirror.timeout` | 60s |
//! | `routes.mirror.percent` | 100 | | `routes.upgrades` | none |
//! | `….endpoints.refresh` | 2s for a file, else the records' | | `….endpoints.timeout` | 5s |
//! | `….health.max_out` | 50 | | `….health.slow_start` | 10s |
//! | `….health.passive` | below, in `Passive` | | `….health.busy_max` | 30s |
//! | `….health.active` | off | | `….health.breaker` | off |
//! | `….peak-ewma.decay` | 10s | | `….consistent-hash.bound` | 125 |
//! | `….model-aware.prefix_cache` | 8MiB | | `….model-aware.scrape.path` | `/metrics` |
//! | `….model-aware.scrape.interval` | 1s | | `….model-aware.scrape.stale` | 5s |
//! | `….concurrency` | no bound | | `overload.concurrency` | no bound |
//! | `….queue.length` | 128 | | `….queue.timeout` | 10s |
//! | `overload.exchanges` | 20000 | | `overload.priorities` | fact `priority`: high 8, normal 4, low 1 |
//! | `limits.request_bodies` | 1GiB | | `upstreams.*.policies` | none |
//! | `sandbox.tick_time` | 10s | | `sandbox.remembered_decisions` | 1024 |
//! | `upstreams.*.stream_end` | done-event (openai), transport (opaque) | | `models.*.targets.weight` | 1 |

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::model::{
    Circuit, CompileLimits, Dialect, Health, Limits, ModelAware, Overload, Passive, PeakEwma,
    Priorities, Queue, SandboxLimits, Scrape, StreamEnd, Timeouts,
};

pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
pub(crate) const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
pub(crate) const PLUGINS: &str = "plugins";
pub(crate) const CACHE: &str = ".tollgate/cache";
pub(crate) const WEIGHT: u32 = 1;
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_millis(500);
pub(crate) const CALL_RESPONSE_BYTES: usize = 64 << 10;
pub(crate) const CALLS: u32 = 4;
pub(crate) const MIRROR_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const FILE_REFRESH: Duration = Duration::from_secs(2);
pub(crate) const DNS_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const CHECK_JITTER: u32 = 20;
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const DOWN_AFTER: u32 = 3;
pub(crate) const UP_AFTER: u32 = 2;

/// What a server of this dialect answers to when it is ready; `None`: nobody knows.
pub(crate) fn check_path(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::OpenAi => Some("/health"),
        Dialect::Anthropic => Some("/v1/models"),
        Dialect::OpenInference => Some("/v2/health/ready"),
        Dialect::Seldon => Some("/ready"),
        Dialect::Opaque => None,
    }
}
/// In percent.
pub(crate) const BOUND: u32 = 125;

pub(crate) fn stream_end(dialect: Dialect) -> StreamEnd {
    match dialect {
        Dialect::OpenAi | Dialect::Anthropic => StreamEnd::DoneEvent,
        Dialect::OpenInference | Dialect::Seldon | Dialect::Opaque => StreamEnd::Transport,
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
        }
    }
}

impl Default for ModelAware {
    fn default() -> Self {
        Self {
            scrape: Scrape::default(),
            prefix_cache_bytes: 8 << 20,
        }
    }
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            path: "/metrics".into(),
            port: None,
            interval: Duration::from_secs(1),
            stale: Duration::from_secs(5),
        }
    }
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            hook_time: Duration::from_millis(10),
            exchange_time: Duration::from_secs(1),
            tick_time: Duration::from_secs(10),
            memory_bytes: 16 << 20,
            table_elements: 10_000,
            host_calls: 1_000,
            edits: 64,
            log_lines: 20,
            remembered_decisions: 1024,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            passive: Some(Passive::default()),
            active: None,
            breaker: None,
            max_out_percent: 50,
            slow_start: Duration::from_secs(10),
            busy_max: Duration::from_secs(30),
        }
    }
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            circuit: Circuit {
                error_percent: 50,
                min_requests: 20,
                window: Duration::from_secs(10),
                pause: Duration::from_secs(5),
                pause_max: Duration::from_secs(300),
                probes: 1,
            },
        }
    }
}

impl Circuit {
    /// What the circuit breaker of an upstream has where nothing else is written.
    pub(crate) fn breaker() -> Self {
        Self {
            error_percent: 50,
            min_requests: 50,
            window: Duration::from_secs(10),
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(60),
            probes: 3,
        }
    }
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            cpu_time: Duration::from_secs(30),
            memory_bytes: 1 << 30,
            input_bytes: 16 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            request_header_bytes: 32 << 10,
            request_body_bytes: 10 << 20,
            request_bodies_bytes: 1 << 30,
            response_buffer_bytes: 4 << 20,
            event_bytes: 1 << 20,
            json_depth: 64,
            answers_bytes: 64 << 20,
            answer_bytes: 1 << 20,
            upgrades: 1_000,
            mirrors: 64,
            mirror_bytes: 16 << 20,
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            exchanges: 20_000,
            concurrency: None,
            priorities: Priorities::default(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            length: 128,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Priorities {
    fn default() -> Self {
        let weights = [("high", 8), ("normal", 4), ("low", 1)];
        Self {
            fact: "priority".into(),
            weights: weights.map(|(name, weight)| (name.into(), weight)).into(),
            default: 1,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            request_body: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            total: Duration::from_secs(600),
            upgrade_idle: Duration::from_secs(300),
            upgrade_total: Duration::from_secs(24 * 3600),
            total_max: None,
            shutdown: Duration::from_secs(30),
        }
    }
}
