//! LayerNorm over the last axis, after the addition of a residual.
//!
//! **Invariant:** a row's result depends on that row alone.

use crate::gemm::MicroKernel;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::{self, Kernel, Simd};

/// What a LayerNorm has been trained to: for each value of a row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// γ
    pub scale: &'a [f32],
    /// β
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// `(x − mean(x)) / √(variance(x) + epsilon) · scale + bias` of each row, in place, where
/// x is `rows`, or `rows + residual`: `[…, width]`.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn layer_norm(
    isa: Isa,
    parameters: LayerNorm<'_>,
    rows: &mut [f32],
    residual: Option<&[f32]>,
) -> Result<(), ShapeError> {
    let LayerNorm { scale, bias, .. } = parameters;
    let width = scale.len();
    let is_whole = rows.is_empty() || rows.len().is_multiple_of(width);
    let same_length = residual.is_none_or(|residual| residual.len() == rows.len());
    ensure(
        bias.len() == width && is_whole && same_length,
        "layer norm",
        || {
            let (bias, residual) = (bias.len(), residual.map(<[f32]>::len));
            format!(
                "{} values plus {residual:?} in rows of {width}, with {bias} biases",
                rows.len()
            )
        },
    )?;
    isa.run(Rows {
        parameters,
        rows,
        residual,
    });
    Ok(())
}

struct Rows<'a> {
    parameters: LayerNorm<'a>,
    rows: &'a mut [f32],
    residual: Option<&'a [f32]>,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let width = self.parameters.scale.len().max(1);
        let mut residual = self.residual.map(|residual| residual.chunks_exact(width));
        for row in self.rows.chunks_exact_mut(width) {
            if let Some(residual) = residual.as_mut().and_then(Iterator::next) {
                simd::add::<V>(token, row, residual);
            }
            self.parameters.normalise::<V>(token, row);
        }
    }
}

impl LayerNorm<'_> {
    #[inline(always)]
    fn normalise<V: Simd>(&self, token: V::Token, row: &mut [f32]) {
        #[allow(clippy::cast_precision_loss, reason = "no row has 2^24 values")]
        let share = 1.0 / row.len() as f32;
        let mean = V::splat(token, sum_of::<V, false>(token, row) * share);
        for lanes in row.chunks_mut(V::LANES) {
            let deviation = V::load_partial(token, lanes).sub(mean);
            deviation.store_partial(lanes);
        }
        let variance = sum_of::<V, true>(token, row) * share;
        let factor = V::splat(token, 1.0 / (variance + self.epsilon).sqrt());
        let parameters = self.scale.chunks(V::LANES).zip(self.bias.chunks(V::LANES));
        for (lanes, (scale, bias)) in row.chunks_mut(V::LANES).zip(parameters) {
            let normal = V::load_partial(token, lanes).mul(factor);
            let (scale, bias) = (V::load_partial(token, scale), V::load_partial(token, bias));
            normal.mul_add(scale, bias).store_partial(lanes);
        }
    }
}

/// The sum of all values or of their squares, as four vectors of sums side by side.
#[inline(always)]
fn sum_of<V: Simd, const SQUARES: bool>(token: V::Token, row: &[f32]) -> f32 {
    let zero = V::splat(token, 0.0);
    let [mut a, mut b, mut c, mut d] = [zero; 4];
    let mut groups = row.chunks_exact(4 * V::LANES);
    for group in &mut groups {
        a = accumulate::<V, SQUARES>(token, a, group);
        b = accumulate::<V, SQUARES>(token, b, &group[V::LANES..]);
        c = accumulate::<V, SQUARES>(token, c, &group[2 * V::LANES..]);
        d = accumulate::<V, SQUARES>(token, d, &group[3 * V::LANES..]);
    }
    for lanes in groups.remainder().chunks(V::LANES) {
        a = accumulate::<V, SQUARES>(token, a, lanes);
    }
    a.add(b).add(c.add(d)).reduce(|sum, value| sum + value)
}

#[inline(always)]
fn accumulate<V: Simd, const SQUARES: bool>(token: V::Token, sum: V, lanes: &[f32]) -> V {
    let value = V::load_partial(token, lanes);
    if SQUARES {
        value.mul_add(value, sum)
    } else {
        sum.add(value)
    }
}
