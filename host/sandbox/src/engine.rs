//! How wasmtime is set up, once for all that compiles and all that runs.
//!
//! The compiling child and the gateway must agree to the letter, or an artefact is
//! refused when it is loaded; so both take their settings from here. Each setting
//! that is not a default says what it is for.

use std::{num::NonZeroUsize, time::Duration};

use tollgate_config::SandboxLimits;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

/// One tick of the epoch clock: the grain of every deadline inside a plugin.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Below what most policies ever touch, so that recycling a slot needs no system
/// call but the page scan.
const KEEP_RESIDENT: usize = 256 << 10;

/// Of one component: its main module and shims. What `componentize-py` makes has 14, one
/// for each library of the runtime. This is a count, not room.
const CORES_MAX: u32 = 32;
const TABLES_MAX: u32 = 4;
/// A plugin's own, and the one that an adapted module keeps its map in.
const MEMORIES_MAX: u32 = 2;

const WASM_STACK: usize = 256 << 10;
/// Host functions run on the same stack as the guest that called them.
const ASYNC_STACK: usize = WASM_STACK + (512 << 10);

/// Of the stack at a trap, for who reads where it was. A recursion shows in as many.
const FRAMES_MAX: Option<NonZeroUsize> = NonZeroUsize::new(24);

/// The largest memory, in bytes, and the most instances of the whole process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSize {
    pub(crate) instances: u32,
    pub(crate) memory_bytes: usize,
}

/// What artefacts depend on.
fn common() -> Config {
    let mut config = Config::new();
    config
        // Calls cost two to three times as much with it.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // Taken at a trap alone; a call costs the same with it.
        .wasm_backtrace_max_frames(FRAMES_MAX)
        .generate_address_map(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false);
    config
}

/// Runs what [`compiler`] made: pooled memories, copy-on-write images.
///
/// # Errors
/// When the machine cannot reserve the pool's address space.
pub(crate) fn runner(pool: PoolSize) -> wasmtime::Result<Engine> {
    let mut slots = PoolingAllocationConfig::new();
    // For each as many as the largest may have, or a policy of many modules would
    // leave others none of the instances that they are owed.
    let cores = pool.instances.saturating_mul(CORES_MAX);
    slots
        .total_component_instances(pool.instances)
        .total_core_instances(cores)
        .total_memories(pool.instances.saturating_mul(MEMORIES_MAX))
        .total_tables(pool.instances.saturating_mul(TABLES_MAX))
        .total_stacks(pool.instances)
        .max_core_instances_per_component(CORES_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_memory_size(pool.memory_bytes)
        .table_elements(SandboxLimits::TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(32 << 10)
        .max_unused_warm_slots(256)
        .decommit_batch_size(1);
    // The scan can miss pages that were swapped out (wasmtime issue 14357).
    slots.pagemap_scan(if has_swap() {
        Enabled::No
    } else {
        Enabled::Auto
    });
    let mut config = common();
    // For adapted modules; what a plugin brings was read by `configurer` before.
    config.wasm_multi_memory(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(slots));
    Engine::new(&config)
}

/// Makes artefacts for [`runner`]; never runs them. `mapped`: they tell which instruction of
/// the module a trap was in, which takes room in the artefact and no time.
pub(crate) fn compiler(mapped: bool) -> wasmtime::Result<Engine> {
    let mut config = common();
    config
        .generate_address_map(mapped)
        .wasm_multi_memory(true)
        .cranelift_opt_level(OptLevel::Speed);
    Engine::new(&config)
}

/// Runs `configure` once, in the compiling child, with memories that count
/// against its limit only as far as they are used. `mapped` as for [`compiler`].
pub(crate) fn configurer(mapped: bool) -> wasmtime::Result<Engine> {
    let mut config = common();
    config
        .generate_address_map(mapped)
        .cranelift_opt_level(OptLevel::None)
        .memory_reservation(0)
        .memory_guard_size(0)
        .memory_reservation_for_growth(1 << 20)
        .guard_before_linear_memory(false)
        .memory_init_cow(false);
    Engine::new(&config)
}

fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// Ticks the epoch of `engine` until the engine is gone.
pub(crate) fn start_clock(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("tollgate-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
    Ok(())
}
