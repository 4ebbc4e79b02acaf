//! Softmax of a row.

use super::lanes::{self, F32x4, LANES};
use std::hint::black_box;

/// What the function takes, in variables: V8 would put together each constant in
/// a loop anew for every vector.
struct Constants {
    /// Below it, results are zero: the first ones that are not normal numbers.
    low: f32,
    log2_e: f32,
    /// Added to a number, it leaves the nearest integer plus 127 in the lowest bits.
    magic: f32,
    /// ln 2 in two parts, of which the first is exact times any such integer.
    ln2_high: f32,
    ln2_low: f32,
    /// tract's fit of `e^r` over half of ln 2 to both sides, highest power first.
    powers: [f32; 7],
}

static EXP: Constants = Constants {
    low: -87.0,
    log2_e: std::f32::consts::LOG2_E,
    magic: 12_583_039.0,
    ln2_high: 0.693_145_75,
    ln2_low: 1.428_606_8e-6,
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

/// Makes scores weights: positive, and one together. There are whole vectors of
/// them, with negative infinity where there is no score.
#[inline(never)]
pub(super) fn softmax(row: &mut [f32]) {
    debug_assert!(row.len().is_multiple_of(LANES));
    let highest = row.as_chunks::<LANES>().0.iter();
    let lowest = F32x4::splat(&f32::NEG_INFINITY);
    let highest = highest.fold(lowest, |highest, it| F32x4::load(it).greater(highest));
    let highest = highest.to_array().into_iter();
    let highest = F32x4::splat(&highest.fold(f32::NEG_INFINITY, f32::max));

    let constants = black_box(&EXP);
    let low = F32x4::splat(&constants.low);
    let log2_e = F32x4::splat(&constants.log2_e);
    let magic = F32x4::splat(&constants.magic);
    let ln2_high = F32x4::splat(&constants.ln2_high);
    let ln2_low = F32x4::splat(&constants.ln2_low);
    let [p6, p5, p4, p3, p2, p1, p0] = &constants.powers;
    let (p6, p5, p4) = (F32x4::splat(p6), F32x4::splat(p5), F32x4::splat(p4));
    let (p3, p2, p1, p0) = (
        F32x4::splat(p3),
        F32x4::splat(p2),
        F32x4::splat(p1),
        F32x4::splat(p0),
    );
    let mut sum = F32x4::splat(&0.0);
    for lanes in row.as_chunks_mut::<LANES>().0 {
        let x = F32x4::load(lanes).sub(highest);
        let bounded = x.greater(low);
        let shifted = bounded.mul(log2_e).add(magic);
        let integer = shifted.sub(magic);
        let rest = bounded.sub(integer.mul(ln2_high));
        let rest = rest.sub(integer.mul(ln2_low));
        let power = p6.mul(rest).add(p5).mul(rest).add(p4).mul(rest).add(p3);
        let power = power.mul(rest).add(p2).mul(rest).add(p1);
        let power = power.mul(rest).add(p0);
        let power = power.mul(shifted.exponent_of_low_bits());
        let power = power.zero_where_less(x, low);
        sum = sum.add(power);
        power.store(lanes);
    }
    let [a, b, c, d] = sum.to_array();
    let inverse = F32x4::splat(&(1.0 / ((a + b) + (c + d))));
    lanes::map(row, |weight| weight.mul(inverse));
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn weights_are_the_exact_ones() {
        let scores = [
            -3.0f32,
            0.5,
            2.25,
            -120.0,
            1.0,
            f32::NEG_INFINITY,
            2.0,
            -86.5,
        ];
        let exact = scores.map(|score| f64::from(score).exp());
        let sum: f64 = exact.iter().sum();
        let mut weights = scores;
        softmax(&mut weights);
        for (weight, exact) in weights.into_iter().zip(exact) {
            let exact = exact / sum;
            let error = (f64::from(weight) - exact).abs();
            assert!(error <= 2e-7 * exact + 1e-37, "{weight} for {exact}");
        }
        assert_eq!((weights[3], weights[5]), (0.0, 0.0));
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let mut weights = [0.0, f32::NAN, 1.0, 2.0];
        softmax(&mut weights);
        assert!(weights.iter().all(|weight| weight.is_nan()), "{weights:?}");
    }
}
