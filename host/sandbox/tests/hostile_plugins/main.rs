//! What a plugin can do to the gateway, tried at the height of the sandbox.
//!
//! Each case is a fixture: bytes that are no plugin, or the guest of
//! `tests/guests/hostile` with settings that say how it misbehaves. After each case
//! a well-behaved neighbour on the same sandbox answers as before.

mod bombs;
mod bounds;
mod bytes;
mod cache;
mod capabilities;
mod charges;
mod crowd;
mod decisions;
mod forgery;
mod guest;
mod memo;
mod nested;
mod places;
mod random;
mod setup;
mod shape;
mod stage;
mod state;
mod streams;
mod ticks;
mod twins;
mod wasi;
