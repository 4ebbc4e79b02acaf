//! Dequantisation of 8-bit weights: `(q − zero point) · scale`.

use crate::shape::{ShapeError, ensure};

/// Quantised values, or those that somebody else has converted to float32.
#[derive(Clone, Copy, Debug)]
pub enum Quantised<'a> {
    /// Unsigned.
    U8(&'a [u8]),
    /// Signed.
    I8(&'a [i8]),
    /// Any others.
    F32(&'a [f32]),
}

/// `(value − zero point) · scale` of each value: `inner` values share a pair of scale and
/// zero point, and after the last pair the first one is next.
///
/// # Errors
///
/// If there are not as many results as values, or values are not whole rounds.
pub fn dequantise(
    values: Quantised<'_>,
    parameters: &[(f32, f32)],
    inner: usize,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let length = match values {
        Quantised::U8(values) => values.len(),
        Quantised::I8(values) => values.len(),
        Quantised::F32(values) => values.len(),
    };
    let round = parameters.len().checked_mul(inner).unwrap_or_default();
    let is_whole = length == 0 || round > 0 && length.is_multiple_of(round);
    ensure(is_whole && output.len() == length, "dequantise", || {
        let (pairs, output) = (parameters.len(), output.len());
        format!("{length} values by {pairs} scales for {inner} each into {output}")
    })?;
    match values {
        Quantised::U8(values) => scale(values, parameters, inner, output),
        Quantised::I8(values) => scale(values, parameters, inner, output),
        Quantised::F32(values) => scale(values, parameters, inner, output),
    }
    Ok(())
}

fn scale<T: Copy + Into<f32>>(
    values: &[T],
    parameters: &[(f32, f32)],
    inner: usize,
    output: &mut [f32],
) {
    if values.is_empty() {
        return;
    }
    if inner == 1 {
        let rows = output
            .chunks_exact_mut(parameters.len())
            .zip(values.chunks_exact(parameters.len()));
        for (output, values) in rows {
            for ((output, value), (scale, zero)) in output.iter_mut().zip(values).zip(parameters) {
                *output = ((*value).into() - zero) * scale;
            }
        }
        return;
    }
    let runs = output
        .chunks_exact_mut(inner)
        .zip(values.chunks_exact(inner));
    for ((output, values), (scale, zero)) in runs.zip(parameters.iter().cycle()) {
        for (output, value) in output.iter_mut().zip(values) {
            *output = ((*value).into() - zero) * scale;
        }
    }
}
