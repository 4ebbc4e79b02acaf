//! Where numbers leave a model: none that is not finite gets out.
//!
//! **Architecture Invariant:** a shell never sees NaN or an infinity. It is looked
//! for twice, since either end may hide it from the other: in what the graph
//! gives (a maximum skips NaN, a sigmoid makes 1 of infinity), and in what is made
//! of that (modules have weights of their own, sums overflow).

use super::Encoder;
use crate::error::FileError;
use crate::output::Values;
use encoderfile_format::manifest::Task;

/// Refuses the graph's output if one of its numbers is not finite.
pub(super) fn check_output(output: &[f32], encoder: &Encoder) -> Result<(), FileError> {
    // What a model must never say has the logit -inf in a vocabulary: its score is 0.
    let over_vocabulary = matches!(encoder.task, Task::FillMask | Task::SparseEmbedding);
    let allowed = |value: f32| over_vocabulary && value == f32::NEG_INFINITY;
    let mut values = output.iter().copied();
    let Some(found) = values.find(|value| !value.is_finite() && !allowed(*value)) else {
        return Ok(());
    };
    let name = &encoder.pipeline.output.name;
    Err(not_finite(found, format!("output `{name}`")))
}

/// Refuses a result if one of its numbers is not finite.
pub(super) fn check_values(values: &Values) -> Result<(), FileError> {
    match values.numbers().find(|value| !value.is_finite()) {
        Some(found) => Err(not_finite(found, "what is made of its output".into())),
        None => Ok(()),
    }
}

fn not_finite(found: f32, place: String) -> FileError {
    let found = if found.is_nan() { "NaN" } else { "infinity" };
    FileError::NotFinite { found, place }
}
