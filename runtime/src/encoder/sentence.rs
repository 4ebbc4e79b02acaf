//! Embeddings of whole texts, dense and sparse.

use super::Encoder;
use super::work::Work;
use crate::output::{SparseValue, Values};
use crate::pooling::{normalize, pool, splade};
use crate::request::{Long, Options};

/// A vector that is divided by its L2 norm once, however often that is asked for:
/// a second division would change last bits, and one embedding would be two.
struct Embedding {
    values: Vec<f32>,
    is_normalized: bool,
}

impl Embedding {
    fn normalize(&mut self) {
        if !self.is_normalized {
            normalize(&mut self.values);
            self.is_normalized = true;
        }
    }

    fn truncate(&mut self, dimensions: usize) {
        if dimensions < self.values.len() {
            self.values.truncate(dimensions);
            self.is_normalized = false;
        }
    }
}

impl Encoder {
    pub(super) fn sentence_embedding(&self, work: &mut Work) -> Values {
        let windows = work.vectors();
        let options = &*work.options;
        let embedding = Embedding {
            // The mean of several is no longer what each of them was.
            is_normalized: windows.len() == 1 && self.normalizes_windows(options),
            values: mean(windows),
        };
        Values::SentenceEmbedding {
            embedding: self.finished(embedding, options),
        }
    }

    /// The vector of one sequence, before any norm at the end; of a window,
    /// what the model would give for it alone.
    pub(super) fn pooled(&self, output: Vec<f32>, skipped: usize, options: &Options) -> Vec<f32> {
        let pooled = if self.pooling.is_empty() {
            output
        } else {
            pool(&output, self.width(), &self.pooling, skipped)
        };
        let modules = self.modules.iter();
        let mut vector = modules.fold(pooled, |vector, module| module.apply(vector));
        if self.normalizes_windows(options) {
            normalize(&mut vector);
        }
        vector
    }

    /// Whether each window is normalised before their mean is taken.
    fn normalizes_windows(&self, options: &Options) -> bool {
        options.long == Long::Mean && self.normalizes(options)
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
    fn finished(&self, mut embedding: Embedding, options: &Options) -> Vec<f32> {
        let pipeline = &self.pipeline;
        if pipeline.normalize && options.normalize != Some(false) {
            embedding.normalize();
        }
        match (options.dimensions, pipeline.dimensions as usize) {
            (Some(dimensions), _) => {
                embedding.truncate(dimensions);
                if self.normalizes(options) {
                    embedding.normalize();
                }
            }
            (None, dimensions) => {
                if dimensions > 0 {
                    embedding.truncate(dimensions);
                }
                if options.normalize == Some(true) {
                    embedding.normalize();
                }
            }
        }
        embedding.values
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

#[cfg(test)]
mod tests {
    use super::Embedding;

    #[test]
    fn a_vector_is_normalised_once() {
        let mut changed_by_a_second = 0;
        for seed in 1..200_u16 {
            let values = (1..=24_u16).map(|place| f32::from(place * seed % 251) - 100.0);
            let values: Vec<f32> = values.collect();
            let mut embedding = Embedding {
                values,
                is_normalized: false,
            };
            embedding.normalize();
            let once = embedding.values.clone();
            let mut twice = once.clone();
            super::normalize(&mut twice);
            changed_by_a_second += usize::from(twice != once);
            embedding.truncate(once.len());
            embedding.normalize();
            assert_eq!(embedding.values, once, "seed {seed}");
            embedding.truncate(8);
            embedding.normalize();
            let norm: f32 = embedding.values.iter().map(|it| it * it).sum();
            assert!((norm - 1.0).abs() < 1e-6, "seed {seed}: {norm}");
        }
        // Else this test would show nothing.
        assert!(changed_by_a_second > 0);
    }
}
