//! Softmax of a row: `exp(score − max)`, and the denominator.
//!
//! `exp` is Cody–Waite argument reduction (`x = n·ln 2 + r`, ln 2 in two parts) and a
//! polynomial of degree 6 for `e^r`: within 2 ULP, which a test checks over the whole
//! range. Results below `e⁻⁸⁷` are zero.

use crate::gemm::MicroKernel;
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

/// The constants in vectors.
#[derive(Clone, Copy)]
pub(crate) struct Exp<V> {
    low: V,
    log2_e: V,
    magic: V,
    ln2_high: V,
    ln2_low: V,
    powers: [V; 7],
}

impl<V: Simd> Exp<V> {
    #[inline(always)]
    pub(crate) fn new(token: V::Token) -> Self {
        let constants = black_box(&EXP);
        let [p6, p5, p4, p3, p2, p1, p0] = constants.powers;
        Self {
            low: V::splat(token, constants.low),
            log2_e: V::splat(token, constants.log2_e),
            magic: V::splat(token, constants.magic),
            ln2_high: V::splat(token, constants.ln2_high),
            ln2_low: V::splat(token, constants.ln2_low),
            powers: [
                V::splat(token, p6),
                V::splat(token, p5),
                V::splat(token, p4),
                V::splat(token, p3),
                V::splat(token, p2),
                V::splat(token, p1),
                V::splat(token, p0),
            ],
        }
    }

    /// `e^x` of values that are at most 0; of NaN it is NaN.
    #[inline(always)]
    pub(crate) fn of(self, x: V) -> V {
        let [p6, p5, p4, p3, p2, p1, p0] = self.powers;
        let bounded = x.max_or_self(self.low);
        let shifted = bounded.mul_add(self.log2_e, self.magic);
        let exponent = shifted.sub(self.magic);
        let rest = exponent.mul_add(self.ln2_high, bounded);
        let rest = exponent.mul_add(self.ln2_low, rest);
        let power = p6.mul_add(rest, p5).mul_add(rest, p4).mul_add(rest, p3);
        let power = power.mul_add(rest, p2).mul_add(rest, p1).mul_add(rest, p0);
        let power = power.mul(shifted.pow2_from_biased_exponent());
        power.zero_where_less(x, self.low)
    }
}

/// The softmax of several queries side by side, a block of keys after a block (online
/// softmax, Milakov and Gimelshein, 2018): the greatest scores so far and the sums of
/// `exp(score − max)`, the denominators.
pub(crate) struct Softmax<'a> {
    pub(crate) highest: &'a mut [f32],
    pub(crate) denominators: &'a mut [f32],
    /// What all that was computed before is multiplied by.
    pub(crate) factors: &'a mut [f32],
}

impl Softmax<'_> {
    /// Before the first block.
    pub(crate) fn begin(&mut self) {
        // Finite, so that where all scores are negative infinity weights are 0.
        self.highest.fill(f32::MIN);
        self.denominators.fill(0.0);
    }

    /// Computes weights `exp(score − max)` of a vector's worth of queries, those from `first`
    /// on, for each key: of scores in rows of NR, into rows of a panel.
    #[inline(always)]
    pub(crate) fn weigh<V: MicroKernel>(
        &mut self,
        token: V::Token,
        first: usize,
        scores: &[f32],
        weights: &mut [f32],
    ) {
        let before = V::load(token, &self.highest[first..]);
        let [mut a, mut b, mut c, mut d] = [before; 4];
        let mut fours = scores.chunks_exact(4 * V::NR);
        for four in &mut fours {
            let four = &four[first..];
            a = V::load(token, four).max_or_self(a);
            b = V::load(token, &four[V::NR..]).max_or_self(b);
            c = V::load(token, &four[2 * V::NR..]).max_or_self(c);
            d = V::load(token, &four[3 * V::NR..]).max_or_self(d);
        }
        for scores in fours.remainder().chunks_exact(V::NR) {
            a = V::load(token, &scores[first..]).max_or_self(a);
        }
        let highest = b.max_or_self(a).max_or_self(d.max_or_self(c));
        let exp = Exp::<V>::new(token);
        let factor = exp.of(before.sub(highest));
        let mut sum = V::load(token, &self.denominators[first..]).mul(factor);
        let column = first % V::PANEL;
        let scores = scores.chunks_exact(V::NR);
        for (scores, weights) in scores.zip(weights.chunks_exact_mut(V::PANEL)) {
            let weight = exp.of(V::load(token, &scores[first..]).sub(highest));
            sum = sum.add(weight);
            weight.store(&mut weights[column..]);
        }
        highest.store(&mut self.highest[first..]);
        sum.store(&mut self.denominators[first..]);
        factor.store(&mut self.factors[first..]);
    }
}
