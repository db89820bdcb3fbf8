//! Whatever an instance writes, it is put back, byte for byte.

use std::{fmt::Write, sync::Arc};

use proptest::prelude::*;
use tollgate_capabilities::{Capabilities, EmbeddedOptions, Namespace};
use tollgate_config::{Grants, SandboxLimits};
use wasmtime::{Engine, InstancePre, Linker, Module, Store};

use super::{PAGE, Survey, Unfit, code_range, rewrite};
use crate::{
    contract::{Ending, Head, Outcome},
    direct::{self, Guest, MAP_BLOCK, MAP_START, Pristine},
    engine::{self, PoolSize},
    host::{Bounds, Shared, State},
    instance::new_store,
    policy::Counters,
};

const MEMORY: usize = 2 * PAGE;

/// A module with the contract's functions, of which `on_finish` has this body.
fn module(on_finish: &str, extra: &str) -> Vec<u8> {
    module_of(2, on_finish, extra)
}

/// The same with so many pages of memory.
fn module_of(pages: usize, on_finish: &str, extra: &str) -> Vec<u8> {
    let policy = "tollgate:policy/policy@0.1.0";
    let text = format!(
        r#"(module
  (import "tollgate:policy/clock@0.1.0" "now-ms" (func $now (result i64)))
  (memory (export "memory") {pages})
  (global $number (mut i32) (i32.const 11))
  (global $wide (mut v128) (v128.const i64x2 1 2))
  (global $fixed i32 (i32.const 5))
  (global $real (mut f64) (f64.const 0.5))
  (data (i32.const 100) "what was there before")
  (data (i32.const 65530) "across the pages of memory")
  {extra}
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "{policy}#describe") (result i32) (i32.const 0))
  (func (export "{policy}#[constructor]session") (param i32) (result i32) (i32.const 1))
  (func (export "{policy}#[method]session.on-request") (param i32 i32) (result i32) (i32.const 0))
  (func (export "{policy}#[method]session.on-attempt")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "{policy}#[method]session.on-response") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "{policy}#[method]session.on-events") (param i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "{policy}#[method]session.on-finish")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i32 i64 i64 i64) (local $n i32)
    {on_finish})
)"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn adapted(module: &[u8]) -> Result<Vec<u8>, Unfit> {
    adapted_with(module, 1)
}

fn adapted_with(module: &[u8], map_pages: u64) -> Result<Vec<u8>, Unfit> {
    let survey = Survey::of(module)?;
    let written = rewrite::rewrite(module, &survey, (map_pages, &[], false));
    written.map(|written| written.module)
}

/// Every instruction's name, by where it is in its function.
fn instructions(module: &[u8]) -> Vec<Vec<(u64, String)>> {
    let mut functions = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let Ok(wasmparser::Payload::CodeSectionEntry(body)) = payload else {
            continue;
        };
        let mut reader = body.get_operators_reader().unwrap();
        let mut found = Vec::new();
        while !reader.eof() {
            let at = reader.original_position() - body.range().start;
            let operator = format!("{:?}", reader.read().unwrap());
            let name = operator.split([' ', '{']).next().unwrap().to_owned();
            found.push((at, name));
        }
        functions.push(found);
    }
    functions
}

#[test]
fn of_each_instruction_it_is_known_where_it_came_from() {
    let body = "(i32.store (i32.const 8) (i32.const 1)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
        (loop $again (br_if $again (i32.div_u (local.get $n) (i32.const 3))))
        (v128.store (i32.const 64) (v128.const i64x2 1 2)) (call $f) (f64.store (i32.const 8) (f64.const 1))";
    let module = module(body, "(func $f (local i32 i64 f32) (unreachable))");
    let survey = Survey::of(&module).unwrap();
    let names = [(0, "import"), (1, "cabi_realloc"), (999, "none")];
    let written = rewrite::rewrite(&module, &survey, (1, &names, true)).unwrap();
    let moved = written.moved.unwrap().functions;
    let (before, now) = (instructions(&module), instructions(&written.module));
    assert_eq!(moved.len(), before.len());
    let code = code_range(&module).unwrap().unwrap();
    let mut begin = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&module) {
        if let Ok(wasmparser::Payload::CodeSectionEntry(body)) = payload {
            begin.push(body.range().start - code.start);
        }
    }
    assert_eq!(begin.len(), before.len());
    for (nth, before) in before.iter().enumerate() {
        assert_eq!(moved[nth].len(), before.len());
        for ((is, was), (at, name)) in moved[nth].iter().zip(before) {
            assert_eq!(u64::from(*was), begin[nth] + at);
            let found = now[nth].iter().find(|(at, _)| at == &u64::from(*is));
            let becomes = match name.as_str() {
                "I32Store" | "V128Store" | "F64Store" => "LocalSet",
                "MemoryFill" => "Call",
                same => same,
            };
            let found = found.map(|(_, name)| name.as_str());
            assert_eq!(found, Some(becomes), "{name}");
        }
    }
    let named = super::names::of(&written.module);
    let own = direct::Link::ALL.len() as u32;
    assert!(named.contains(&(own, "cabi_realloc")), "{named:?}");
    assert!(
        named
            .iter()
            .any(|(_, name)| *name == "host call clock.now-ms")
    );
    assert!(
        !named
            .iter()
            .any(|(_, name)| *name == "none" || *name == "import")
    );
}

