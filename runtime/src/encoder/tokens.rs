//! One result a token.

use super::{Encoder, Session, truncated};
use crate::error::Error;
use crate::output::{Prediction, TokenInfo, TokenPrediction, TokenVector, Values};
use crate::pooling::{activate, argmax, normalize};
use crate::request::Options;
use crate::tokenizer::Tokens;

impl Session<'_> {
    pub(super) fn token_vectors(
        &mut self,
        text: &str,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let tokens = self.encoder.tokenize(text.into(), options)?;
        let hidden = self.evaluate(&tokens)?;
        let rows = self.encoder.rows(&tokens, &hidden, options);
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
        Ok(Prediction {
            values: Values::Embedding {
                embeddings: vectors.collect(),
            },
            usage: truncated(&tokens),
        })
    }

    pub(super) fn token_predictions(
        &mut self,
        text: &str,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let tokens = self.encoder.tokenize(text.into(), options)?;
        let logits = self.evaluate(&tokens)?;
        let pipeline = &self.encoder.pipeline;
        let rows = self.encoder.rows(&tokens, &logits, options);
        let predictions = rows.map(|(token_info, logits)| {
            let scores = activate(logits, pipeline.activation());
            let best = argmax(&scores);
            TokenPrediction {
                token_info,
                logits: logits.to_vec(),
                label: pipeline.labels[best].clone(),
                score: scores[best],
                scores,
            }
        });
        Ok(Prediction {
            values: Values::TokenClassification {
                tokens: predictions.collect(),
            },
            usage: truncated(&tokens),
        })
    }
}

impl Encoder {
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
