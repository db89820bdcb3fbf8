//! The types that WASI's functions take and return, as far as they are given.

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

/// Stands for `output-stream`; its number says which.
pub(super) struct OutputStream;
/// Stands for `input-stream`, at whose end one is from the start.
pub(super) struct InputStream;
/// Stands for resources that nobody is ever handed.
pub(super) struct Never;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Datetime {
    pub(super) seconds: u64,
    pub(super) nanoseconds: u32,
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Never>),
    #[component(name = "closed")]
    Closed,
}
