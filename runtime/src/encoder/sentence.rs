//! Embeddings of whole texts, dense and sparse.

use super::{Session, truncated};
use crate::error::Error;
use crate::output::{Prediction, SparseValue, TokenUsage, Values};
use crate::pooling::{normalize, pool, splade};
use crate::request::{Long, Options};
use crate::tokenizer::Tokens;

impl Session<'_> {
    pub(super) fn sentence_embedding(
        &mut self,
        text: &str,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let pipeline = &self.encoder.pipeline;
        let skipped = if pipeline.exclude_prompt {
            let prompt = options.prompt(pipeline);
            self.encoder.tokenizer.prompt_len(prompt)?
        } else {
            0
        };
        let (vector, usage) = if options.long == Long::Mean {
            self.mean_of_windows(text, skipped, options)?
        } else {
            let tokens = self.encoder.tokenize(text.into(), options)?;
            (self.pooled(&tokens, skipped)?, truncated(&tokens))
        };
        Ok(Prediction {
            values: Values::SentenceEmbedding {
                embedding: self.finished(vector, options),
            },
            usage,
        })
    }

    /// The vector of one sequence, before any norm at the end.
    fn pooled(&mut self, tokens: &Tokens, skipped: usize) -> Result<Vec<f32>, Error> {
        let output = self.evaluate(tokens)?;
        let encoder = self.encoder;
        let pooled = if encoder.pooling.is_empty() {
            output
        } else {
            pool(&output, encoder.width(), &encoder.pooling, skipped)
        };
        let modules = encoder.modules.iter();
        Ok(modules.fold(pooled, |vector, module| module.apply(vector)))
    }

    /// The mean of the embeddings of windows that cover the whole text.
    fn mean_of_windows(
        &mut self,
        text: &str,
        skipped: usize,
        options: &Options,
    ) -> Result<(Vec<f32>, Option<TokenUsage>), Error> {
        let encoder = self.encoder;
        encoder.check_length(text.into())?;
        let prompt = options.prompt(&encoder.pipeline);
        let windows = encoder.tokenizer.even_windows(prompt, text)?;
        // As long as what the graph gives, not as what the manifest says.
        let mut sum = Vec::new();
        for window in &windows {
            encoder.check_ids(window)?;
            let mut vector = self.pooled(window, skipped)?;
            if self.normalizes(options) {
                normalize(&mut vector);
            }
            sum.resize(vector.len(), 0.0);
            for (sum, value) in sum.iter_mut().zip(&vector) {
                *sum += value;
            }
        }
        let count = windows.len();
        sum.iter_mut().for_each(|value| *value /= count as f32);
        let usage = (count > 1).then(|| TokenUsage {
            tokens_total: windows[0].total,
            tokens_used: windows[0].total,
            windows: Some(count),
        });
        Ok((sum, usage))
    }

    fn normalizes(&self, options: &Options) -> bool {
        let default = self.encoder.pipeline.normalize;
        options.normalize.unwrap_or(default)
    }

    /// The norm and the number of values that folder and request ask for.
    ///
    /// The folder's own `truncate_dim` leaves no norm behind it, as in
    /// sentence-transformers; dimensions that a request asks for are
    /// normalised after the cut, as in TEI and OpenAI's API.
    fn finished(&self, mut vector: Vec<f32>, options: &Options) -> Vec<f32> {
        let pipeline = &self.encoder.pipeline;
        if pipeline.normalize && options.normalize != Some(false) {
            normalize(&mut vector);
        }
        match (options.dimensions, pipeline.dimensions as usize) {
            (Some(dimensions), _) => {
                vector.truncate(dimensions);
                if self.normalizes(options) {
                    normalize(&mut vector);
                }
            }
            (None, dimensions) => {
                if dimensions > 0 {
                    vector.truncate(dimensions);
                }
                if options.normalize == Some(true) {
                    normalize(&mut vector);
                }
            }
        }
        vector
    }

    pub(super) fn sparse_embedding(
        &mut self,
        text: &str,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let tokens = self.encoder.tokenize(text.into(), options)?;
        let logits = self.evaluate(&tokens)?;
        let pipeline = &self.encoder.pipeline;
        let weights = if logits.is_empty() {
            Vec::new()
        } else {
            splade(
                &logits,
                self.encoder.width(),
                pipeline.splade.unwrap_or_default(),
            )
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
        Ok(Prediction {
            values: Values::SparseEmbedding {
                sparse_embedding: sparse,
            },
            usage: truncated(&tokens),
        })
    }
}
