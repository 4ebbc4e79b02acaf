//! Sparse embeddings: SPLADE's weights of vocabulary entries.

use super::{Capability, Head, Item, Part, check_rank, fill_mask};
use crate::error::{RequestError, TaskProblem};
use crate::options::Options;
use crate::output::{SparseValue, Values};
use crate::pooling::splade;
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::manifest::{Pipeline, Splade};

pub(super) struct SparseEmbedding {
    splade: Splade,
    /// Of the vocabulary.
    width: usize,
}

impl SparseEmbedding {
    pub(super) fn new(pipeline: &Pipeline) -> Result<Self, TaskProblem> {
        check_rank(pipeline, true)?;
        Ok(Self {
            splade: pipeline.splade.unwrap_or_default(),
            width: pipeline.output.width as usize,
        })
    }
}

/// Keeps the largest weights, by index.
pub(super) fn largest(weights: &mut Vec<SparseValue>, top_k: usize) {
    weights.sort_by(|a, b| b.value.total_cmp(&a.value));
    weights.truncate(top_k);
    weights.sort_by_key(|it| it.index);
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    format!("weights per text: up to {}", pipeline.output.width)
}

impl Head for SparseEmbedding {
    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::Sparse]
    }

    fn result(&self) -> &'static str {
        "sparse_embedding"
    }

    fn options(&self, _request: &Options) -> Vec<&'static str> {
        vec!["prompt", "prompt_name", "role", "top_k"]
    }

    fn takes_ids(&self) -> bool {
        true
    }

    fn masks_vocabulary(&self) -> bool {
        true
    }

    fn reduce(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
        _item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        let weights = if output.is_empty() {
            Vec::new()
        } else {
            splade(&output, self.width, self.splade)
        };
        let nonzero = (0_u32..).zip(weights).filter(|(_, value)| *value > 0.0);
        let mut sparse: Vec<SparseValue> = nonzero
            .map(|(index, value)| SparseValue { index, value })
            .collect();
        if let Some(top_k) = options.top_k {
            largest(&mut sparse, top_k);
        }
        Ok(Part::Values(Values::SparseEmbedding {
            sparse_embedding: sparse,
        }))
    }

    fn golden(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        Ok(fill_mask::first_logits(&output, self.width))
    }
}
