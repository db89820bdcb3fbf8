//! Writes `host/sandbox/tests/hostile_plugins/random.bin`: valid modules and components,
//! random but the same in every run. Each begins with its length, in four bytes.
//!
//! Run it after the contract has changed, or with more seeds for more of them:
//! `cargo run --manifest-path tests/random/Cargo.toml`.

use std::{error::Error, fs, path::Path};

use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Component, Config, Module};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

const MODULES: u64 = 120;
/// Modules that import and export what a policy does, and do anything in between.
const DRESSED: u64 = 80;
const COMPONENTS: u64 = 80;

/// A module that runs ends after as many steps.
const FUEL: u32 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shape = shape(&repository.join("sdk/wit/policy.wit"))?;
    let mut out = Vec::new();
    let (mut made, mut seed) = ([0, 0, 0], 0);
    while made != [MODULES, DRESSED, COMPONENTS] {
        seed += 1;
        let kind =
            usize::from(made[0] == MODULES) + usize::from(made[0] == MODULES && made[1] == DRESSED);
        let bytes = noise(seed);
        let mut noise = Unstructured::new(&bytes);
        let made_one = match kind {
            0 => module(&mut noise),
            1 => dressed(&mut noise, &shape),
            _ => component(&mut noise),
        };
        // Some noise makes nothing, and some makes what is too large to keep.
        let Ok(wasm) = made_one else { continue };
        if (64..4096).contains(&wasm.len()) {
            out.extend(u32::try_from(wasm.len())?.to_le_bytes());
            out.extend(wasm);
            made[kind] += 1;
        }
    }
    fs::write(
        repository.join("host/sandbox/tests/hostile_plugins/random.bin"),
        out,
    )?;
    Ok(())
}

/// Nothing but the imports and exports of a policy.
fn shape(contract: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(contract)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    Ok(wit_component::dummy_module(&resolve, world, mangling))
}

fn small(noise: &mut Unstructured<'_>) -> arbitrary::Result<Config> {
    Ok(Config {
        max_funcs: 8,
        max_types: 12,
        max_imports: 6,
        max_data_segments: 4,
        max_element_segments: 4,
        ..Config::arbitrary(noise)?
    })
}

fn module(noise: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let config = small(noise)?;
    Ok(Module::new(config, noise)?.to_bytes())
}

fn dressed(noise: &mut Unstructured<'_>, shape: &[u8]) -> arbitrary::Result<Vec<u8>> {
    let config = Config {
        module_shape: Some(shape.to_vec()),
        max_memories: 1,
        memory64_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        relaxed_simd_enabled: false,
        wide_arithmetic_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        max_instructions: 40,
        ..small(noise)?
    };
    let mut module = Module::new(config, noise)?;
    module
        .ensure_termination(FUEL)
        .map_err(|_| arbitrary::Error::IncorrectFormat)?;
    Ok(module.to_bytes())
}

fn component(noise: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let config = small(noise)?;
    Ok(Component::new(config, noise)?.to_bytes())
}

/// SplitMix64, by the kilobyte.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed << 32;
    (0..1024)
        .flat_map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_le_bytes()
        })
        .collect()
}
