//! Functions of one value, after a product.

use super::lanes::Lanes;
use std::hint::black_box;

/// What is computed of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    /// `x / 2 · (1 + erf(x / √2))`
    Gelu,
}

impl Activation {
    #[inline(always)]
    pub(super) fn apply<V: Lanes>(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Gelu => gelu::<V>(values),
        }
    }
}

/// What the function takes, in variables: V8 would put together each constant in
/// a loop anew for every vector.
struct Constants {
    half: f32,
    one: f32,
    scale: f32,
    /// Of `erf`, within 3e-7: Abramowitz and Stegun 7.1.28, as tract computes it.
    coefficients: [f32; 6],
}

static GELU: Constants = Constants {
    half: 0.5,
    one: 1.0,
    scale: std::f32::consts::FRAC_1_SQRT_2,
    coefficients: [
        0.000_043_063_8,
        0.000_276_567_2,
        0.000_152_014_3,
        0.009_270_527,
        0.042_282_01,
        0.070_523_076,
    ],
};

#[inline(always)]
fn gelu<V: Lanes>(values: &mut [f32]) {
    let constants = black_box(&GELU);
    let one = V::splat(constants.one);
    let half = V::splat(constants.half);
    let scale = V::splat(constants.scale);
    let [c0, c1, c2, c3, c4, c5] = constants.coefficients;
    let (c0, c1, c2) = (V::splat(c0), V::splat(c1), V::splat(c2));
    let (c3, c4, c5) = (V::splat(c3), V::splat(c4), V::splat(c5));
    for lanes in values.chunks_mut(V::COUNT) {
        let x = V::load_some(lanes);
        let scaled = x.mul(scale);
        let magnitude = scaled.abs();
        let sum = c0.mul_add(magnitude, c1).mul_add(magnitude, c2);
        let sum = sum.mul_add(magnitude, c3).mul_add(magnitude, c4);
        let base = sum.mul_add(magnitude, c5).mul_add(magnitude, one);
        let square = base.mul(base);
        let fourth = square.mul(square);
        let eighth = fourth.mul(fourth);
        let erf = one.sub(one.div(eighth.mul(eighth))).copysign(scaled);
        x.mul(half).mul(erf.add(one)).store_some(lanes);
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;
    use crate::fused::lanes::{Isa, Lanes, Task};

    struct Gelu<'a>(&'a mut [f32]);

    impl Task for Gelu<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Lanes>(self) {
            Activation::Gelu.apply::<V>(self.0);
        }
    }

    #[test]
    fn gelu_is_the_exact_one() {
        // scipy 1.16: x * norm.cdf(x)
        let expected = [
            (-6.0f32, -5.919_536e-9f32),
            (-1.5, -0.100_210_8),
            (-0.5, -0.154_268_77),
            (0.0, 0.0),
            (0.25, 0.149_676_57),
            (1.0, 0.841_344_8),
            (3.0, 2.995_950_3),
            (50.0, 50.0),
        ];
        for isa in Isa::all() {
            // Whole vectors of any width, and some more.
            let (xs, expected): (Vec<f32>, Vec<f32>) =
                expected.iter().cycle().take(19).copied().unzip();
            let mut values = xs.clone();
            isa.run(Gelu(&mut values));
            for ((value, x), expected) in values.iter().zip(xs).zip(expected) {
                let error = (value - expected).abs();
                assert!(error <= 1e-6, "{isa:?}: gelu({x}): {value} for {expected}");
            }
            let mut one = [1.0];
            isa.run(Gelu(&mut one));
            assert_eq!(one[0].to_bits(), values[5].to_bits(), "{isa:?}");
        }
    }
}
