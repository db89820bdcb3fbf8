//! The whole gateway on ports of its own, between a stand-in model server and real
//! clients.

#![allow(clippy::too_many_lines, reason = "a table of cases reads best whole")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod bounds;
mod cache;
mod client;
mod data_path;
mod departures;
mod edge;
mod failures;
mod fixture;
mod framing;
mod hooks;
mod rate_limit;
mod redact;
mod reload_files;
mod schema_guard;
mod standard_plugins;
mod streams;
mod swaps;
mod tls;
mod unread;
