//! The encoderfile manifest and its canonical pipeline, ONNX and SentencePiece models.
//!
//! Plain messages generated from `manifest.proto`, `onnx.proto` and `sentencepiece.proto`;
//! the meaning of each field is documented there. Nothing here reads or writes a file.
#![forbid(unsafe_code)]

#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
mod entries;

#[allow(missing_docs, reason = "generated; documented in manifest.proto")]
mod manifest {
    include!(concat!(env!("OUT_DIR"), "/encoderfile.rs"));
}

pub use entries::{Malformed, Root, decode};
pub use manifest::*;

/// What this project reads and writes of the ONNX format.
#[allow(missing_docs, reason = "generated; documented in onnx.proto")]
pub mod onnx {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

/// What is read of SentencePiece models.
#[allow(missing_docs, reason = "generated; documented in sentencepiece.proto")]
pub mod sentencepiece {
    include!(concat!(env!("OUT_DIR"), "/sentencepiece.rs"));
}

impl Task {
    /// The task's name as users write it and as upstream's `model_type` spells it.
    pub fn name(self) -> String {
        let name = self.as_str_name();
        name.trim_start_matches("TASK_").to_lowercase()
    }
}
