//! LayerNorm over the last axis, after the addition of a residual.
//!
//! **Invariant:** a row's result depends on that row alone.

use crate::gemm::MicroKernel;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::{Kernel, Simd};

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
            let sum = match residual.as_mut().and_then(Iterator::next) {
                Some(residual) => each::<V, _>(token, row, AddResidual(residual)),
                None => each::<V, _>(token, row, Sum),
            };
            self.parameters.normalise::<V>(token, row, sum);
        }
    }
}

impl LayerNorm<'_> {
    #[inline(always)]
    fn normalise<V: Simd>(&self, token: V::Token, row: &mut [f32], sum: f32) {
        #[allow(clippy::cast_precision_loss, reason = "no row has 2^24 values")]
        let share = 1.0 / row.len() as f32;
        let mean = V::splat(token, sum * share);
        let variance = each::<V, _>(token, row, Deviation(mean)) * share;
        let factor = V::splat(token, 1.0 / (variance + self.epsilon).sqrt());
        let parameters = self.scale.chunks(V::LANES).zip(self.bias.chunks(V::LANES));
        for (lanes, (scale, bias)) in row.chunks_mut(V::LANES).zip(parameters) {
            let normal = V::load_partial(token, lanes).mul(factor);
            let (scale, bias) = (V::load_partial(token, scale), V::load_partial(token, bias));
            normal.mul_add(scale, bias).store_partial(lanes);
        }
    }
}

/// What is done with the values of a row while something of them is summed.
trait Step<V: Simd>: Copy {
    /// Of a vector's worth of values, of which the first is at `place`: gives the new sum.
    fn step(self, token: V::Token, sum: V, place: usize, lanes: &mut [f32]) -> V;
}

#[derive(Clone, Copy)]
struct Sum;

impl<V: Simd> Step<V> for Sum {
    #[inline(always)]
    fn step(self, token: V::Token, sum: V, _place: usize, lanes: &mut [f32]) -> V {
        sum.add(V::load_partial(token, lanes))
    }
}

/// Adds the values of another row, and sums.
#[derive(Clone, Copy)]
struct AddResidual<'a>(&'a [f32]);

impl<V: Simd> Step<V> for AddResidual<'_> {
    #[inline(always)]
    fn step(self, token: V::Token, sum: V, place: usize, lanes: &mut [f32]) -> V {
        let residual = &self.0[place..][..lanes.len()];
        let value = V::load_partial(token, lanes).add(V::load_partial(token, residual));
        value.store_partial(lanes);
        sum.add(value)
    }
}

/// Subtracts the mean, and sums the squares.
#[derive(Clone, Copy)]
struct Deviation<V>(V);

impl<V: Simd> Step<V> for Deviation<V> {
    #[inline(always)]
    fn step(self, token: V::Token, sum: V, _place: usize, lanes: &mut [f32]) -> V {
        let value = V::load_partial(token, lanes).sub(self.0);
        value.store_partial(lanes);
        // Of what is stored: beyond a row there is nothing.
        let value = V::load_partial(token, lanes);
        value.mul_add(value, sum)
    }
}

/// Takes a step for each vector of a row, with four vectors of sums side by side.
#[inline(always)]
fn each<V: Simd, S: Step<V>>(token: V::Token, row: &mut [f32], step: S) -> f32 {
    let [mut a, mut b, mut c, mut d] = [V::splat(token, 0.0); 4];
    let mut groups = row.chunks_exact_mut(4 * V::LANES);
    let mut place = 0;
    for group in &mut groups {
        let (first, second) = group.split_at_mut(2 * V::LANES);
        let (first, rest) = first.split_at_mut(V::LANES);
        a = step.step(token, a, place, first);
        b = step.step(token, b, place + V::LANES, rest);
        let (first, rest) = second.split_at_mut(V::LANES);
        c = step.step(token, c, place + 2 * V::LANES, first);
        d = step.step(token, d, place + 3 * V::LANES, rest);
        place += 4 * V::LANES;
    }
    for lanes in groups.into_remainder().chunks_mut(V::LANES) {
        a = step.step(token, a, place, lanes);
        place += V::LANES;
    }
    a.add(b).add(c.add(d)).reduce(|sum, value| sum + value)
}
