//! The 128 bits of a wasm module.

use super::kernel::{Format, Kernel, Sums, tile_of};
use std::arch::wasm32::*;

/// Eight vectors of sums, as the float32 tile has them.
pub(super) const KERNEL: Kernel = Kernel::new(4, I32x4::COUNT, Format::Halves, tile);

#[derive(Clone, Copy)]
struct I32x4(v128);

/// # Safety
///
/// As [`super::kernel::tile`].
unsafe fn tile(strip: *const u32, rows: usize, panel: *const u32, words: usize, sums: *mut i32) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_of!(small_tile, I32x4, (strip, rows, panel, words, sums), [1 2 3 4]);
    }
}

impl Sums for I32x4 {
    const COUNT: usize = 4;
    type Words = v128;

    #[inline(always)]
    fn zero() -> Self {
        Self(i32x4_splat(0))
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> v128 {
        // SAFETY: the caller's promise; no alignment is needed.
        unsafe { v128_load(words.cast()) }
    }

    #[inline(always)]
    fn splat(word: u32) -> v128 {
        u32x4_splat(word)
    }

    #[inline(always)]
    #[cfg(target_os = "wasi")]
    unsafe fn splat_four(words: *const u32) -> [v128; 4] {
        // SAFETY: the caller's promise.
        crate::fused::lanes::splat_lanes(unsafe { Self::load(words) })
    }

    #[inline(always)]
    fn add_products(self, left: v128, right: v128) -> Self {
        Self(i32x4_add(self.0, i32x4_dot_i16x8(left, right)))
    }

    #[inline(always)]
    unsafe fn store(self, sums: *mut i32) {
        // SAFETY: the caller's promise; no alignment is needed.
        unsafe { v128_store(sums.cast(), self.0) }
    }
}
