//! Activations: functions of one value, as epilogues of a GEMM and in GeGLU.

use crate::simd::Simd;
use std::hint::black_box;

/// What is computed of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x / 2 · (1 + erf(x / √2))`, the exact GELU, within 1e-6 · |x|.
    Gelu,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn apply<V: Simd>(self, token: V::Token, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Gelu => Gelu::<V>::new(token).replace(token, values),
        }
    }

    /// Of the values of each row.
    #[inline(always)]
    pub(crate) fn apply_to_rows<'a, V: Simd>(
        self,
        token: V::Token,
        rows: impl Iterator<Item = &'a mut [f32]>,
    ) {
        match self {
            Self::None => {}
            Self::Gelu => {
                let gelu = Gelu::<V>::new(token);
                for row in rows {
                    gelu.replace(token, row);
                }
            }
        }
    }
}

/// What the function takes, in memory: V8 would put together each constant in
/// a loop anew for every vector.
struct Constants {
    half: f32,
    one: f32,
    scale: f32,
    /// Of `erf`: Abramowitz and Stegun, 7.1.28, whose error is at most 3e-7:
    /// `1 − 1 / (1 + a₁x + … + a₆x⁶)¹⁶`, highest power first. tract has the same ones.
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

/// The constants in vectors.
#[derive(Clone, Copy)]
struct Gelu<V> {
    half: V,
    one: V,
    scale: V,
    coefficients: [V; 6],
}

impl<V: Simd> Gelu<V> {
    #[inline(always)]
    fn new(token: V::Token) -> Self {
        let constants = black_box(&GELU);
        let [c0, c1, c2, c3, c4, c5] = constants.coefficients;
        Self {
            half: V::splat(token, constants.half),
            one: V::splat(token, constants.one),
            scale: V::splat(token, constants.scale),
            coefficients: [
                V::splat(token, c0),
                V::splat(token, c1),
                V::splat(token, c2),
                V::splat(token, c3),
                V::splat(token, c4),
                V::splat(token, c5),
            ],
        }
    }

    #[inline(always)]
    fn replace(self, token: V::Token, values: &mut [f32]) {
        for lanes in values.chunks_mut(V::LANES) {
            self.of(V::load_partial(token, lanes)).store_partial(lanes);
        }
    }

    #[inline(always)]
    fn of(self, x: V) -> V {
        let Self { half, one, .. } = self;
        let [c0, c1, c2, c3, c4, c5] = self.coefficients;
        let scaled = x.mul(self.scale);
        let magnitude = scaled.abs();
        let sum = c0.mul_add(magnitude, c1).mul_add(magnitude, c2);
        let sum = sum.mul_add(magnitude, c3).mul_add(magnitude, c4);
        let base = sum.mul_add(magnitude, c5).mul_add(magnitude, one);
        let square = base.mul(base);
        let fourth = square.mul(square);
        let eighth = fourth.mul(fourth);
        let erf = one.sub(one.div(eighth.mul(eighth))).copysign(scaled);
        x.mul(half).mul(erf.add(one))
    }
}