struct Stage {
    engine: Engine,
    linker: Linker<State>,
    shared: Arc<Shared>,
}

impl Stage {
    fn new() -> Self {
        Self::of(1 << 20)
    }

    /// With as much memory for an instance.
    fn of(memory_bytes: usize) -> Self {
        let pool = PoolSize {
            instances: 8,
            memory_bytes,
        };
        let engine = engine::runner(pool).unwrap();
        let mut linker = Linker::new(&engine);
        direct::add_to_linker(&mut linker).unwrap();
        let limits = SandboxLimits::default();
        let shared = Arc::new(Shared {
            policy: "p".into(),
            namespace: Namespace::of_plugin("p"),
            capabilities: Capabilities::embedded(EmbeddedOptions::default()),
            grants: Grants::default(),
            bounds: Bounds {
                hook_ticks: 1000,
                hook_time: limits.hook_time,
                exchange_time: limits.exchange_time,
                tick_time: limits.tick_time,
                memory_bytes,
                table_elements: limits.table_elements,
                host_calls: limits.host_calls,
                edits: limits.edits,
                log_lines: limits.log_lines,
            },
            counters: Counters::default(),
        });
        Self {
            engine,
            linker,
            shared,
        }
    }

    fn pre(&self, on_finish: &str) -> InstancePre<State> {
        self.pre_with(on_finish, "")
    }

    fn pre_with(&self, on_finish: &str, extra: &str) -> InstancePre<State> {
        self.pre_of(&adapted(&module(on_finish, extra)).unwrap())
    }

    fn pre_of(&self, module: &[u8]) -> InstancePre<State> {
        let compiler = engine::compiler(false).unwrap();
        let code = compiler.precompile_module(module).unwrap();
        #[expect(unsafe_code, reason = "it was compiled right here")]
        let module = unsafe { Module::deserialize(&self.engine, code) }.unwrap();
        self.linker.instantiate_pre(&module).unwrap()
    }

    async fn instance(&self, pre: &InstancePre<State>) -> (Guest, Store<State>) {
        let mut store = new_store(&self.engine, self.shared.clone());
        let guest = Guest::make(pre, PAGE, &mut store).await.unwrap();
        (guest, store)
    }
}

