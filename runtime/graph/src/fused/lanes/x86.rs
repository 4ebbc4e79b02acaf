//! AVX2 with FMA, and AVX-512.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: see the implementations"
)]

use super::rows::tile_of;
use super::{Lanes, Task};
use crate::fused::product::{Pairs, Strip};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// # Safety
///
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run_avx2<T: Task>(task: T) -> T::Output {
    task.run::<F32x8>()
}

/// # Safety
///
/// The processor has AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn run_avx512<T: Task>(task: T) -> T::Output {
    task.run::<F32x16>()
}

/// # Safety
///
/// As [`Lanes::tile`]; the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { tile_of!(F32x8, strip, pairs, depth, sums, [1 2 3 4 5 6]) }
}

/// # Safety
///
/// As [`Lanes::tile`]; the processor has AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { tile_of!(F32x16, strip, pairs, depth, sums, [1 2 3 4 5 6 7 8 9 10 11 12]) }
}

// SAFETY of every instruction below: there are such vectors only in what runs under
// `run_avx2` and `run_avx512`, whose callers know that the processor has them.

impl Lanes for F32x8 {
    const COUNT: usize = 8;
    // With the two vectors of a panel and a factor, 15 of 16 registers.
    const ROWS: usize = 6;
    const PACKED: bool = false;

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let values = &values[..Self::COUNT];
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::COUNT];
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, summand.0) })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(other.0, self.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        let mask = Self::splat(-0.0).0;
        Self(unsafe { _mm256_or_ps(self.abs().0, _mm256_and_ps(mask, sign.0)) })
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(first.0, second.0), self.0) })
    }

    #[inline(always)]
    fn exponent_of_low_bits(self) -> Self {
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0))) })
    }

    #[inline(always)]
    unsafe fn tile(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
        unsafe { tile_avx2(strip, pairs, depth, sums) }
    }
}

impl Lanes for F32x16 {
    const COUNT: usize = 16;
    // 24 of 32 registers. Zen 4: 105 GFLOP/s, and 98 for 14 rows of one vector.
    const ROWS: usize = 12;
    const PACKED: bool = false;

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let values = &values[..Self::COUNT];
        Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::COUNT];
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, summand.0) })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(other.0, self.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        // Of three bits each, the third's where the first is set, else the second's.
        const SELECT: i32 = 0xca;
        Self(unsafe {
            let mask = _mm512_set1_epi32(i32::MIN);
            let [sign, value] = [sign.0, self.0].map(|it| _mm512_castps_si512(it));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<SELECT>(mask, sign, value))
        })
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(first.0, second.0);
            _mm512_maskz_mov_ps(kept, self.0)
        })
    }

    #[inline(always)]
    fn exponent_of_low_bits(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0))) })
    }

    #[inline(always)]
    unsafe fn tile(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
        unsafe { tile_avx512(strip, pairs, depth, sums) }
    }
}
