//! One result a token.

use super::Encoder;
use crate::output::{TokenInfo, TokenPrediction, TokenVector, Values};
use crate::pooling::{activate, argmax, normalize};
use crate::request::Options;
use crate::tokenizer::Tokens;

impl Encoder {
    pub(super) fn token_vectors(
        &self,
        tokens: &Tokens,
        hidden: &[f32],
        options: &Options,
    ) -> Values {
        let rows = self.rows(tokens, hidden, options);
        let vectors = rows.map(|(token_info, row)| {
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

    pub(super) fn token_predictions(
        &self,
        tokens: &Tokens,
        logits: &[f32],
        options: &Options,
    ) -> Values {
        let pipeline = &self.pipeline;
        let rows = self.rows(tokens, logits, options);
        let predictions = rows.map(|(token_info, logits)| {
            let scores = activate(logits, pipeline.activation);
            let best = argmax(&scores);
            TokenPrediction {
                token_info,
                logits: logits.to_vec(),
                label: pipeline.labels[best].clone(),
                score: scores[best],
                scores,
            }
        });
        Values::TokenClassification {
            tokens: predictions.collect(),
        }
    }

    /// Each token that the options ask for, with its row of `values`.
    fn rows<'v>(
        &self,
        tokens: &'v Tokens,
        values: &'v [f32],
        options: &'v Options,
    ) -> impl Iterator<Item = (TokenInfo, &'v [f32])> {
        let rows = values.chunks_exact(self.width()).enumerate();
        rows.filter(|(index, _)| options.special_tokens || !tokens.special[*index])
            .map(|(index, row)| {
                let (start, end) = tokens.offsets[index];
                let token_info = TokenInfo {
                    token: tokens.tokens[index].clone(),
                    token_id: tokens.ids[index],
                    start,
                    end,
                };
                (token_info, row)
            })
    }
}
