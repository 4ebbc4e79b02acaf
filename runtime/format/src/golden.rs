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
    /// The numbers of the task's result, row-major. Token embeddings:
    /// `[tokens, hidden_size]`. Late interaction, of a document: `[kept tokens, width]`.
    /// Sentence embeddings: `[dimensions]`. Classification: the logits, `[labels]` or `[tokens, labels]`. Fill-mask and sparse embeddings: of each
    /// token the first 64 vocabulary logits.
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

#[cfg(test)]
mod tests {
    use super::{GOLDEN_ENTRIES_MAX, GoldenCase, Malformed, decode, encode};

    #[test]
    fn as_many_entries_as_the_limit_are_read() {
        // A case of two fields (the list is one), and ids of a byte each.
        let with_ids = |count: usize| {
            encode(&[GoldenCase {
                input_ids: vec![7; count],
                ..GoldenCase::default()
            }])
        };
        let limit = GOLDEN_ENTRIES_MAX;
        let read = decode(&with_ids(limit - 2)).unwrap();
        assert_eq!(read[0].input_ids.len(), limit - 2);
        let refused = decode(&with_ids(limit - 1));
        assert_eq!(refused, Err(Malformed::Entries { limit }));
    }
}
