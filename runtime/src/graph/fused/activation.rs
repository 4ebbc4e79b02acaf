//! Functions of one value, after a product.

use super::lanes::{self, F32x4};
use std::hint::black_box;

/// What is computed of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    /// `x / 2 · (1 + erf(x / √2))`
    Gelu,
}

impl Activation {
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Gelu => gelu(values),
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

#[inline(never)]
fn gelu(values: &mut [f32]) {
    let constants = black_box(&GELU);
    let one = F32x4::splat(&constants.one);
    let half = F32x4::splat(&constants.half);
    let scale = F32x4::splat(&constants.scale);
    let [c0, c1, c2, c3, c4, c5] = &constants.coefficients;
    let (c0, c1, c2) = (F32x4::splat(c0), F32x4::splat(c1), F32x4::splat(c2));
    let (c3, c4, c5) = (F32x4::splat(c3), F32x4::splat(c4), F32x4::splat(c5));
    lanes::map(values, |x| {
        let scaled = x.mul(scale);
        let magnitude = scaled.abs();
        let sum = c0.mul(magnitude).add(c1).mul(magnitude).add(c2);
        let sum = sum.mul(magnitude).add(c3).mul(magnitude).add(c4);
        let sum = sum.mul(magnitude).add(c5).mul(magnitude);
        let base = sum.add(one);
        let square = base.mul(base);
        let fourth = square.mul(square);
        let eighth = fourth.mul(fourth);
        let erf = one.sub(one.div(eighth.mul(eighth))).copysign(scaled);
        x.mul(half).mul(erf.add(one))
    });
}

#[cfg(test)]
mod tests {
    use super::Activation;

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
        let mut values = expected.map(|(x, _)| x);
        Activation::Gelu.apply(&mut values);
        for (value, (x, expected)) in values.into_iter().zip(expected) {
            let error = (value - expected).abs();
            assert!(error <= 1e-6, "gelu({x}): {value} for {expected}");
        }
        let mut one = [1.0];
        Activation::Gelu.apply(&mut one);
        assert_eq!(one[0].to_bits(), values[5].to_bits());
    }
}
