//! The whole gateway on ports of its own, between a stand-in model server and real
//! clients.

#![allow(clippy::too_many_lines, reason = "a table of cases reads best whole")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod anthropic;
mod api_keys;
mod authoring;
mod authority;
mod balance;
mod bounds;
mod cache;
mod client;
mod client_certs;
mod composition;
mod crowd;
mod data_path;
mod departures;
mod descriptors;
mod dev;
mod dialects;
mod edge;
mod endpoints;
mod examples;
mod failures;
mod fixture;
mod framing;
mod hooks;
mod issuer;
mod jwt;
mod mirrors;
mod model_router;
mod open_inference;
mod outage;
mod overload;
mod picking;
mod places;
mod pressure;
mod printed;
mod program;
mod prompt_template;
mod rate_limit;
mod redact;
mod reload_files;
mod schema;
mod schema_guard;
mod scripted;
mod standard_plugins;
mod streams;
mod swaps;
mod tls;
mod trace;
mod unread;
mod upgrades;
mod upstream_faults;
mod upstream_tls;
