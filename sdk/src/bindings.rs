//! The contract in `wit/policy.wit`, as Rust. Written by wit-bindgen; the rest of
//! the SDK gives it names, and nothing here is for authors to call.

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "tollgate_sdk::bindings",
    additional_derives: [PartialEq],
});

/// What a policy exports besides if it has a timer: a world of its own, since a world has
/// all of its exports or is another one.
pub mod timed {
    wit_bindgen::generate!({
        path: "wit",
        world: "timed",
        pub_export_macro: true,
        export_macro_name: "export_timed",
        default_bindings_module: "tollgate_sdk::bindings::timed",
    });
}
