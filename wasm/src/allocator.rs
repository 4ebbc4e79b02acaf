//! Running out of memory, and panics, as JavaScript exceptions.
//!
//! Without this they would be `unreachable` traps that say nothing. An exception
//! leaves Rust without dropping anything, and `npm/src/instance.ts` puts the
//! stack back to where it was.

use crate::failure::thrown;
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic;
use wasm_bindgen::prelude::*;

#[global_allocator]
static ALLOCATOR: Reporting = Reporting;

struct Reporting;

/// Makes panics exceptions; called once, when the instance starts.
#[wasm_bindgen(start)]
fn start() {
    panic::set_hook(Box::new(|panic| {
        wasm_bindgen::throw_val(thrown("internal", &panic.to_string()));
    }));
}

fn reported(pointer: *mut u8, layout: Layout) -> *mut u8 {
    if pointer.is_null() {
        // What was asked for was more than there is; this is not.
        let message = format!("out of memory: no {} bytes more", layout.size());
        wasm_bindgen::throw_val(thrown("out_of_memory", &message));
    }
    pointer
}

// SAFETY: everything is the system allocator's; what it cannot give does not
// come back to the caller at all.
unsafe impl GlobalAlloc for Reporting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises.
        reported(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises.
        reported(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        reported(unsafe { System.realloc(pointer, layout, size) }, layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}
