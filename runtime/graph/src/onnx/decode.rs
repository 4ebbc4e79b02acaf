//! Decoding an ONNX model without letting it take memory at will.

use crate::GraphError;
use encoderfile_format::limits::GRAPH_ENTRIES_MAX;
use encoderfile_proto::onnx::ModelProto;
use encoderfile_proto::{self as proto, Malformed};

/// Decodes the graph of an encoderfile.
///
/// # Errors
/// [`GraphError::Decode`] for what is no ONNX model, and [`GraphError::Entries`] before more
/// entries are allocated than any real model has.
pub fn decode(model: &[u8]) -> Result<ModelProto, GraphError> {
    proto::decode(model, GRAPH_ENTRIES_MAX).map_err(|error| match error {
        Malformed::Entries { limit } => GraphError::Entries { limit },
        Malformed::Protobuf(error) => error.into(),
    })
}
