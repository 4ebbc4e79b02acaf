//! Four scalars.

use super::{Lanes, four};
use crate::fused::product::{Pairs, Strip};

#[derive(Clone, Copy)]
pub(crate) struct F32x4([f32; 4]);

impl F32x4 {
    /// Each of four values as a vector of its own.
    #[inline(always)]
    pub(crate) fn splat_four(values: &[f32; 4]) -> [Self; 4] {
        values.map(Self::splat)
    }

    /// Rows to columns.
    #[inline(always)]
    pub(crate) fn transpose(rows: [Self; 4]) -> [Self; 4] {
        std::array::from_fn(|column| Self(rows.map(|row| row.0[column])))
    }

    #[inline(always)]
    fn with(self, other: Self, compute: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| {
            compute(self.0[lane], other.0[lane])
        }))
    }
}

impl Lanes for F32x4 {
    const COUNT: usize = 4;
    const ROWS: usize = 4;
    const PACKED: bool = true;

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let [a, b, c, d, ..] = *values else {
            unreachable!("four values")
        };
        Self([a, b, c, d])
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..4].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
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
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        self.mul(factor).add(summand)
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self {
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
    fn exponent_of_low_bits(self) -> Self {
        Self(self.0.map(|value| f32::from_bits(value.to_bits() << 23)))
    }

    unsafe fn tile(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { four::tile(strip.at, pairs.at, depth, sums) }
    }
}
