//! Softmax of a row: `exp(score − max)`, and the denominator.
//!
//! `exp` is Cody–Waite argument reduction (`x = n·ln 2 + r`, ln 2 in two parts) and a
//! polynomial of degree 6 for `e^r`: within 2 ULP, which a test checks over the whole
//! range. Results below `e⁻⁸⁷` are zero.

use crate::simd::Simd;
use std::hint::black_box;

/// The constants of `exp`, in memory: V8 would put together each constant in a loop anew for
/// every vector.
struct Constants {
    /// Below it results are zero: `e⁻⁸⁷` is just above the least normal number.
    low: f32,
    log2_e: f32,
    /// Magic rounding: floats from 1.5 · 2²³ on are integers, 1 apart. Adding that and 127
    /// leaves the nearest integer, as a biased exponent, in the lowest bits.
    magic: f32,
    /// −ln 2 in two parts (Cody and Waite, 1980): the first has so few bits that it is
    /// exact times any exponent.
    ln2_high: f32,
    ln2_low: f32,
    /// A minimax fit of `e^r` over |r| ≤ ln 2 / 2, highest power first: that of tract's
    /// kernels (linalg/src/x86_64/softmax.rs of version 0.23).
    powers: [f32; 7],
}

static EXP: Constants = Constants {
    low: -87.0,
    log2_e: std::f32::consts::LOG2_E,
    magic: 12_583_039.0,
    ln2_high: -0.693_145_75,
    ln2_low: -1.428_606_8e-6,
    powers: [
        1.383_684_4e-3,
        8.374_816e-3,
        4.166_822_6e-2,
        1.666_642e-1,
        4.999_999e-1,
        1.0,
        1.0,
    ],
};

/// Replaces scores by `exp(score − max)`; returns their sum, the softmax denominator.
/// There are whole vectors of them, with negative infinity where there is no score. A NaN
/// makes every result NaN.
#[inline(always)]
pub(crate) fn exp_in_place<V: Simd>(token: V::Token, row: &mut [f32]) -> f32 {
    debug_assert!(row.len().is_multiple_of(V::LANES));
    let mut highest = V::splat(token, f32::NEG_INFINITY);
    for lanes in row.chunks_exact(V::LANES) {
        highest = V::load(token, lanes).max_or_self(highest);
    }
    let highest = V::splat(token, highest.reduce(f32::max));

    let constants = black_box(&EXP);
    let low = V::splat(token, constants.low);
    let log2_e = V::splat(token, constants.log2_e);
    let magic = V::splat(token, constants.magic);
    let ln2_high = V::splat(token, constants.ln2_high);
    let ln2_low = V::splat(token, constants.ln2_low);
    let [p6, p5, p4, p3, p2, p1, p0] = constants.powers;
    let (p6, p5, p4) = (
        V::splat(token, p6),
        V::splat(token, p5),
        V::splat(token, p4),
    );
    let (p3, p2, p1, p0) = (
        V::splat(token, p3),
        V::splat(token, p2),
        V::splat(token, p1),
        V::splat(token, p0),
    );
    let mut sum = V::splat(token, 0.0);
    for lanes in row.chunks_exact_mut(V::LANES) {
        let x = V::load(token, lanes).sub(highest);
        let bounded = x.max_or_self(low);
        let shifted = bounded.mul_add(log2_e, magic);
        let exponent = shifted.sub(magic);
        let rest = exponent.mul_add(ln2_high, bounded);
        let rest = exponent.mul_add(ln2_low, rest);
        let power = p6.mul_add(rest, p5).mul_add(rest, p4).mul_add(rest, p3);
        let power = power.mul_add(rest, p2).mul_add(rest, p1).mul_add(rest, p0);
        let power = power.mul(shifted.pow2_from_biased_exponent());
        let power = power.zero_where_less(x, low);
        sum = sum.add(power);
        power.store(lanes);
    }
    sum.reduce(|sum, value| sum + value)
}
