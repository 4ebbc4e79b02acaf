//! The GEMM micro-kernel in relaxed SIMD, which not every engine has.

use encoderfile::graph::{TileKernel, use_tile_kernel};
use wasm_bindgen::prelude::*;

/// The instance's table of functions.
#[wasm_bindgen]
pub fn functions() -> JsValue {
    wasm_bindgen::function_table()
}

/// Has GEMM computed by the function at a place in the instance's table: the
/// one of `npm/src/tile.wat`, of this instance's memory.
#[wasm_bindgen]
pub fn use_tile(place: usize) {
    // SAFETY: in WebAssembly a function's address is its place in the table, and
    // the call checks its type.
    let kernel = unsafe { std::mem::transmute::<usize, TileKernel>(place) };
    // SAFETY: that one reads `depth` groups of both, and writes 32 values.
    unsafe { use_tile_kernel(kernel) };
}
