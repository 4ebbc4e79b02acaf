//! AVX2, and AVX-512 with VNNI.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: see the implementations"
)]

use super::kernel::{Format, Kernel, Sums, tile_of};
use crate::fused::lanes::Isa;
use std::arch::x86_64::*;

/// Those of this processor that an instruction set has, the fastest last.
pub(super) fn kernels(isa: Isa) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    if isa >= Isa::Avx2 && is_x86_feature_detected!("avx2") {
        // With the two vectors of a panel, a factor and a product, 16 of 16 registers.
        kernels.push(Kernel::new(6, I32x8::COUNT, Format::Halves, tile_avx2));
    }
    let has_vnni = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    if isa >= Isa::Avx512 && has_vnni {
        let format = Format::ShiftedBytes;
        kernels.push(Kernel::new(12, I32x16::COUNT, format, tile_vnni));
    }
    kernels
}

#[derive(Clone, Copy)]
struct I32x8(__m256i);

#[derive(Clone, Copy)]
struct I32x16(__m512i);

/// # Safety
///
/// As [`super::kernel::tile`]; the processor has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn tile_avx2(
    strip: *const u32,
    rows: usize,
    panel: *const u32,
    words: usize,
    sums: *mut i32,
) {
    unsafe {
        tile_of!(tile, I32x8, (strip, rows, panel, words, sums), [1 2 3 4 5 6]);
    }
}

/// # Safety
///
/// As [`super::kernel::tile`]; the processor has AVX-512 with VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile_vnni(
    strip: *const u32,
    rows: usize,
    panel: *const u32,
    words: usize,
    sums: *mut i32,
) {
    unsafe {
        tile_of!(tile, I32x16, (strip, rows, panel, words, sums), [1 2 3 4 5 6 7 8 9 10 11 12]);
    }
}

// SAFETY of every instruction below: there are such vectors only in the tiles above,
// whose callers know that the processor has them.

impl Sums for I32x8 {
    const COUNT: usize = 8;
    type Words = __m256i;

    #[inline(always)]
    fn zero() -> Self {
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(words.cast()) }
    }

    #[inline(always)]
    fn splat(word: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add_products(self, left: __m256i, right: __m256i) -> Self {
        Self(unsafe { _mm256_add_epi32(self.0, _mm256_madd_epi16(left, right)) })
    }

    #[inline(always)]
    unsafe fn store(self, sums: *mut i32) {
        unsafe { _mm256_storeu_si256(sums.cast(), self.0) }
    }
}

impl Sums for I32x16 {
    const COUNT: usize = 16;
    type Words = __m512i;

    #[inline(always)]
    fn zero() -> Self {
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> __m512i {
        unsafe { _mm512_loadu_si512(words.cast()) }
    }

    #[inline(always)]
    fn splat(word: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add_products(self, left: __m512i, right: __m512i) -> Self {
        Self(unsafe { _mm512_dpbusd_epi32(self.0, left, right) })
    }

    #[inline(always)]
    unsafe fn store(self, sums: *mut i32) {
        unsafe { _mm512_storeu_si512(sums.cast(), self.0) }
    }
}
