//! Fill-mask: the likeliest words for each mask token of a text.

use super::Encoder;
use crate::error::{OptionsError, RequestError};
use crate::output::{Filling, Values};
use crate::pooling::activate;
use crate::request::Options;
use crate::tokenizer::Tokens;
use encoderfile_format::manifest::Activation;

/// As many as transformers gives.
const TOP_K: usize = 5;

impl Encoder {
    /// Refuses a text without a mask, and words without a token.
    pub(super) fn check_masks(
        &self,
        tokens: &Tokens,
        options: &Options,
    ) -> Result<(), RequestError> {
        self.target_ids(options)?;
        if self.masks(tokens).is_empty() {
            return Err(RequestError::NoMask {
                mask: self.mask_token().unwrap_or_default(),
                truncated: tokens.total > tokens.ids.len(),
            });
        }
        Ok(())
    }

    /// Where the masks are.
    fn masks(&self, tokens: &Tokens) -> Vec<usize> {
        let mask = self.pipeline.mask_token_id;
        let positions = 0..tokens.ids.len();
        let masks = positions.filter(|position| Some(tokens.ids[*position]) == mask);
        masks.collect()
    }

    pub(super) fn fill_masks(
        &self,
        tokens: &Tokens,
        logits: &[f32],
        options: &Options,
    ) -> Result<Values, RequestError> {
        let targets = self.target_ids(options)?;
        let positions = self.masks(tokens);
        let width = self.width();
        let mut masks = Vec::new();
        for &position in &positions {
            let row = &logits[position * width..(position + 1) * width];
            let scores = activate(row, Activation::Softmax);
            let best = best(&scores, targets.as_deref(), options.top_k.unwrap_or(TOP_K));
            let fillings = best
                .into_iter()
                .map(|(id, score)| self.filling(tokens, position, id, score, positions.len() == 1));
            masks.push(fillings.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Values::FillMask { masks })
    }

    /// The mask token as a text has to spell it, if the task has one.
    pub fn mask_token(&self) -> Option<String> {
        let id = self.pipeline.mask_token_id?;
        self.tokenizer.decode(&[id], false).ok()
    }

    /// The vocabulary entries that the request allows; a word that is none
    /// stands for its first token.
    fn target_ids(&self, options: &Options) -> Result<Option<Vec<u32>>, RequestError> {
        let Some(targets) = &options.targets else {
            return Ok(None);
        };
        let tokenizer = &self.tokenizer;
        let mut ids = Vec::new();
        for target in targets {
            let id = match tokenizer.id(target) {
                Some(id) => Some(id),
                None => tokenizer.first_id(target)?,
            };
            let id = id.filter(|id| (*id as usize) < self.width());
            let id = id.ok_or_else(|| OptionsError::Target {
                target: target.clone(),
            })?;
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
    ) -> Result<Filling, RequestError> {
        let pipeline = &self.pipeline;
        let tokenizer = &self.tokenizer;
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
