//! What a policy is to do, one case a file: an exchange, the settings, and what must
//! come of it.
//!
//! A case is run in the real sandbox, on capabilities that answer from the case alone, so
//! that it comes out the same everywhere. What was expected and what was got are both
//! data, written as YAML and compared as such. Knows nothing of sockets, routes or
//! terminals.

mod bench;
mod budget;
mod case;
mod compare;
mod emit;
mod file;
mod got;
mod moment;
mod prove;
mod run;
mod section;
mod shown;
mod update;
mod world;

pub use bench::{Bench, Outcome, Verdict};
pub use budget::Budget;
pub use case::{Case, CaseError, read_folder};
pub use compare::{Difference, Line};
pub use got::{Cost, Got, Step};
pub use prove::{Disproof, provable, prove};
pub use section::{SectionError, Shipped, Symbols, shipped, strip, with_cases};
pub use update::{NotUpdated, updated};
