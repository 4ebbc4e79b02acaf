//! How the large matrices of a file are stored, and the message that says it.

use super::ManifestError;
use crate::weights::{GroupLen, WeightsEncoding};
use encoderfile_proto as proto;

/// How the large matrices are stored, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredWeights {
    /// What was asked for. The graph says how each is stored; some may be larger.
    pub encoding: WeightsEncoding,
    /// The mean cosine similarity of outputs to those with float32 weights, computed in
    /// float32, over the golden texts and those that were held out of calibration; 1 for float32
    /// itself.
    pub mean_cosine: f32,
    /// The smallest of them.
    pub min_cosine: f32,
    /// How many matrices the source file had quantised already, which are stored
    /// as they were.
    pub quantized_matrices: u32,
}

impl TryFrom<&proto::Weights> for StoredWeights {
    type Error = ManifestError;

    fn try_from(wire: &proto::Weights) -> Result<Self, ManifestError> {
        Ok(Self {
            encoding: encoding(wire)?,
            mean_cosine: wire.mean_cosine,
            min_cosine: wire.worst_cosine,
            quantized_matrices: wire.quantized_matrices,
        })
    }
}

fn encoding(wire: &proto::Weights) -> Result<WeightsEncoding, ManifestError> {
    let unknown = |field: &'static str, number: i32| ManifestError::Unknown { field, number };
    let group_len = || {
        let group_len = usize::try_from(wire.group_len).ok().and_then(GroupLen::of);
        let number = i32::try_from(wire.group_len).unwrap_or(i32::MAX);
        group_len.ok_or_else(|| unknown("weights.group_len", number))
    };
    match proto::WeightsEncoding::try_from(wire.encoding) {
        Ok(proto::WeightsEncoding::F32) => Ok(WeightsEncoding::F32),
        Ok(proto::WeightsEncoding::F16) => Ok(WeightsEncoding::F16),
        Ok(proto::WeightsEncoding::Bf16) => Ok(WeightsEncoding::Bf16),
        Ok(proto::WeightsEncoding::Int8) => Ok(WeightsEncoding::Int8(group_len()?)),
        Ok(proto::WeightsEncoding::Int4) => Ok(WeightsEncoding::Int4(group_len()?)),
        Err(_) => Err(unknown("weights.encoding", wire.encoding)),
    }
}

impl From<&StoredWeights> for proto::Weights {
    fn from(weights: &StoredWeights) -> Self {
        let encoding = match weights.encoding {
            WeightsEncoding::F32 => proto::WeightsEncoding::F32,
            WeightsEncoding::F16 => proto::WeightsEncoding::F16,
            WeightsEncoding::Bf16 => proto::WeightsEncoding::Bf16,
            WeightsEncoding::Int8(_) => proto::WeightsEncoding::Int8,
            WeightsEncoding::Int4(_) => proto::WeightsEncoding::Int4,
        };
        let group_len = weights.encoding.group_len().map_or(0, GroupLen::get);
        Self {
            encoding: encoding.into(),
            mean_cosine: weights.mean_cosine,
            worst_cosine: weights.min_cosine,
            group_len: u32::try_from(group_len).unwrap_or_default(),
            quantized_matrices: weights.quantized_matrices,
        }
    }
}
