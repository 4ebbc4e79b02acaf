//! Four scalars: what the instructions of every other set compute, but for fused
//! multiplications and additions, which here round twice.

use super::{Baseline, Simd};
use crate::gemm::int8::micro_kernel::{Accumulator, Int8MicroKernel, Packing, Panel, of_rows};
use crate::gemm::{MicroKernel, Panels, Strip, Tile, micro_kernel::portable};

#[derive(Clone, Copy)]
pub(crate) struct F32x4([f32; 4]);

impl F32x4 {
    /// Each of four values as a vector of its own.
    #[inline(always)]
    pub(crate) fn splat_four(token: Baseline, values: &[f32; 4]) -> [Self; 4] {
        values.map(|value| Self::splat(token, value))
    }

    /// Rows to columns.
    #[inline(always)]
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn transpose(rows: [Self; 4]) -> [Self; 4] {
        std::array::from_fn(|column| Self(rows.map(|row| row.0[column])))
    }

    /// Rows to columns: by SSE, which every x86-64 processor has, since of the above the
    /// compiler makes a load and a store for each value.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn transpose(rows: [Self; 4]) -> [Self; 4] {
        use std::arch::x86_64::{
            _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps,
            _mm_unpacklo_ps,
        };
        let mut columns = rows;
        // SAFETY: the processor has SSE, as every one of the target has; what is read and
        // written are four values, at any address.
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row: usize| _mm_loadu_ps(rows[row].0.as_ptr()));
            let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            let transposed = [
                _mm_movelh_ps(ab_low, cd_low),
                _mm_movehl_ps(cd_low, ab_low),
                _mm_movelh_ps(ab_high, cd_high),
                _mm_movehl_ps(cd_high, ab_high),
            ];
            for (column, values) in columns.iter_mut().zip(transposed) {
                _mm_storeu_ps(column.0.as_mut_ptr(), values);
            }
        }
        columns
    }

    #[inline(always)]
    fn with(self, other: Self, compute: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| {
            compute(self.0[lane], other.0[lane])
        }))
    }
}

impl Simd for F32x4 {
    type Token = Baseline;
    const LANES: usize = 4;

    #[inline(always)]
    fn load(_: Baseline, values: &[f32]) -> Self {
        let [a, b, c, d, ..] = *values else {
            unreachable!("four values")
        };
        Self([a, b, c, d])
    }

    #[inline(always)]
    fn splat(_: Baseline, value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    fn of_i8(_: Baseline, bytes: &[u8]) -> Self {
        let bytes = &bytes[..Self::LANES];
        Self(std::array::from_fn(|lane| {
            f32::from(bytes[lane].cast_signed())
        }))
    }

    #[inline(always)]
    fn of_nibbles(_: Baseline, bytes: &[u8]) -> [Self; 2] {
        let bytes = &bytes[..Self::LANES];
        let low = std::array::from_fn(|lane| f32::from(bytes[lane] & 0xf));
        let high = std::array::from_fn(|lane| f32::from(bytes[lane] >> 4));
        [Self(low), Self(high)]
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..4].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn max_or_self(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { b } else { a })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.with(sign, f32::copysign)
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        let less = first.with(second, |a, b| f32::from(a < b));
        self.with(less, |value, less| if less == 1.0 { 0.0 } else { value })
    }

    #[inline(always)]
    fn exchange(self, distance: usize) -> Self {
        let [a, b, c, d] = self.0;
        Self(match distance {
            1 => [b, a, d, c],
            _ => [c, d, a, b],
        })
    }

    #[inline(always)]
    fn pow2_from_biased_exponent(self) -> Self {
        Self(self.0.map(|value| f32::from_bits(value.to_bits() << 23)))
    }
}

impl MicroKernel for F32x4 {
    const MR: usize = 4;
    const PANEL: usize = 8;
    const NR: usize = 8;
    const PADS: bool = true;
    const READS_HALVES: bool = true;

    fn micro_kernel(token: Baseline, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
        portable::micro_kernel(token, a, b, c);
    }
}

/// int8 GEMM by dot products of 2 × int16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortableInt8;

impl Int8MicroKernel for PortableInt8 {
    const MR: usize = 4;
    const NR: usize = 2 * I32x4::LANES;
    const PACKING: Packing = Packing::I16x2;

    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        of_rows!(rolled, I32x4, Baseline, (a, rows, b, sums), [1 2 3 4]);
    }
}

#[derive(Clone, Copy)]
struct I32x4([i32; 4]);

impl Accumulator for I32x4 {
    type Token = Baseline;
    const LANES: usize = 4;
    const BYTES: usize = 8;
    type Words = [[i16; 2]; 4];

    #[inline(always)]
    fn zero(_: Baseline) -> Self {
        Self([0; 4])
    }

    #[inline(always)]
    fn load(_: Baseline, bytes: &[u8]) -> Self::Words {
        let (pairs, _) = bytes[..Self::BYTES].as_chunks::<2>();
        std::array::from_fn(|word| pairs[word].map(|byte| i16::from(byte.cast_signed())))
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
    fn splat(_: Baseline, word: u32) -> Self::Words {
        [[
            (word as u16).cast_signed(),
            ((word >> 16) as u16).cast_signed(),
        ]; 4]
    }

    #[inline(always)]
    fn add_products(self, a: [Self::Words; 2], b: [Self::Words; 2]) -> Self {
        let mut sums = self.0;
        for (a, b) in a.iter().zip(&b) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += i32::from(a[0]) * i32::from(b[0]) + i32::from(a[1]) * i32::from(b[1]);
            }
        }
        Self(sums)
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32]) {
        sums[..4].copy_from_slice(&self.0);
    }
}
