//! Several float32 values at a time.
//!
//! [`Lanes`] is a vector and the tile of products made of such: four values
//! anywhere, an instruction each on arm64 and in a wasm module; 8 with AVX2 and 16
//! with AVX-512, where the processor has them. What computes is written once over
//! the trait, as a [`Task`], and compiled for each of them.
//!
//! `portable.rs`, which is made of scalars, says what the instructions compute, and
//! `isa.rs` which of them a process uses.

mod four;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(target_feature = "simd128"))]
mod portable;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod rows;
#[cfg(target_feature = "simd128")]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::product::{Pairs, Strip};
pub use four::{TileKernel, use_tile_kernel};
pub use isa::{ISA_VARIABLE, Isa, NoSuchIsa};
#[cfg(not(target_feature = "simd128"))]
pub(super) use portable::F32x4;
#[cfg(target_feature = "simd128")]
pub(super) use simd128::F32x4;
#[cfg(all(target_feature = "simd128", target_os = "wasi"))]
pub(super) use simd128::splat_lanes;

/// The most values that a vector has.
const COUNT_MAX: usize = if cfg!(target_arch = "x86_64") { 16 } else { 4 };

/// The most rows that a tile has.
const ROWS_MAX: usize = if cfg!(target_family = "wasm") { 4 } else { 12 };

/// The most sums that a tile has.
pub(super) const TILE_MAX: usize = ROWS_MAX * 2 * COUNT_MAX;

/// A vector of float32 values.
pub(super) trait Lanes: Copy {
    /// How many values there are.
    const COUNT: usize;
    /// The most rows of a tile, which has two vectors in each.
    const ROWS: usize;
    /// Whether tiles read a strip of rows packed: one value of each row side by side.
    const PACKED: bool;

    /// The first values of a slice that has as many.
    fn load(values: &[f32]) -> Self;
    /// Writes the first values of a slice that has as many.
    fn store(self, values: &mut [f32]);
    fn splat(value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self · factor + summand`, where the instructions allow it without rounding
    /// the product.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The greater, and `self` where they do not compare.
    fn greater(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    /// Zero where the first is less than the second.
    fn zero_where_less(self, first: Self, second: Self) -> Self;
    /// The integer in the lowest bits of the value, less 127, as a power of two.
    fn exponent_of_low_bits(self) -> Self;

    /// The product of a strip and `depth` pairs of vectors, row after row of two.
    ///
    /// # Safety
    ///
    /// The strip's rows and the pairs can be read, and as many rows of `sums`
    /// written. Where strips are packed, so are the pairs.
    unsafe fn tile(strip: Strip, pairs: Pairs, depth: usize, sums: *mut f32);

    /// What of a vector a slice has, and then zeros.
    #[inline(always)]
    fn load_some(values: &[f32]) -> Self {
        if values.len() >= Self::COUNT {
            return Self::load(values);
        }
        let mut padded = [0.0; COUNT_MAX];
        padded[..values.len()].copy_from_slice(values);
        Self::load(&padded)
    }

    /// Writes as many values as a slice has.
    #[inline(always)]
    fn store_some(self, values: &mut [f32]) {
        if values.len() >= Self::COUNT {
            return self.store(values);
        }
        let mut padded = [0.0; COUNT_MAX];
        self.store(&mut padded);
        values.copy_from_slice(&padded[..values.len()]);
    }

    /// Puts the values together to one.
    #[inline(always)]
    fn fold(self, combine: impl Fn(f32, f32) -> f32) -> f32 {
        let mut values = [0.0; COUNT_MAX];
        self.store(&mut values);
        let [first, rest @ ..] = &values[..Self::COUNT] else {
            return 0.0;
        };
        rest.iter().fold(*first, |sum, value| combine(sum, *value))
    }
}

/// Something to compute with any vectors.
pub(super) trait Task {
    type Output;

    /// Always `#[inline(always)]`, and so is all that it calls with vectors, of which
    /// no closure is: a function is compiled for the instructions of the one that it
    /// is inlined in, and an instruction that its own has not is a call.
    fn run<V: Lanes>(self) -> Self::Output;
}

/// Multiplies each value.
#[inline(always)]
pub(super) fn scale<V: Lanes>(values: &mut [f32], factor: f32) {
    if factor == 1.0 {
        return;
    }
    let factor = V::splat(factor);
    for lanes in values.chunks_mut(V::COUNT) {
        V::load_some(lanes).mul(factor).store_some(lanes);
    }
}

/// Adds to each value its counterpart.
#[inline(always)]
pub(super) fn add<V: Lanes>(values: &mut [f32], others: &[f32]) {
    for (lanes, others) in values.chunks_mut(V::COUNT).zip(others.chunks(V::COUNT)) {
        V::load_some(lanes)
            .add(V::load_some(others))
            .store_some(lanes);
    }
}

/// Multiplies each value by its counterpart.
#[inline(always)]
pub(super) fn multiply<V: Lanes>(values: &mut [f32], others: &[f32]) {
    for (lanes, others) in values.chunks_mut(V::COUNT).zip(others.chunks(V::COUNT)) {
        V::load_some(lanes)
            .mul(V::load_some(others))
            .store_some(lanes);
    }
}
