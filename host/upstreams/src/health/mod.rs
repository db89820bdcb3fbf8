//! How endpoints fare, and which of them are left alone.
//!
//! [`Health`] is one endpoint's: what exchanges tell of it (an [`Outcome`] each), what
//! checks tell, and where it stands. [`Ward`] watches over all of an upstream, so that
//! never more than a part of them is out. [`Breaker`] is the upstream's own. Time is
//! handed in; nothing here waits, asks, or knows of HTTP connections.

mod breaker;
mod checks;
mod circuit;
mod endpoint;
mod outcome;
mod ramp;
mod ward;
mod window;

pub use breaker::{Breaker, Opened};
pub use circuit::{Admitted, Phase};
pub use endpoint::{Health, Out, Share, Standing};
pub use outcome::{Fault, Outcome};
pub use ward::{Change, Event, Tended, Ward, Why};