fn outcome() -> Outcome {
    Outcome {
        ending: Ending::Complete,
        status: 200,
        upstream: Some("an upstream, whose name the host writes into the memory".into()),
        attempts: 1,
        first_byte_us: None,
        total_us: 1,
        usage: None,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Memory and globals after `on_finish` and after the instance was put back.
async fn written_and_restored(on_finish: &str) -> (bool, bool) {
    let stage = Stage::new();
    let pre = stage.pre(on_finish);
    let (guest, store) = stage.instance(&pre).await;
    let pristine = Pristine::of(&guest, store, None).unwrap();
    let (mut guest, mut store) = stage.instance(&pre).await;
    let before = state(&guest, &mut store);
    guest.on_finish(&mut store, &outcome()).await.unwrap();
    let written = state(&guest, &mut store) != before;
    assert!(pristine.restore(&mut guest, &mut store));
    (written, state(&guest, &mut store) == before)
}

fn state(guest: &Guest, store: &mut Store<State>) -> (Vec<u8>, String) {
    let memory = guest.memory_bytes(store);
    let globals = guest.globals.iter();
    let globals: Vec<_> = globals.map(|global| global.get(&mut *store)).collect();
    (memory, format!("{globals:?}"))
}

/// Each instruction that writes: its address comes first, then what it takes.
const WRITES: [(&str, &str, usize); 19] = [
    ("i32.store", "(i32.const -1)", 4),
    ("i32.store8", "(i32.const -1)", 1),
    ("i32.store16", "(i32.const -1)", 2),
    ("i64.store", "(i64.const -1)", 8),
    ("i64.store8", "(i64.const -1)", 1),
    ("i64.store16", "(i64.const -1)", 2),
    ("i64.store32", "(i64.const -1)", 4),
    ("f32.store", "(f32.const 1.5)", 4),
    ("f64.store", "(f64.const 1.5)", 8),
    ("v128.store", "(v128.const i64x2 -1 -1)", 16),
    ("v128.store8_lane", "1 (v128.const i64x2 -1 -1)", 1),
    ("v128.store16_lane", "1 (v128.const i64x2 -1 -1)", 2),
    ("v128.store32_lane", "1 (v128.const i64x2 -1 -1)", 4),
    ("v128.store64_lane", "1 (v128.const i64x2 -1 -1)", 8),
    ("memory.fill", "(i32.const 7) (i32.const 1300)", 1300),
    ("memory.copy", "(i32.const 65500) (i32.const 700)", 700),
    ("memory.copy", "(i32.const 65530) (i32.const 3)", 3),
    ("memory.copy", "(i32.const 65530) (i32.const 7)", 7),
    ("memory.copy", "(i32.const 65530) (i32.const 13)", 13),
];

fn write(nth: usize, address: usize, offset: usize) -> String {
    let (instruction, operands, _) = WRITES[nth];
    if instruction.starts_with("memory.") {
        let address = address + offset;
        return format!("({instruction} (i32.const {address}) {operands})");
    }
    // The lane comes after the offset.
    let (lane, operand) = match operands.split_once(" (") {
        Some((lane, operand)) if instruction.ends_with("lane") => (lane, format!("({operand}")),
        _ => ("", operands.to_owned()),
    };
    format!("({instruction} offset={offset} {lane} (i32.const {address}) {operand})")
}

#[test]
fn every_instruction_that_writes_is_put_back_wherever_a_block_ends() {
    for (nth, (instruction, _, width)) in WRITES.iter().enumerate() {
        let end = 3 * MAP_BLOCK;
        for address in [end - width, end - 1, end, MEMORY - width, 0] {
            let (written, restored) = block_on(written_and_restored(&write(nth, address, 0)));
            assert!(
                written && restored,
                "{instruction} at {address}: {written} {restored}"
            );
        }
    }
}

#[test]
fn what_is_copied_is_the_same_however_short_it_is_and_wherever_it_overlaps() {
    const AT: usize = 4096;
    const ROOM: usize = 64;
    let cases: Vec<_> = (0..=20_usize)
        .flat_map(|length| [0, 1, 3, 7, 20, 30].map(|to| (length, to, 10)))
        .collect();
    let bytes: Vec<u8> = (0..cases.len() * ROOM)
        .map(|nth| (nth * 7 % 251) as u8)
        .collect();
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let (mut body, mut expected) = (String::new(), bytes);
    for (nth, (length, to, from)) in cases.into_iter().enumerate() {
        let (to, from) = (nth * ROOM + to, nth * ROOM + from);
        writeln!(
            body,
            "(memory.copy (i32.const {}) (i32.const {}) (i32.const {length}))",
            AT + to,
            AT + from
        )
        .unwrap();
        expected.copy_within(from..from + length, to);
    }
    block_on(async {
        let stage = Stage::new();
        let pre = stage.pre_with(&body, &format!("(data (i32.const {AT}) \"{escaped}\")"));
        let (guest, mut store) = stage.instance(&pre).await;
        guest.on_finish(&mut store, &outcome()).await.unwrap();
        let after = guest.memory_bytes(&mut store);
        assert_eq!(after[AT..AT + expected.len()], expected);
    });
}

#[test]
fn what_is_copied_from_or_to_beyond_the_memory_traps_however_short_it_is() {
    block_on(async {
        let stage = Stage::new();
        for length in [0, 1, 4, 6, 8, 12, 16, 17] {
            let beyond = MEMORY + 1 - length;
            for (to, from) in [(beyond, 64), (64, beyond), (usize::MAX & 0xffff_fff8, 64)] {
                let copy = format!(
                    "(memory.copy (i32.const {to}) (i32.const {from}) (i32.const {length}))"
                );
                let (guest, mut store) = stage.instance(&stage.pre(&copy)).await;
                let done = guest.on_finish(&mut store, &outcome()).await;
                assert!(done.is_err(), "{copy}");
            }
        }
    });
}

/// Where an address that wraps is one of the memory again.
#[test]
fn what_is_copied_from_or_to_beyond_four_gibibytes_traps_too() {
    const ALL: usize = 1 << 32;
    const MAP_PAGES: usize = (MAP_START + ALL / MAP_BLOCK + 1).div_ceil(PAGE);
    block_on(async {
        let stage = Stage::of(ALL);
        // The first are the last bytes of the memory, and can be copied.
        for (length, back) in [(16, 16), (4, 4), (16, 8), (12, 11), (8, 4), (6, 1)] {
            let beyond = ALL - back;
            for (to, from) in [(beyond, 64), (64, beyond)] {
                let copy = format!(
                    "(memory.copy (i32.const {to}) (i32.const {from}) (i32.const {length}))"
                );
                let module = module_of(ALL / PAGE, &copy, "");
                let adapted = adapted_with(&module, MAP_PAGES as u64).unwrap();
                let mut store = new_store(&stage.engine, stage.shared.clone());
                let pre = stage.pre_of(&adapted);
                let made = Guest::make(&pre, MAP_PAGES * PAGE, &mut store).await;
                let done = made.unwrap().on_finish(&mut store, &outcome()).await;
                assert_eq!(done.is_err(), length > back, "{copy}");
            }
        }
    });
}

#[test]
fn globals_are_put_back_too() {
    let body = "(global.set $number (i32.const 1))
        (global.set $wide (v128.const i64x2 3 4))
        (global.set $real (f64.const 2))";
    assert_eq!(block_on(written_and_restored(body)), (true, true));
}

#[test]
fn a_session_that_opened_without_a_host_call_is_not_taken_to_open_later() {
    block_on(async {
        let stage = Stage::new();
        let pre = stage.pre("");
        let (mut guest, mut store) = stage.instance(&pre).await;
        let head = Head {
            route: "a".into(),
            method: "POST".into(),
            path: "/".into(),
            model: None,
            caller: None,
            tier: None,
            streaming: false,
            body_bytes: None,
            deadline_ms: 1,
        };
        let decided = guest.open_and_request(&mut store, &head).await;
        assert!(decided.is_err(), "it keeps the message");
        assert!(guest.is_open());
        assert!(!store.data_mut().direct().unwrap().opens);
    });
}

#[test]
fn an_instance_that_wrote_too_much_or_grew_is_not_put_back() {
    block_on(async {
        let stage = Stage::new();
        let grows = stage.pre("(drop (memory.grow (i32.const 1)))");
        let (guest, store) = stage.instance(&grows).await;
        let pristine = Pristine::of(&guest, store, None).unwrap();
        let (mut guest, mut store) = stage.instance(&grows).await;
        guest.on_finish(&mut store, &outcome()).await.unwrap();
        assert!(!pristine.restore(&mut guest, &mut store));
    });
}

#[test]
fn what_cannot_be_put_back_stays_a_component() {
    let table = "(table $t 4 4 funcref) (elem declare func $f) (func $f)";
    for (body, extra) in [
        ("(table.set $t (i32.const 0) (ref.func $f))", table),
        (
            "(drop (table.grow $t (ref.null func) (i32.const 1)))",
            table,
        ),
        (
            "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))",
            "(data $d \"x\")",
        ),
        ("(data.drop $d)", "(data $d \"x\")"),
        ("", "(func $f) (start $f)"),
        (
            "",
            "(import \"tollgate:host\" \"call\" (func (param i32) (result i64)))",
        ),
        ("", "(import \"env\" \"other\" (global i32))"),
    ] {
        // Imports come first.
        let (before, extra) = match extra.starts_with("(import") {
            true => (extra, ""),
            false => ("", extra),
        };
        let module = if before.is_empty() {
            module(body, extra)
        } else {
            let text = format!("(module {before} (memory 1))");
            wat::parse_str(text).unwrap()
        };
        assert!(adapted(&module).is_err(), "{body} {before}{extra}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_written_is_put_back(
        writes in prop::collection::vec((0..WRITES.len(), 0..MEMORY - 3000, 0..1500_usize), 1..40)
    ) {
        let mut body = String::new();
        for (nth, address, offset) in writes {
            writeln!(body, "{}", write(nth, address, offset)).unwrap();
        }
        // In a loop and behind a branch, as compilers write them.
        let body = format!(
            "(loop $again {body} (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $n) (i32.const 2))))"
        );
        let (_, restored) = block_on(written_and_restored(&body));
        prop_assert!(restored);
    }
}
