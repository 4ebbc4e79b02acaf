//! Golden cases: results stored at build time, recomputed by `self-test` to
//! show that this machine gets the same numbers.

use crate::encoder::Encoder;
use crate::error::{Error, FileError};
use crate::session::Session;
use encoderfile_format::container::{ArtifactKind, Payload};
use encoderfile_format::limits::GOLDEN_LEN_MAX;
use encoderfile_format::manifest::Compute;
use serde::Serialize;

pub use encoderfile_format::golden::{GoldenCase, decode, encode};

/// The most that a number may differ by between two targets: the difference, divided by
/// the case's largest number where that is above 1.
pub const TOLERANCE: f32 = 1e-5;

/// The same of what is computed in int8, or of a graph that rounds activations: a difference in
/// the last bit of a value can round it to another step.
pub const INT8_TOLERANCE: f32 = 5e-2;

/// What a self-test found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many cases were recomputed.
    pub cases: usize,
    /// How many of them had other token ids than stored.
    pub token_mismatches: usize,
    /// The largest difference between a stored number and the recomputed one,
    /// divided by the case's largest number where that is above 1.
    pub largest_difference: f32,
    /// What it may be at most.
    pub limit: f32,
}

impl Report {
    /// Whether this machine computes what the builder's machine did.
    pub fn passed(&self) -> bool {
        self.cases > 0 && self.token_mismatches == 0 && self.largest_difference <= self.limit
    }
}

/// Computes the case for a text: its tokens and what [`Session::raw`] gives.
///
/// # Errors
/// As [`Session::raw`].
pub fn case(session: &mut Session<'_>, text: &str) -> Result<GoldenCase, Error> {
    let (tokens, values) = session.raw(text)?;
    Ok(GoldenCase {
        text: text.into(),
        input_ids: tokens.ids,
        values,
    })
}

/// Recomputes every stored case, in their order.
///
/// # Errors
/// [`Error::File`] where the golden artifact is missing, too large, malformed or does not
/// match its hash, and the error of the first text that fails, as of [`Session::raw`].
pub fn self_test(payload: &Payload, encoder: &Encoder) -> Result<Report, Error> {
    let golden = payload.read(ArtifactKind::Golden, GOLDEN_LEN_MAX)?;
    let golden = decode(&golden).map_err(|source| FileError::Section {
        section: "golden",
        source,
    })?;
    let mut session = encoder.session()?;
    let mut report = Report {
        cases: golden.len(),
        token_mismatches: 0,
        largest_difference: 0.0,
        limit: match encoder.pipeline().compute {
            Compute::F32 if !encoder.graph.rounds_activations() => TOLERANCE,
            _ => INT8_TOLERANCE,
        },
    };
    for stored in &golden {
        let computed = case(&mut session, &stored.text)?;
        if computed.input_ids == stored.input_ids {
            let difference = difference(&stored.values, &computed.values);
            report.largest_difference = report.largest_difference.max(difference);
        } else {
            report.token_mismatches += 1;
        }
    }
    Ok(report)
}

/// Infinite for vectors of different lengths, and where a number is not one.
fn difference(stored: &[f32], computed: &[f32]) -> f32 {
    if stored.len() != computed.len() {
        return f32::INFINITY;
    }
    let scale = stored
        .iter()
        .fold(1.0_f32, |max, value| max.max(value.abs()));
    let mut largest = 0.0_f32;
    for (stored, computed) in stored.iter().zip(computed) {
        let difference = (stored - computed).abs() / scale;
        if difference.is_nan() {
            return f32::INFINITY;
        }
        largest = largest.max(difference);
    }
    largest
}
