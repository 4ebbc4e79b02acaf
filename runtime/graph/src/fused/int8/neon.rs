//! NEON with its products of bytes, which all but the oldest arm64 processors have.

use super::kernel::{Format, Kernel, Sums, tile_of};
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// If this processor has it.
pub(super) fn kernel() -> Option<Kernel> {
    let kernel = Kernel::new(12, I32x4::COUNT, Format::Bytes, tile);
    is_aarch64_feature_detected!("dotprod").then_some(kernel)
}

#[derive(Clone, Copy)]
struct I32x4(int32x4_t);

/// # Safety
///
/// As [`super::kernel::tile`]; the processor has the products of bytes.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile(strip: *const u32, rows: usize, panel: *const u32, words: usize, sums: *mut i32) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_of!(tile, I32x4, (strip, rows, panel, words, sums), [1 2 3 4 5 6 7 8 9 10 11 12]);
    }
}

impl Sums for I32x4 {
    const COUNT: usize = 4;
    type Words = uint32x4_t;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: arm64 has NEON.
        Self(unsafe { vdupq_n_s32(0) })
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> uint32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_u32(words) }
    }

    #[inline(always)]
    fn splat(word: u32) -> uint32x4_t {
        // SAFETY: arm64 has NEON.
        unsafe { vdupq_n_u32(word) }
    }

    #[inline(always)]
    fn add_products(self, left: uint32x4_t, right: uint32x4_t) -> Self {
        let mut sums = self.0;
        // SAFETY: there are such vectors only in the tile, whose callers know that
        // the processor has the instruction.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {left:v}.16b, {right:v}.16b",
                sums = inout(vreg) sums,
                left = in(vreg) left,
                right = in(vreg) right,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        Self(sums)
    }

    #[inline(always)]
    unsafe fn store(self, sums: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_s32(sums, self.0) }
    }
}
