//! A tiny policy in WebAssembly text, with places where it can be bent.
//!
//! It does nothing and does it right: no settings, no samples, `next` to everything.

use wit_component::StringEncoding;
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../../sdk/wit/policy.wit");

#[derive(Clone)]
pub(crate) struct Shape {
    /// The memory's type, such as `4` or `i64 4`.
    pub(crate) memory: &'static str,
    /// More fields of the module: functions, tables, `(start …)`.
    pub(crate) extra: String,
    /// When `cabi_realloc` begins.
    pub(crate) realloc: &'static str,
    /// Imports of functions, besides the contract's.
    pub(crate) imports: &'static str,
    /// Before `describe` returns.
    pub(crate) describe: &'static str,
    /// Before `configure` returns.
    pub(crate) configure: String,
    /// Before a session is made.
    pub(crate) open: String,
    /// Before `on-request` returns; its parameters are `$session` and `$message`.
    pub(crate) on_request: String,
    pub(crate) schema: String,
    /// The number of bytes that `describe` says its name has.
    pub(crate) name_bytes: u32,
    pub(crate) version: &'static str,
    /// Of the world that is written into the module.
    pub(crate) world: &'static str,
    /// The WIT that has the world, if it is not the contract's.
    pub(crate) wit: Option<&'static str>,
    /// What the export `on-request` is called.
    pub(crate) on_request_name: &'static str,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            memory: "4",
            extra: String::new(),
            realloc: "",
            imports: "",
            describe: "",
            configure: String::new(),
            open: String::new(),
            on_request: "(call $drop (local.get $message))".to_owned(),
            schema: "{}".to_owned(),
            name_bytes: 5,
            version: "0.1.0",
            world: "plugin",
            wit: None,
            on_request_name: "[method]session.on-request",
        }
    }
}

impl Shape {
    pub(crate) fn text(&self) -> String {
        let Self {
            memory,
            extra,
            realloc,
            imports,
            describe,
            configure,
            open,
            on_request,
            schema,
            name_bytes,
            version,
            on_request_name,
            ..
        } = self;
        let schema_bytes = schema.len();
        let schema = schema
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let export = format!("tollgate:policy/policy@{version}");
        format!(
            r#"(module
  (import "[export]{export}" "[resource-new]session" (func $new (param i32) (result i32)))
  (import "tollgate:policy/exchange@{version}" "[resource-drop]message" (func $drop (param i32)))
  (import "tollgate:policy/clock@{version}" "now-ms" (func $now (result i64)))
  {imports}
  (memory (export "memory") {memory})
  (global $top (mut i32) (i32.const 131072))
  ;; 512: a decision of `next`. 600: ok. 640: no samples. 700: nothing about events.
  (data (i32.const 1024) "\00\08\00\00{name}\10\08\00\00\05\00\00\00\1f\00\00\00\00\10\00\00{schema_length}")
  (data (i32.const 2048) "shape")
  (data (i32.const 2064) "1.0.0")
  (data (i32.const 4096) "{schema}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    {realloc}
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get 3))))
  (func (export "{export}#describe") (result i32) {describe} (i32.const 1024))
  (func (export "{export}#configure") (param i32 i32) (result i32) {configure} (i32.const 600))
  (func (export "{export}#samples") (result i32) (i32.const 640))
  (func (export "{export}#[constructor]session") (param i32) (result i32)
    {open}
    (call $new (i32.const 7)))
  (func (export "{export}#{on_request_name}") (param $session i32) (param $message i32) (result i32)
    {on_request}
    (i32.const 512))
  (func (export "{export}#[method]session.on-attempt")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $drop (local.get 9)) (i32.const 512))
  (func (export "{export}#[method]session.on-response") (param i32 i32 i32) (result i32)
    (call $drop (local.get 2)) (i32.const 512))
  (func (export "{export}#[method]session.on-events") (param i32 i32 i32 i32) (result i32) (i32.const 700))
  (func (export "{export}#[method]session.on-finish")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i32 i64 i64 i64))
  {extra}
)"#,
            name = little_endian(*name_bytes),
            schema_length = little_endian(schema_bytes as u32),
        )
    }

    /// The core module alone, without the contract in it.
    pub(crate) fn bare(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// As the SDK builds plugins: a core module with the contract in a custom section.
    pub(crate) fn module(&self) -> Vec<u8> {
        self.embed(self.bare())
    }

    /// Writes the contract into a module.
    pub(crate) fn embed(&self, mut module: Vec<u8>) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wit = WIT
            .replace("@0.1.0", &format!("@{}", self.version))
            .replace("version = 0.1.0", &format!("version = {}", self.version));
        let mut package = resolve
            .push_str("policy.wit", &wit)
            .expect("the contract parses");
        if let Some(wit) = self.wit {
            let pushed = resolve.push_str("world.wit", wit);
            package = pushed.unwrap_or_else(|error| panic!("{error:#}"));
        }
        let world = resolve
            .select_world(&[package], Some(self.world))
            .expect("it has this world");
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            StringEncoding::UTF8,
            false,
        )
        .expect("it can be embedded");
        module
    }

    /// The same as a component.
    pub(crate) fn component(&self) -> Vec<u8> {
        wit_component::ComponentEncoder::default()
            .module(&self.module())
            .and_then(|encoder| encoder.encode())
            .expect("the shape fits the contract")
    }
}

fn little_endian(number: u32) -> String {
    number
        .to_le_bytes()
        .iter()
        .map(|byte| format!("\\{byte:02x}"))
        .collect()
}
