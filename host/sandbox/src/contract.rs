//! The contract's data types, as generated from `sdk/wit`.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated from the WIT, which has the documentation"
)]

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "plugin",
    imports: {
        "tollgate:policy/kv": async | trappable,
        "tollgate:policy/limits.[drop]reservation": trappable,
        "tollgate:policy/limits": async | trappable,
        "tollgate:policy/http-call": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "tollgate:policy/exchange.message": crate::host::MessageView,
        "tollgate:policy/limits.reservation": crate::host::HeldReservation,
    },
});

use crate::Side;

pub use exports::tollgate::policy::policy::{Description, Hooks, Needs};
pub use tollgate::policy::{
    cache::{Kind as CacheKind, Plan as CachePlan},
    endpoints::Endpoint,
    types::*,
};

impl Needs {
    /// Whether a message's body has to be at hand, whatever it is read as.
    #[must_use]
    pub fn wants_body(self, side: Side) -> bool {
        self.intersects(match side {
            Side::Request => Self::REQUEST_JSON | Self::REQUEST_BODY,
            Side::Response => Self::RESPONSE_JSON | Self::RESPONSE_BODY,
        })
    }
}
