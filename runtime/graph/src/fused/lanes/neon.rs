//! NEON, which every arm64 processor has.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: they are part of the target"
)]

use super::Lanes;
use super::rows::tile_of;
use crate::fused::product::{Pairs, Strip};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(crate) struct F32x4(float32x4_t);

impl Lanes for F32x4 {
    const COUNT: usize = 4;
    // 24 of 32 registers.
    const ROWS: usize = 12;
    const PACKED: bool = false;

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let values = &values[..Self::COUNT];
        Self(unsafe { vld1q_f32(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::COUNT];
        unsafe { vst1q_f32(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { vdivq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(unsafe { vfmaq_f32(summand.0, self.0, factor.0) })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        Self(unsafe { vbslq_f32(vcltq_f32(self.0, other.0), other.0, self.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { vabsq_f32(self.0) })
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Self(unsafe { vbslq_f32(vdupq_n_u32(1 << 31), sign.0, self.0) })
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(unsafe { vbslq_f32(vcltq_f32(first.0, second.0), vdupq_n_f32(0.0), self.0) })
    }

    #[inline(always)]
    fn exponent_of_low_bits(self) -> Self {
        Self(unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(self.0))) })
    }

    #[inline(never)]
    unsafe fn tile(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
        unsafe { tile_of!(Self, strip, pairs, depth, sums, [1 2 3 4 5 6 7 8 9 10 11 12]) }
    }
}
