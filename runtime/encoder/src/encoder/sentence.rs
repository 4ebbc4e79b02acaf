//! Embeddings of whole texts, dense and sparse.

use super::Encoder;
use super::work::Work;
use crate::output::{SparseValue, Values};
use crate::pooling::{normalize, pool, splade};
use crate::request::{Long, Options};

impl Encoder {
    pub(super) fn sentence_embedding(&self, work: &mut Work) -> Values {
        let embedding = mean(work.vectors());
        Values::SentenceEmbedding {
            embedding: self.finished(embedding, &work.options),
        }
    }

    /// The vector of one sequence, before any norm at the end; of a window,
    /// what the model would give for it alone.
    pub(super) fn pooled(&self, output: Vec<f32>, skipped: usize, options: &Options) -> Vec<f32> {
        let modes = &self.pipeline.pooling;
        let pooled = if modes.is_empty() {
            output
        } else {
            pool(&output, self.width(), modes, skipped)
        };
        let modules = self.modules.iter();
        let mut vector = modules.fold(pooled, |vector, module| module.apply(vector));
        // Each window counts as much as another in their mean.
        if options.long == Long::Mean && self.normalizes(options) {
            normalize(&mut vector);
        }
        vector
    }

    fn normalizes(&self, options: &Options) -> bool {
        let default = self.pipeline.normalize;
        options.normalize.unwrap_or(default)
    }

    /// The norm and the number of values that folder and request ask for.
    ///
    /// The folder's own `truncate_dim` leaves no norm behind it, as in
    /// sentence-transformers; dimensions that a request asks for are
    /// normalised after the cut, as in TEI and OpenAI's API.
    fn finished(&self, mut embedding: Vec<f32>, options: &Options) -> Vec<f32> {
        let pipeline = &self.pipeline;
        if pipeline.normalize && options.normalize != Some(false) {
            normalize(&mut embedding);
        }
        match (options.dimensions, pipeline.dimensions as usize) {
            (Some(dimensions), _) => {
                embedding.truncate(dimensions);
                if self.normalizes(options) {
                    normalize(&mut embedding);
                }
            }
            (None, dimensions) => {
                if dimensions > 0 {
                    embedding.truncate(dimensions);
                }
                if options.normalize == Some(true) {
                    normalize(&mut embedding);
                }
            }
        }
        embedding
    }

    pub(super) fn sparse_embedding(&self, logits: &[f32], options: &Options) -> Values {
        let weights = if logits.is_empty() {
            Vec::new()
        } else {
            let splade_modes = self.pipeline.splade.unwrap_or_default();
            splade(logits, self.width(), splade_modes)
        };
        let indices = 0_u32..;
        let values = indices.zip(weights);
        let nonzero = values.filter(|(_, value)| *value > 0.0);
        let mut sparse: Vec<SparseValue> = nonzero
            .map(|(index, value)| SparseValue { index, value })
            .collect();
        if let Some(top_k) = options.top_k {
            sparse.sort_by(|a, b| b.value.total_cmp(&a.value));
            sparse.truncate(top_k);
            sparse.sort_by_key(|value| value.index);
        }
        Values::SparseEmbedding {
            sparse_embedding: sparse,
        }
    }
}

/// As long as what the graph gave, not as what the manifest says.
fn mean(mut vectors: Vec<Vec<f32>>) -> Vec<f32> {
    if vectors.len() == 1 {
        return vectors.remove(0);
    }
    let mut sum = Vec::new();
    for vector in &vectors {
        sum.resize(vector.len(), 0.0);
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += value;
        }
    }
    let count = vectors.len() as f32;
    sum.iter_mut().for_each(|value: &mut f32| *value /= count);
    sum
}
