//! The encoderfile manifest and its canonical pipeline, and ONNX models.
//!
//! Plain messages generated from `manifest.proto` and `onnx.proto`; the meaning
//! of each field is documented there. Nothing here reads or writes a file.
#![forbid(unsafe_code)]

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

impl Task {
    /// The task's name as users write it and as upstream's `model_type` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Embedding => "embedding",
            Self::SequenceClassification => "sequence_classification",
            Self::TokenClassification => "token_classification",
            Self::SentenceEmbedding => "sentence_embedding",
            Self::SparseEmbedding => "sparse_embedding",
            Self::FillMask => "fill_mask",
        }
    }
}

impl WeightsEncoding {
    /// The encoding's name as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl Compute {
    /// The arithmetic's name as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }
}

impl Pipeline {
    /// How many values a sentence embedding has before any of them are left out.
    pub fn embedding_width(&self) -> usize {
        let width = self.output.as_ref().map_or(0, |output| output.width) as usize;
        // A model that pools in its graph has no modes.
        let pooled = width * self.pooling.len().max(1);
        let dense = self
            .modules
            .iter()
            .rev()
            .find_map(|module| match &module.step {
                Some(module::Step::Dense(dense)) => Some(dense.out_features as usize),
                _ => None,
            });
        dense.unwrap_or(pooled)
    }
}

impl Similarity {
    /// The function's name as sentence-transformers spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
        }
    }
}
