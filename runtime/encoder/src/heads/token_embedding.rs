//! Token embeddings: the graph's rows as they are.

use super::{Capability, Head, Item, Part, check_rank};
use crate::error::{RequestError, TaskProblem};
use crate::options::Options;
use crate::output::{TokenInfo, TokenVector, Values};
use crate::pooling::normalize;
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::manifest::Pipeline;

pub(super) struct TokenEmbedding {
    /// Values of a row.
    width: usize,
}

impl TokenEmbedding {
    pub(super) fn new(pipeline: &Pipeline) -> Result<Self, TaskProblem> {
        check_rank(pipeline, true)?;
        Ok(Self {
            width: pipeline.output.width as usize,
        })
    }
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    format!("token embeddings, hidden size {}", pipeline.output.width)
}

impl Head for TokenEmbedding {
    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::TokenEmbeddings]
    }

    fn result(&self) -> &'static str {
        "embeddings"
    }

    fn options(&self, _request: &Options) -> Vec<&'static str> {
        vec!["normalize", "special_tokens"]
    }

    fn takes_ids(&self) -> bool {
        true
    }

    fn reduce(
        &self,
        _processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
        _item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        Ok(Part::Values(vectors(
            sequence, &output, self.width, options,
        )))
    }
}

/// The vector of each token that the options ask for.
pub(super) fn vectors(
    sequence: &Tokens,
    hidden: &[f32],
    width: usize,
    options: &Options,
) -> Values {
    let vectors = rows(sequence, hidden, width, options).map(|(token_info, row)| {
        let mut embedding = row.to_vec();
        if options.normalize == Some(true) {
            normalize(&mut embedding);
        }
        TokenVector {
            embedding,
            token_info,
        }
    });
    Values::Embedding {
        embeddings: vectors.collect(),
    }
}

/// Each token that the options ask for, with its row of `values`.
pub(super) fn rows<'v>(
    sequence: &'v Tokens,
    values: &'v [f32],
    width: usize,
    options: &'v Options,
) -> impl Iterator<Item = (TokenInfo, &'v [f32])> {
    let rows = values.chunks_exact(width).enumerate();
    rows.filter(|(index, _)| options.special_tokens || !sequence.special[*index])
        .map(|(index, row)| (token_info(sequence, index), row))
}

/// The token at a place of a sequence.
pub(super) fn token_info(sequence: &Tokens, index: usize) -> TokenInfo {
    let (start, end) = sequence.offsets[index];
    TokenInfo {
        token: sequence.tokens[index].clone(),
        token_id: sequence.ids[index],
        start,
        end,
    }
}
