//! Calls and answers that no binding would make: pointers and lengths that lie.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{Scene, tollgate::policy::types::Edit};

#[link(wasm_import_module = "tollgate:policy/log@0.1.0")]
unsafe extern "C" {
    #[link_name = "write"]
    fn log_write(level: u32, message: usize, message_len: usize, fields: usize, fields_len: usize);
}
#[link(wasm_import_module = "tollgate:policy/exchange@0.1.0")]
unsafe extern "C" {
    #[link_name = "[method]message.fact"]
    fn message_fact(handle: u32, name: usize, name_len: usize, out: usize);
    #[link_name = "[resource-drop]message"]
    fn message_drop(handle: u32);
}
#[link(wasm_import_module = "tollgate:policy/limits@0.1.0")]
unsafe extern "C" {
    #[link_name = "[method]reservation.settle"]
    fn settle(handle: u32, used: u64) -> u64;
}

/// Once lists overlap, nothing may be freed any more.
static FORGED: AtomicBool = AtomicBool::new(false);

struct Reluctant;

// SAFETY: it is the system's allocator, which may leak.
unsafe impl GlobalAlloc for Reluctant {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !FORGED.load(Ordering::Relaxed) {
            // SAFETY: as the caller's.
            unsafe { System.dealloc(at, layout) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Reluctant = Reluctant;

pub fn commit(mode: &str, scene: &Scene<'_>) -> String {
    let amount = scene.plan.amount as usize;
    let text = scene.plan.text.as_bytes();
    let at = text.as_ptr() as usize;
    // SAFETY: there is none; the host has to take it as it comes.
    unsafe {
        match mode {
            "forge-out-of-bounds" => log_write(3, 0xffff_fff0, 8, 4, 0),
            "forge-wraps" => log_write(3, 0xffff_fff0, 0xffff_ffff, 4, 0),
            "forge-huge-length" => log_write(3, at, 0xffff_ffff, 4, 0),
            "forge-list-length" => log_write(3, at, text.len(), 8, 0x1fff_ffff),
            "forge-misaligned" => log_write(3, at, text.len(), 5, 1),
            "forge-not-utf8" => {
                let bytes = [0xff_u8, 0xfe];
                log_write(3, bytes.as_ptr() as usize, 2, 4, 0);
            }
            "forge-enum" => log_write(77, at, text.len(), 4, 0),
            "forge-handle" => {
                let mut out = [0_u8; 16];
                message_fact(4_000, at, text.len(), out.as_mut_ptr() as usize);
            }
            "forge-other-handle" => {
                settle(1, 1);
            }
            "forge-drop-twice" => {
                message_drop(1);
                message_drop(1);
            }
            "forge-return-area" => message_fact(1, at, text.len(), 0xffff_fffc),
            "forge-overlap" => {
                // Each field names the same megabyte twice.
                let big = vec![b'x'; 1 << 20];
                let field = [
                    big.as_ptr() as usize,
                    big.len(),
                    big.as_ptr() as usize,
                    big.len(),
                ];
                let fields = vec![field; amount];
                log_write(3, at, text.len(), fields.as_ptr() as usize, fields.len());
            }
            _ => {}
        }
    }
    String::new()
}

/// A list of edits that lies about where it is, how long it is, or what it shares.
pub fn edits(mode: &str, amount: usize) -> Vec<Edit> {
    FORGED.store(true, Ordering::Relaxed);
    // SAFETY: there is none; the host has to take it as it comes.
    unsafe {
        match mode {
            "forged-far" => {
                vec![Edit::ReplaceBody(Vec::from_raw_parts(
                    0xffff_0000_usize as *mut u8,
                    0x1_0000,
                    0x1_0000,
                ))]
            }
            "forged-long" => {
                vec![Edit::ReplaceBody(Vec::from_raw_parts(
                    1024 as *mut u8,
                    0x7fff_ffff,
                    0x7fff_ffff,
                ))]
            }
            "forged-overlap" => {
                let big = vec![b'x'; 1 << 20].leak();
                (0..amount)
                    .map(|_| {
                        Edit::ReplaceBody(Vec::from_raw_parts(
                            big.as_mut_ptr(),
                            big.len(),
                            big.len(),
                        ))
                    })
                    .collect()
            }
            "forged-text" => vec![Edit::SetPath(String::from_utf8_unchecked(vec![
                b'/', 0xff, 0xfe,
            ]))],
            _ => Vec::new(),
        }
    }
}
