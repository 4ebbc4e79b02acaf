//! Fill-mask: the likeliest words for each mask token of a text.

use super::{Session, truncated};
use crate::error::Error;
use crate::output::{Filling, Prediction, Values};
use crate::pooling::activate;
use crate::request::Options;
use crate::tokenizer::Tokens;
use encoderfile_proto::Activation;

/// As many as transformers gives.
const TOP_K: usize = 5;

impl Session<'_> {
    pub(super) fn fill_masks(
        &mut self,
        text: &str,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let encoder = self.encoder;
        let targets = self.target_ids(options)?;
        let tokens = encoder.tokenize(text.into(), options)?;
        let mask = encoder.pipeline.mask_token_id;
        let positions: Vec<usize> = (0..tokens.ids.len())
            .filter(|position| Some(tokens.ids[*position]) == mask)
            .collect();
        if positions.is_empty() {
            return Err(Error::NoMask {
                mask: self.mask_token()?,
                truncated: tokens.total > tokens.ids.len(),
            });
        }
        let logits = self.evaluate(&tokens)?;
        let width = encoder.width();
        let mut masks = Vec::new();
        for &position in &positions {
            let row = &logits[position * width..(position + 1) * width];
            let scores = activate(row, Activation::Softmax);
            let best = best(&scores, targets.as_deref(), options.top_k.unwrap_or(TOP_K));
            let fillings = best.into_iter().map(|(id, score)| {
                self.filling(&tokens, position, id, score, positions.len() == 1)
            });
            masks.push(fillings.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Prediction {
            values: Values::FillMask { masks },
            usage: truncated(&tokens),
        })
    }

    /// The mask token as a text has to spell it.
    fn mask_token(&self) -> Result<String, Error> {
        let id = self.encoder.pipeline.mask_token_id;
        Ok(self.encoder.tokenizer.decode(id.as_slice(), false)?)
    }

    /// The vocabulary entries that the request allows; a word that is none
    /// stands for its first token.
    fn target_ids(&self, options: &Options) -> Result<Option<Vec<u32>>, Error> {
        let Some(targets) = &options.targets else {
            return Ok(None);
        };
        let tokenizer = &self.encoder.tokenizer;
        let mut ids = Vec::new();
        for target in targets {
            let id = match tokenizer.id(target) {
                Some(id) => Some(id),
                None => tokenizer.first_id(target)?,
            };
            let id = id.filter(|id| (*id as usize) < self.encoder.width());
            let id = id.ok_or_else(|| Error::Request(format!("target {target:?} has no token")))?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(Some(ids))
    }

    /// What the text would be with `id` at `position`.
    fn filling(
        &self,
        tokens: &Tokens,
        position: usize,
        id: u32,
        score: f32,
        only_mask: bool,
    ) -> Result<Filling, Error> {
        let pipeline = &self.encoder.pipeline;
        let tokenizer = &self.encoder.tokenizer;
        let tidy = |text: String| {
            if pipeline.clean_up_decoded {
                clean_up(&text)
            } else {
                text
            }
        };
        let mut ids = tokens.ids.clone();
        ids[position] = id;
        ids.retain(|id| Some(*id) != pipeline.padding_token_id);
        Ok(Filling {
            score,
            token: id,
            token_str: tidy(tokenizer.decode(&[id], false)?),
            // With several, the other masks are to be seen, and with them
            // every special token.
            sequence: tidy(tokenizer.decode(&ids, only_mask)?),
        })
    }
}

/// The `count` largest of the scores, largest first.
fn best(scores: &[f32], among: Option<&[u32]>, count: usize) -> Vec<(u32, f32)> {
    let mut ranked: Vec<(u32, f32)> = match among {
        Some(ids) => ids.iter().map(|id| (*id, scores[*id as usize])).collect(),
        None => (0_u32..).zip(scores.iter().copied()).collect(),
    };
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(count);
    ranked
}

/// transformers' `clean_up_tokenization`.
fn clean_up(text: &str) -> String {
    const SPACED: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    let pairs = SPACED.iter();
    pairs.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
