//! The contract in `wit/policy.wit`, as Rust. Written by wit-bindgen; the rest of
//! the SDK gives it names, and nothing here is for authors to call.

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "tollgate_sdk::bindings",
    additional_derives: [PartialEq],
});
