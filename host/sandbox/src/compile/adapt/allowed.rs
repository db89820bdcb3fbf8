//! Which instructions an adapted module may have.
//!
//! A list of what is known, not of what is not: a proposal that is added to the engine
//! one day must not bring a way to change state that nobody puts back.

use wasmparser::Operator;

use super::Unfit;

macro_rules! define_proposal {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The proposal that an instruction came with, and its name.
        fn origin(operator: &Operator<'_>) -> (&'static str, &'static str) {
            match operator {
                $(Operator::$op { .. } => (stringify!($proposal), stringify!($op)),)*
                _ => ("", "one that is not known"),
            }
        }
    };
}
wasmparser::for_each_operator!(define_proposal);

/// Memory is written by stores, `memory.fill` and `memory.copy`, all of which are
/// rewritten; globals are put back whole; tables and segments must stay as they are.
pub(super) fn check(operator: &Operator<'_>) -> Result<(), Unfit> {
    let (proposal, name) = origin(operator);
    let known = matches!(
        proposal,
        "mvp"
            | "sign_extension"
            | "saturating_float_to_int"
            | "bulk_memory"
            | "reference_types"
            | "simd"
    );
    let changes_what_stays = matches!(
        operator,
        Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
    );
    if known && !changes_what_stays {
        Ok(())
    } else {
        Err(Unfit::Instruction(name))
    }
}
