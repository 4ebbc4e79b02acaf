//! simd128: the four float32 values of a wasm module.

use super::{Baseline, Simd};
use crate::gemm::int8::micro_kernel::{Accumulator, Int8MicroKernel, Packing, Panel, of_rows};
use crate::gemm::{MicroKernel, Panels, Strip, Tile, micro_kernel::portable};
use std::arch::wasm32::*;

#[derive(Clone, Copy)]
pub(crate) struct F32x4(v128);

/// Each of four values as a vector of its own.
///
/// wasmtime makes three instructions of a splat from memory, and one of this;
/// browsers make one of either, and no load for the first.
#[cfg(target_os = "wasi")]
#[inline(always)]
fn splat_lanes(values: v128) -> [v128; 4] {
    [
        i32x4_shuffle::<0, 0, 0, 0>(values, values),
        i32x4_shuffle::<1, 1, 1, 1>(values, values),
        i32x4_shuffle::<2, 2, 2, 2>(values, values),
        i32x4_shuffle::<3, 3, 3, 3>(values, values),
    ]
}

impl F32x4 {
    /// Each of four values as a vector of its own.
    #[inline(always)]
    pub(crate) fn splat_four(token: Baseline, values: &[f32; 4]) -> [Self; 4] {
        #[cfg(target_os = "wasi")]
        return splat_lanes(Self::load(token, values).0).map(Self);
        #[cfg(not(target_os = "wasi"))]
        return values.map(|value| Self::splat(token, value));
    }

    /// Rows to columns.
    #[inline(always)]
    pub(crate) fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let ab_low = i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
        let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
        let cd_low = i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0);
        let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0);
        [
            Self(i64x2_shuffle::<0, 2>(ab_low, cd_low)),
            Self(i64x2_shuffle::<1, 3>(ab_low, cd_low)),
            Self(i64x2_shuffle::<0, 2>(ab_high, cd_high)),
            Self(i64x2_shuffle::<1, 3>(ab_high, cd_high)),
        ]
    }
}

impl Simd for F32x4 {
    type Token = Baseline;
    const LANES: usize = 4;

    #[inline(always)]
    fn load(_: Baseline, values: &[f32]) -> Self {
        let values = &values[..4];
        // SAFETY: these are the 16 bytes that are read; no alignment is needed.
        Self(unsafe { v128_load(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn of_i8(_: Baseline, bytes: &[u8]) -> Self {
        let bytes = &bytes[..Self::LANES];
        // SAFETY: these are the four bytes that are read; no alignment is needed.
        let bytes = unsafe { v128_load32_zero(bytes.as_ptr().cast()) };
        let words = i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes));
        Self(f32x4_convert_i32x4(words))
    }

    #[inline(always)]
    fn of_nibbles(_: Baseline, bytes: &[u8]) -> [Self; 2] {
        let bytes = &bytes[..Self::LANES];
        // SAFETY: these are the four bytes that are read; no alignment is needed.
        let bytes = unsafe { v128_load32_zero(bytes.as_ptr().cast()) };
        let both = u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes));
        let low = v128_and(both, u32x4_splat(0xf));
        let high = u32x4_shr(both, 4);
        [low, high].map(|it| Self(f32x4_convert_i32x4(it)))
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..4];
        // SAFETY: these are the 16 bytes that are written; no alignment is needed.
        unsafe { v128_store(values.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn splat(_: Baseline, value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn max_or_self(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(f32x4_abs(self.0))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        let mask = f32x4_splat(-0.0);
        Self(v128_bitselect(sign.0, self.0, mask))
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(v128_andnot(self.0, f32x4_lt(first.0, second.0)))
    }

    #[inline(always)]
    fn exchange(self, distance: usize) -> Self {
        Self(match distance {
            1 => i32x4_shuffle::<1, 0, 3, 2>(self.0, self.0),
            _ => i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0),
        })
    }

    #[inline(always)]
    fn pow2_from_biased_exponent(self) -> Self {
        Self(i32x4_shl(self.0, 23))
    }
}

impl MicroKernel for F32x4 {
    // Eight vectors of sums: V8 keeps those, the factors and a product in the 15
    // registers it has on x86-64. Chromium 148, Zen 4: 46 GFLOP/s for 4 rows, 25
    // for 5, 26 for 8.
    const MR: usize = 4;
    const PANEL: usize = 8;
    const NR: usize = 8;
    const PADS: bool = true;
    const READS_HALVES: bool = true;

    #[inline(always)]
    fn micro_kernel(token: Baseline, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
        portable::micro_kernel(token, a, b, c);
    }
}

/// int8 GEMM by dot products of 2 × int16, to which B's int8 are extended: `i32x4.dot_i16x8_s`. Eight
/// vectors of sums, as the float32 micro-kernel has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simd128Int8;

impl Int8MicroKernel for Simd128Int8 {
    const MR: usize = 4;
    const NR: usize = 2 * I32x4::LANES;
    const PACKING: Packing = Packing::I16x2;

    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        of_rows!(rolled, I32x4, Baseline, (a, rows, b, sums), [1 2 3 4]);
    }
}

#[derive(Clone, Copy)]
struct I32x4(v128);

impl Accumulator for I32x4 {
    type Token = Baseline;
    const LANES: usize = 4;
    const BYTES: usize = 8;
    type Words = v128;

    #[inline(always)]
    fn zero(_: Baseline) -> Self {
        Self(i32x4_splat(0))
    }

    #[inline(always)]
    fn load(_: Baseline, bytes: &[u8]) -> v128 {
        let bytes = &bytes[..Self::BYTES];
        // SAFETY: these are the 8 bytes that are read; no alignment is needed.
        unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat(_: Baseline, word: u32) -> v128 {
        u32x4_splat(word)
    }

    #[inline(always)]
    #[cfg(target_os = "wasi")]
    fn splat_four(_: Baseline, words: &[u32; 4]) -> [v128; 4] {
        // SAFETY: these are the 16 bytes that are read; no alignment is needed.
        splat_lanes(unsafe { v128_load(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn add_products(self, a: [v128; 2], b: [v128; 2]) -> Self {
        let sums = i32x4_add(self.0, i32x4_dot_i16x8(a[0], b[0]));
        Self(i32x4_add(sums, i32x4_dot_i16x8(a[1], b[1])))
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32]) {
        let sums = &mut sums[..4];
        // SAFETY: these are the 16 bytes that are written; no alignment is needed.
        unsafe { v128_store(sums.as_mut_ptr().cast(), self.0) }
    }
}
