//! Where numbers leave a model: none that is not finite gets out.
//!
//! **Architecture Invariant:** a frontend never sees NaN or an infinity. It is looked
//! for twice, since either end may hide it from the other: in what the graph
//! gives (a maximum skips NaN, a sigmoid makes 1 of infinity), and in what is made
//! of that (modules have weights of their own, sums overflow).

use crate::encoder::Encoder;
use crate::error::FileError;
use crate::output::Values;

/// Refuses the graph's output if one of its numbers is not finite.
pub(crate) fn check_output(output: &[f32], encoder: &Encoder) -> Result<(), FileError> {
    // Masked logits (-inf) of a vocabulary are allowed: their score is 0.
    let over_vocabulary = encoder.head.masks_vocabulary();
    let allowed = |value: f32| over_vocabulary && value == f32::NEG_INFINITY;
    let mut values = output.iter().copied();
    let Some(found) = values.find(|value| !value.is_finite() && !allowed(*value)) else {
        return Ok(());
    };
    let name = &encoder.pipeline().output.name;
    Err(not_finite(found, format!("output `{name}`")))
}

/// Refuses a result if one of its numbers is not finite.
pub(crate) fn check_values(values: &Values) -> Result<(), FileError> {
    check_numbers(values.numbers())
}

/// Refuses numbers that are made of a model's output if one of them is not finite.
pub(crate) fn check_numbers(mut numbers: impl Iterator<Item = f32>) -> Result<(), FileError> {
    match numbers.find(|value| !value.is_finite()) {
        Some(found) => Err(not_finite(found, "what is made of its output".into())),
        None => Ok(()),
    }
}

fn not_finite(found: f32, place: String) -> FileError {
    let found = if found.is_nan() { "NaN" } else { "infinity" };
    FileError::NotFinite { found, place }
}
