//! Which endpoints an upstream has, how they fare, and which of them to ask.
//!
//! Everything here is state and arithmetic over what the gateway tells it: who was asked,
//! how that ended, how long it took. It opens no connection for an exchange and knows
//! nothing of HTTP messages, policies or wasm, so that each part is tested, and simulated,
//! by itself.

pub mod admission;
pub mod balance;
pub mod discovery;
pub mod health;
pub mod hedge;
pub mod load;
pub mod retry;
pub mod scrape;
mod seen;
mod speed;
