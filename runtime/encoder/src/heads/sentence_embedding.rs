//! Sentence embeddings: one embedding for a text.

use super::pooler::Pooler;
use super::{Capability, Head, Item, Part, check_rank, token_embedding, vectors};
use crate::error::{OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options, Overflow};
use crate::output::Values;
use crate::pooling::normalize;
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::Source;
use encoderfile_format::manifest::{Module, Pipeline};
use std::sync::Arc;

pub(super) struct SentenceEmbedding {
    pooler: Pooler,
    /// Whether a vector is divided by its L2 norm where a request says nothing.
    normalizes: bool,
    /// How many of the first values the folder keeps; 0 for all.
    dimensions: usize,
    /// Values of a vector before any are left out.
    width: usize,
    /// Values of a token's vector.
    token_width: usize,
}

impl SentenceEmbedding {
    pub(super) fn new(pipeline: &Pipeline, weights: &Arc<dyn Source>) -> Result<Self, TaskProblem> {
        // What is not pooled here is pooled in the graph.
        check_rank(pipeline, !pipeline.pooling.is_empty())?;
        Ok(Self {
            pooler: Pooler::new(pipeline, weights)?,
            normalizes: pipeline.normalize,
            dimensions: pipeline.dimensions as usize,
            width: pipeline.embedding_width(),
            token_width: pipeline.output.width as usize,
        })
    }

    /// The embedding of a text that is one sequence, for which the graph gave `output`.
    pub(super) fn one(&self, output: Vec<f32>, skipped: usize, options: &Options) -> Vec<f32> {
        self.finished(self.pooler.apply(output, skipped), options)
    }

    /// The tokens of the prompt that take no part in pooling.
    pub(super) fn skipped(
        &self,
        processor: Processor<'_>,
        options: &Options,
    ) -> Result<usize, RequestError> {
        if self.pooler.skips_prompt() && !options.unpooled {
            return processor.prompt_len(options);
        }
        Ok(0)
    }

    /// The norm and the number of values that folder and request ask for.
    ///
    /// The folder's own `truncate_dim` leaves no norm behind it, as in
    /// sentence-transformers; dimensions that a request asks for are
    /// normalised after the cut, as in TEI and OpenAI's API.
    fn finished(&self, mut embedding: Vec<f32>, options: &Options) -> Vec<f32> {
        if self.normalizes && options.normalize != Some(false) {
            normalize(&mut embedding);
        }
        match (options.dimensions, self.dimensions) {
            (Some(dimensions), _) => {
                embedding.truncate(dimensions);
                if options.normalize.unwrap_or(self.normalizes) {
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
}

impl Head for SentenceEmbedding {
    fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = vec![Capability::Embed, Capability::Similarity];
        if !self.pooler.is_in_graph() {
            capabilities.push(Capability::TokenEmbeddings);
        }
        capabilities
    }

    fn result(&self) -> &'static str {
        "embedding"
    }

    fn options(&self, request: &Options) -> Vec<&'static str> {
        let mut options = vec!["normalize", "unpooled", "prompt", "prompt_name", "role"];
        options.extend(match request.unpooled {
            true => ["special_tokens"].as_slice(),
            false => ["overflow=mean", "dimensions"].as_slice(),
        });
        options
    }

    fn problem(&self, options: &Options) -> Option<OptionsError> {
        if options.unpooled && self.pooler.is_in_graph() {
            return Some(OptionsError::PooledInGraph);
        }
        let width = self.width;
        let dimensions = options.dimensions?;
        (dimensions == 0 || dimensions > width)
            .then_some(OptionsError::Dimensions { dimensions, width })
    }

    fn takes_ids(&self) -> bool {
        true
    }

    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        let is_windows = options.overflow == Overflow::Mean;
        let sequences = match is_windows {
            true => processor.even_windows(input, options)?,
            false => vec![processor.sequence(input, options)?],
        };
        Ok(Item {
            skipped: self.skipped(processor, options)?,
            is_windows,
            ..Item::from(sequences)
        })
    }

    fn reduce(
        &self,
        _processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
        item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        if options.unpooled {
            let width = self.token_width;
            let values = token_embedding::vectors(sequence, &output, width, options);
            return Ok(Part::Values(values));
        }
        let mut vector = self.pooler.apply(output, item.skipped);
        // Each window counts as much as another in their mean.
        if item.is_windows && options.normalize.unwrap_or(self.normalizes) {
            normalize(&mut vector);
        }
        Ok(Part::Vector(vector))
    }

    fn finish(&self, _item: &Item, parts: Vec<Part>, options: &Options) -> Option<Values> {
        let embedding = self.finished(mean(vectors(parts)), options);
        Some(Values::SentenceEmbedding { embedding })
    }

    fn golden(
        &self,
        processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        let options = Options::default();
        Ok(self.one(output, self.skipped(processor, &options)?, &options))
    }
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    let width = match pipeline.dimensions {
        0 => pipeline.embedding_width(),
        dimensions => dimensions as usize,
    };
    let modes: Vec<&str> = pipeline.pooling.iter().map(|mode| mode.name()).collect();
    let mut steps = vec![match modes.as_slice() {
        [] => "pooled in the graph".into(),
        modes => modes.join(" + "),
    }];
    steps.extend(pipeline.modules.iter().map(|module| match module {
        Module::Dense(dense) => format!("dense to {}", dense.out_features),
        Module::LayerNorm(_) => "layer norm".into(),
        Module::L2Norm => "L2 norm".into(),
    }));
    if pipeline.normalize {
        steps.push("normalised".into());
    }
    format!("{width}-dimensional embedding: {}", steps.join(", "))
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
