//! Fill-mask: the likeliest candidate tokens for each mask token of a text.

use super::{Capability, Head, Item, Part, check_rank};
use crate::error::{OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options};
use crate::output::{Filling, Values};
use crate::pooling::activate;
use crate::processor::Processor;
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_format::manifest::{Activation, Pipeline};
use std::collections::HashSet;

/// As many as transformers gives.
const TOP_K: usize = 5;

/// The most tokens of the sequences of a text's result: each word for each mask is a
/// text of its own. About 40 MB of JSON.
const RESULT_TOKENS_MAX: usize = 1 << 23;

pub(super) struct FillMask {
    mask_token_id: u32,
    padding_token_id: Option<u32>,
    clean_up: bool,
    /// Of the vocabulary.
    width: usize,
}

impl FillMask {
    pub(super) fn new(pipeline: &Pipeline) -> Result<Self, TaskProblem> {
        check_rank(pipeline, true)?;
        let mask = pipeline.mask_token_id;
        Ok(Self {
            mask_token_id: mask.ok_or(TaskProblem::MaskToken)?,
            padding_token_id: pipeline.padding_token_id,
            clean_up: pipeline.clean_up_decoded,
            width: pipeline.output.width as usize,
        })
    }

    /// Where the masks are.
    fn masks(&self, tokens: &Tokens) -> Vec<usize> {
        let positions = 0..tokens.ids.len();
        let masks = positions.filter(|position| tokens.ids[*position] == self.mask_token_id);
        masks.collect()
    }

    /// The vocabulary entries that the request allows; a word that is none
    /// stands for its first token.
    fn target_ids(
        &self,
        tokenizer: &Tokenizer,
        options: &Options,
    ) -> Result<Option<Vec<u32>>, RequestError> {
        let Some(targets) = &options.targets else {
            return Ok(None);
        };
        let (mut ids, mut known) = (Vec::new(), HashSet::new());
        for target in targets {
            let id = match tokenizer.id(target) {
                Some(id) => Some(id),
                None => tokenizer.first_id(target)?,
            };
            let id = id.filter(|id| (*id as usize) < self.width);
            let id = id.ok_or_else(|| OptionsError::Target {
                target: target.clone(),
            })?;
            if known.insert(id) {
                ids.push(id);
            }
        }
        Ok(Some(ids))
    }

    /// What the text would be with `id` at `position`.
    fn filling(
        &self,
        tokenizer: &Tokenizer,
        tokens: &Tokens,
        position: usize,
        id: u32,
        score: f32,
        only_mask: bool,
    ) -> Result<Filling, RequestError> {
        let tidy = |text: String| {
            if self.clean_up { clean_up(&text) } else { text }
        };
        let mut ids = tokens.ids.clone();
        ids[position] = id;
        ids.retain(|id| Some(*id) != self.padding_token_id);
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

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    format!("probabilities per mask: {}", pipeline.output.width)
}

impl Head for FillMask {
    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::FillMask]
    }

    fn result(&self) -> &'static str {
        "masks"
    }

    fn options(&self, _request: &Options) -> Vec<&'static str> {
        vec!["top_k", "targets"]
    }

    fn masks_vocabulary(&self) -> bool {
        true
    }

    /// Refuses a text without a mask, and words without a token.
    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        let tokens = processor.sequence(input, options)?;
        let tokenizer = processor.tokenizer;
        let targets = self.target_ids(tokenizer, options)?;
        let masks = self.masks(&tokens).len();
        let words = options
            .top_k
            .unwrap_or(TOP_K)
            .min(targets.map_or(self.width, |it| it.len()));
        check_amount(masks, words, tokens.ids.len())?;
        if masks == 0 {
            let mask = tokenizer.decode(&[self.mask_token_id], false);
            return Err(RequestError::NoMask {
                mask: mask.unwrap_or_default(),
                truncated: tokens.total > tokens.ids.len(),
            });
        }
        Ok(vec![tokens].into())
    }

    fn reduce(
        &self,
        processor: Processor<'_>,
        tokens: &Tokens,
        logits: Vec<f32>,
        _item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        let tokenizer = processor.tokenizer;
        let targets = self.target_ids(tokenizer, options)?;
        let positions = self.masks(tokens);
        let width = self.width;
        let mut masks = Vec::new();
        for &position in &positions {
            let row = &logits[position * width..(position + 1) * width];
            let scores = activate(row, Activation::Softmax);
            let best = best(&scores, targets.as_deref(), options.top_k.unwrap_or(TOP_K));
            let only_mask = positions.len() == 1;
            let fillings = best
                .into_iter()
                .map(|(id, score)| self.filling(tokenizer, tokens, position, id, score, only_mask));
            masks.push(fillings.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Part::Values(Values::FillMask { masks }))
    }

    fn golden(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        Ok(first_logits(&output, self.width))
    }
}

/// Refuses a result of more than [`RESULT_TOKENS_MAX`] tokens.
fn check_amount(masks: usize, words: usize, tokens: usize) -> Result<(), OptionsError> {
    let all = masks.saturating_mul(words).saturating_mul(tokens);
    if all > RESULT_TOKENS_MAX {
        return Err(OptionsError::Fillings {
            words,
            masks,
            tokens,
            limit: RESULT_TOKENS_MAX,
        });
    }
    Ok(())
}

/// Of each row of vocabulary logits the first: so many say whether it was computed right.
pub(super) fn first_logits(output: &[f32], width: usize) -> Vec<f32> {
    const LOGITS: usize = 64;

    let rows = output.chunks_exact(width);
    let heads = rows.map(|row| &row[..row.len().min(LOGITS)]);
    heads.collect::<Vec<_>>().concat()
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

#[cfg(test)]
mod tests {
    use super::{RESULT_TOKENS_MAX, TOP_K, check_amount};

    #[test]
    fn a_result_has_so_many_tokens() {
        // A whole vocabulary for one mask, and the default for a text of masks.
        assert!(check_amount(1, 50_368, 128).is_ok());
        assert!(check_amount(510, TOP_K, 512).is_ok());
        assert!(check_amount(510, 30_522, 512).is_err());
        assert!(check_amount(1, RESULT_TOKENS_MAX, 1).is_ok());
        assert!(check_amount(usize::MAX, 2, 2).is_err());
    }
}
