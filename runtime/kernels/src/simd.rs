//! Vectors of float32: a trait, and a file for each instruction set.
//!
//! A kernel is written once over [`Simd`], as a [`Kernel`], and compiled for each
//! instruction set: two AVX widths, NEON, WebAssembly's simd128, and scalars, whose
//! file says what the instructions of the others compute.
//!
//! **Invariant:** a vector is made of a token, and a token is made by detection
//! alone. So no safe code runs an instruction that the processor lacks.
//!
//! **Invariant:** code with vectors is in functions that are inlined into one that is
//! compiled for their instructions ([`Kernel::run`]); none is in a closure, which `cargo xtask test` looks for.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(not(target_feature = "simd128"))]
pub(crate) mod portable;
#[cfg(target_feature = "simd128")]
pub(crate) mod simd128;

use crate::encoding;
use crate::gemm::MicroKernel;
#[cfg(not(target_feature = "simd128"))]
pub(crate) use portable::F32x4;
#[cfg(target_feature = "simd128")]
pub(crate) use simd128::F32x4;

/// The most values that a vector of this target has.
pub(crate) const LANES_MAX: usize = if cfg!(target_arch = "x86_64") { 16 } else { 4 };

/// The token of instructions that every processor of the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Baseline;

/// A vector of float32 values.
pub(crate) trait Simd: Copy {
    /// The proof that the processor has the instructions.
    type Token: Copy;
    /// How many values there are.
    const LANES: usize;

    /// The first values of a slice that has as many.
    fn load(token: Self::Token, values: &[f32]) -> Self;
    /// Every value the same.
    fn splat(token: Self::Token, value: f32) -> Self;
    /// Has what is at an address, if there is anything, fetched into the second cache.
    #[inline(always)]
    #[allow(
        dead_code,
        reason = "where there are few registers, nothing is fetched ahead"
    )]
    fn prefetch(_address: *const u8) {}
    /// Of the first bytes, each an integer.
    fn of_i8(token: Self::Token, bytes: &[u8]) -> Self;
    /// Of the first bytes, each two integers from 0 to 15: those in the low nibbles, and those in
    /// the high ones.
    fn of_nibbles(token: Self::Token, bytes: &[u8]) -> [Self; 2];
    /// Of the first pairs of bytes, each a float16.
    #[inline(always)]
    fn of_f16(token: Self::Token, bytes: &[u8]) -> Self {
        let mut values = [0.0; LANES_MAX];
        let (pairs, _) = bytes.as_chunks::<2>();
        for (value, pair) in values.iter_mut().zip(&pairs[..Self::LANES]) {
            *value = encoding::of_f16(*pair);
        }
        Self::load(token, &values)
    }
    /// Of the first pairs of bytes, each a bfloat16.
    #[inline(always)]
    fn of_bf16(token: Self::Token, bytes: &[u8]) -> Self {
        let mut values = [0.0; LANES_MAX];
        let (pairs, _) = bytes.as_chunks::<2>();
        for (value, pair) in values.iter_mut().zip(&pairs[..Self::LANES]) {
            *value = encoding::of_bf16(*pair);
        }
        Self::load(token, &values)
    }
    /// Writes the first values of a slice that has as many.
    fn store(self, values: &mut [f32]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self · factor + addend`: fused, with one rounding, where there is such an
    /// instruction, else with two.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The greater value, and `self` where one of the two is NaN.
    fn max_or_self(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    /// Zero where `first < second`.
    fn zero_where_less(self, first: Self, second: Self) -> Self;
    /// Each value in the place of the one at a distance of a power of two below the number of values: where it
    /// says one bit else.
    fn exchange(self, distance: usize) -> Self;
    /// `2^(n − 127)`, where n is the integer in the lowest eight bits.
    fn pow2_from_biased_exponent(self) -> Self;

    /// What of a vector a slice has, and then zeros.
    #[inline(always)]
    fn load_partial(token: Self::Token, values: &[f32]) -> Self {
        if values.len() >= Self::LANES {
            return Self::load(token, values);
        }
        let mut padded = [0.0; LANES_MAX];
        padded[..values.len()].copy_from_slice(values);
        Self::load(token, &padded)
    }

    /// Writes as many values as a slice has.
    #[inline(always)]
    fn store_partial(self, values: &mut [f32]) {
        if values.len() >= Self::LANES {
            return self.store(values);
        }
        let mut padded = [0.0; LANES_MAX];
        self.store(&mut padded);
        values.copy_from_slice(&padded[..values.len()]);
    }

    /// Horizontal reduction, from the first value to the last.
    #[inline(always)]
    fn reduce(self, combine: impl Fn(f32, f32) -> f32) -> f32 {
        let mut values = [0.0; LANES_MAX];
        self.store(&mut values);
        let [first, rest @ ..] = &values[..Self::LANES] else {
            return 0.0;
        };
        rest.iter().fold(*first, |sum, value| combine(sum, *value))
    }
}

/// Something to compute with the vectors of any instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Always `#[inline(always)]`, and so is all that it calls with vectors, of which
    /// no closure is: a function is compiled for the instructions of the one that it
    /// is inlined in, and an instruction that its own has not is a call.
    fn run<V: MicroKernel>(self, token: V::Token) -> Self::Output;
}

/// Multiplies each value.
#[inline(always)]
pub(crate) fn scale<V: Simd>(token: V::Token, values: &mut [f32], factor: f32) {
    if factor == 1.0 {
        return;
    }
    let factor = V::splat(token, factor);
    for lanes in values.chunks_mut(V::LANES) {
        let scaled = V::load_partial(token, lanes).mul(factor);
        scaled.store_partial(lanes);
    }
}

/// Adds to each value its counterpart.
#[inline(always)]
pub(crate) fn add<V: Simd>(token: V::Token, values: &mut [f32], others: &[f32]) {
    for (lanes, others) in values.chunks_mut(V::LANES).zip(others.chunks(V::LANES)) {
        let sum = V::load_partial(token, lanes).add(V::load_partial(token, others));
        sum.store_partial(lanes);
    }
}

/// Multiplies each value by its counterpart.
#[inline(always)]
pub(crate) fn multiply<V: Simd>(token: V::Token, values: &mut [f32], others: &[f32]) {
    for (lanes, others) in values.chunks_mut(V::LANES).zip(others.chunks(V::LANES)) {
        let product = V::load_partial(token, lanes).mul(V::load_partial(token, others));
        product.store_partial(lanes);
    }
}
