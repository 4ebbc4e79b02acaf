//! NEON: four float32 values, 32 registers. Every arm64 processor has it, and all but
//! the oldest have its products of bytes.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: see the implementations"
)]

use super::{Baseline, Simd};
use crate::gemm::int8::micro_kernel::{Accumulator, Int8MicroKernel, Packing, Panel, of_rows};
use crate::gemm::{MicroKernel, Panels, Strip, Tile, micro_kernel::by_rows};
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// The proof that the processor has products of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dotprod(());

impl Dotprod {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct F32x4(float32x4_t);

// SAFETY of every instruction below: NEON is part of the target, and where there is an
// accumulator of products of bytes, a token proved that the processor has those. What
// is read or written is a slice of as many values.

impl Simd for F32x4 {
    type Token = Baseline;
    const LANES: usize = 4;

    #[inline(always)]
    fn load(_: Baseline, values: &[f32]) -> Self {
        let values = &values[..Self::LANES];
        Self(unsafe { vld1q_f32(values.as_ptr()) })
    }

    #[inline(always)]
    fn of_i8(_: Baseline, bytes: &[u8]) -> Self {
        let [a, b, c, d, ..] = *bytes else {
            panic!("{} bytes", bytes.len())
        };
        Self(unsafe {
            let bytes = vcreate_s8(u64::from(u32::from_le_bytes([a, b, c, d])));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
        })
    }

    #[inline(always)]
    fn of_nibbles(_: Baseline, bytes: &[u8]) -> [Self; 2] {
        let [a, b, c, d, ..] = *bytes else {
            panic!("{} bytes", bytes.len())
        };
        unsafe {
            let both = vcreate_u8(u64::from(u32::from_le_bytes([a, b, c, d])));
            let both = vmovl_u16(vget_low_u16(vmovl_u8(both)));
            let low = vandq_u32(both, vdupq_n_u32(0xf));
            let high = vshrq_n_u32::<4>(both);
            [Self(vcvtq_f32_u32(low)), Self(vcvtq_f32_u32(high))]
        }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::LANES];
        unsafe { vst1q_f32(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        // Of any address: what there is not is not fetched.
        unsafe {
            asm!(
                "prfm pldl2keep, [{address}]",
                address = in(reg) address,
                options(readonly, nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn splat(_: Baseline, value: f32) -> Self {
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
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }

    #[inline(always)]
    fn max_or_self(self, other: Self) -> Self {
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
    fn exchange(self, distance: usize) -> Self {
        Self(unsafe {
            match distance {
                1 => vrev64q_f32(self.0),
                _ => vextq_f32::<2>(self.0, self.0),
            }
        })
    }

    #[inline(always)]
    fn pow2_from_biased_exponent(self) -> Self {
        Self(unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(self.0))) })
    }
}

impl MicroKernel for F32x4 {
    // 24 of 32 registers.
    const MR: usize = 6;
    const PANEL: usize = 16;
    const NR: usize = 16;
    const PADS: bool = false;

    #[inline(never)]
    fn micro_kernel(token: Baseline, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
        by_rows!(Self, 4, (token, a, b, c), [1 2 3 4 5 6]);
    }
}

/// int8 GEMM by dot products of 4 × int8: `sdot`.
impl Int8MicroKernel for Dotprod {
    const MR: usize = 12;
    const NR: usize = 2 * I32x4::LANES;
    const PACKING: Packing = Packing::I8x4;

    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        #[target_feature(enable = "neon,dotprod")]
        fn compiled(token: Dotprod, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
            of_rows!(unrolled, I32x4, token, (a, rows, b, sums), [1 2 3 4 5 6 7 8 9 10 11 12]);
        }
        // SAFETY: the token proves the products of bytes.
        unsafe { compiled(self, a, rows, b, sums) }
    }
}

#[derive(Clone, Copy)]
struct I32x4(int32x4_t);

impl Accumulator for I32x4 {
    type Token = Dotprod;
    const LANES: usize = 4;
    type Words = uint32x4_t;

    #[inline(always)]
    fn zero(_: Dotprod) -> Self {
        Self(unsafe { vdupq_n_s32(0) })
    }

    #[inline(always)]
    fn load(_: Dotprod, bytes: &[u8]) -> uint32x4_t {
        let bytes = &bytes[..Self::BYTES];
        unsafe { vreinterpretq_u32_u8(vld1q_u8(bytes.as_ptr())) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        F32x4::prefetch(address);
    }

    #[inline(always)]
    fn splat(_: Dotprod, word: u32) -> uint32x4_t {
        unsafe { vdupq_n_u32(word) }
    }

    #[inline(always)]
    fn add_products(self, a: [uint32x4_t; 2], b: [uint32x4_t; 2]) -> Self {
        let mut sums = self.0;
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                "sdot {sums:v}.4s, {c:v}.16b, {d:v}.16b",
                sums = inout(vreg) sums,
                a = in(vreg) a[0],
                b = in(vreg) b[0],
                c = in(vreg) a[1],
                d = in(vreg) b[1],
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        Self(sums)
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32]) {
        let sums = &mut sums[..Self::LANES];
        unsafe { vst1q_s32(sums.as_mut_ptr(), self.0) }
    }
}
