//! Softmax of a row.

use super::lanes::Lanes;
use std::hint::black_box;

/// What the function takes, in variables: V8 would put together each constant in
/// a loop anew for every vector.
struct Constants {
    /// Below it, results are zero: the first ones that are not normal numbers.
    low: f32,
    log2_e: f32,
    /// Added to a number, it leaves the nearest integer plus 127 in the lowest bits.
    magic: f32,
    /// -ln 2 in two parts, of which the first is exact times any such integer.
    ln2_high: f32,
    ln2_low: f32,
    /// tract's fit of `e^r` over half of ln 2 to both sides, highest power first.
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

/// Makes scores weights, and returns what they are to be divided by to be one
/// together. There are whole vectors of them, with negative infinity where there is
/// no score.
#[inline(always)]
pub(super) fn weights<V: Lanes>(row: &mut [f32]) -> f32 {
    debug_assert!(row.len().is_multiple_of(V::COUNT));
    let mut highest = V::splat(f32::NEG_INFINITY);
    for lanes in row.chunks_exact(V::COUNT) {
        highest = V::load(lanes).greater(highest);
    }
    let highest = V::splat(highest.fold(f32::max));

    let constants = black_box(&EXP);
    let low = V::splat(constants.low);
    let log2_e = V::splat(constants.log2_e);
    let magic = V::splat(constants.magic);
    let ln2_high = V::splat(constants.ln2_high);
    let ln2_low = V::splat(constants.ln2_low);
    let [p6, p5, p4, p3, p2, p1, p0] = constants.powers;
    let (p6, p5, p4) = (V::splat(p6), V::splat(p5), V::splat(p4));
    let (p3, p2, p1, p0) = (V::splat(p3), V::splat(p2), V::splat(p1), V::splat(p0));
    let mut sum = V::splat(0.0);
    for lanes in row.chunks_exact_mut(V::COUNT) {
        let x = V::load(lanes).sub(highest);
        let bounded = x.greater(low);
        let shifted = bounded.mul_add(log2_e, magic);
        let integer = shifted.sub(magic);
        let rest = integer.mul_add(ln2_high, bounded);
        let rest = integer.mul_add(ln2_low, rest);
        let power = p6.mul_add(rest, p5).mul_add(rest, p4).mul_add(rest, p3);
        let power = power.mul_add(rest, p2).mul_add(rest, p1).mul_add(rest, p0);
        let power = power.mul(shifted.exponent_of_low_bits());
        let power = power.zero_where_less(x, low);
        sum = sum.add(power);
        power.store(lanes);
    }
    sum.fold(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::weights;
    use crate::fused::lanes::{Isa, Lanes, Task};

    struct Weights<'a>(&'a mut [f32]);

    impl Task for Weights<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<V: Lanes>(self) -> f32 {
            weights::<V>(self.0)
        }
    }

    #[test]
    fn weights_are_the_exact_ones() {
        let mut scores = [f32::NEG_INFINITY; 32];
        for (place, score) in scores.iter_mut().take(26).enumerate() {
            *score = (place * 7919 % 97) as f32 / 9.0 - 5.0;
        }
        (scores[3], scores[7]) = (-120.0, -81.5);
        let exact = scores.map(|score| f64::from(score).exp());
        let sum: f64 = exact.iter().sum();
        for isa in Isa::all() {
            let mut weights = scores;
            let divisor = f64::from(isa.run(Weights(&mut weights)));
            for (weight, exact) in weights.into_iter().zip(exact) {
                let (weight, exact) = (f64::from(weight) / divisor, exact / sum);
                let error = (weight - exact).abs();
                assert!(
                    error <= 1e-6 * exact + 1e-37,
                    "{isa:?}: {weight} for {exact}"
                );
            }
            assert_eq!((weights[3], weights[30]), (0.0, 0.0));
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for isa in Isa::all() {
            let mut weights = [1.0; 32];
            weights[1] = f32::NAN;
            let divisor = isa.run(Weights(&mut weights));
            let stays = weights.iter().all(|weight| (weight / divisor).is_nan());
            assert!(stays, "{isa:?}: {weights:?} / {divisor}");
        }
    }
}
