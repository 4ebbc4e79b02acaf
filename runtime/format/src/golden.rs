//! Reference results that are stored when a file is built; `self-test`
//! recomputes them.

use crate::limits::GOLDEN_ENTRIES_MAX;
use encoderfile_proto::{self as proto, Malformed};
use prost::Message;

/// A text and what was computed for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenCase {
    /// The text.
    pub text: String,
    /// Its token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// The numbers of the task's result, row after row: an embedding, or logits.
    pub values: Vec<f32>,
}

/// The cases of a golden artifact.
///
/// # Errors
/// [`Malformed`] where it is no such artifact, or larger than any real one.
pub fn decode(bytes: &[u8]) -> Result<Vec<GoldenCase>, Malformed> {
    let golden: proto::Golden = proto::decode(bytes, GOLDEN_ENTRIES_MAX)?;
    let cases = golden.cases.into_iter().map(|case| GoldenCase {
        text: case.text,
        input_ids: case.input_ids,
        values: case.values,
    });
    Ok(cases.collect())
}

/// The bytes that [`decode`] reads.
pub fn encode(cases: &[GoldenCase]) -> Vec<u8> {
    let cases = cases.iter().cloned().map(|case| proto::GoldenCase {
        text: case.text,
        input_ids: case.input_ids,
        values: case.values,
    });
    let cases = cases.collect();
    proto::Golden { cases }.encode_to_vec()
}
