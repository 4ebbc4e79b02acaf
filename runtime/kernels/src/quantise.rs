//! Quantisation of activations: `value / scale` to the nearest step, and what that stands for.

use crate::shape::{ShapeError, ensure};

/// How values are quantised: `inner` of them share a scale and zero point, and after the last
/// pair the first one is next.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    /// Scale and zero point.
    pub parameters: &'a [(f32, f32)],
    /// How many values share a pair.
    pub inner: usize,
    /// The smallest and the largest that a quantised value can be.
    pub range: (f32, f32),
}

impl Steps<'_> {
    /// `value / scale + zero point` of each value, rounded half to even and saturated, as the
    /// type that `convert` makes.
    ///
    /// # Errors
    ///
    /// If there are not as many results as values, or values are not whole rounds.
    pub fn quantise<T>(
        &self,
        values: &[f32],
        convert: impl Fn(f32) -> T,
        output: &mut [T],
    ) -> Result<(), ShapeError> {
        self.for_each(values, output, |step, _, zero_point| {
            convert(step + zero_point)
        })
    }

    /// What is left of each value when it has been quantised and dequantised.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn round(&self, values: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
        self.for_each(values, output, |step, scale, _| step * scale)
    }

    /// `result` of each value's steps from zero, the scale and the zero point.
    fn for_each<T>(
        &self,
        values: &[f32],
        output: &mut [T],
        result: impl Fn(f32, f32, f32) -> T,
    ) -> Result<(), ShapeError> {
        let round = self.parameters.len().checked_mul(self.inner);
        let round = round.unwrap_or_default();
        let length = values.len();
        let is_whole = length == 0 || round > 0 && length.is_multiple_of(round);
        ensure(is_whole && output.len() == length, "quantise", || {
            let (pairs, inner) = (self.parameters.len(), self.inner);
            let output = output.len();
            format!("{length} values by {pairs} scales for {inner} each into {output}")
        })?;
        let runs = values
            .chunks(self.inner.max(1))
            .zip(output.chunks_mut(self.inner.max(1)));
        for ((values, output), (scale, zero)) in runs.zip(self.parameters.iter().cycle()) {
            let (least, most) = (self.range.0 - zero, self.range.1 - zero);
            for (value, output) in values.iter().zip(output) {
                let step = round_half_to_even((value / scale).max(least).min(most));
                *output = result(step, *scale, *zero);
            }
        }
        Ok(())
    }
}

/// The nearest integer of what is below 2^22: a sum that has no bits for less than one is
/// rounded to it. Unlike the standard library's it is no call where the processor has no
/// instruction for it.
fn round_half_to_even(value: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (value + MAGIC) - MAGIC
}
