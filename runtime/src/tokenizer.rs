//! Text to tokens, with truncation as the pipeline says and nothing else:
//! truncation and padding in `tokenizer.json` itself are training leftovers
//! and are switched off.

use encoderfile_proto::{Pipeline, TruncationSide};
use std::borrow::Cow;
use std::ops::Range;
use tokenizers::PostProcessor;

/// A tokenizer that cannot be read, or a text it refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// Not a tokenizer this program can read.
    #[error("tokenizer.json: {0}")]
    Load(String),
    /// A limit that leaves no room for text beside the special tokens.
    #[error("at most {max_tokens} tokens a sequence, but {special_tokens} of them are special")]
    NoRoom {
        /// The pipeline's limit.
        max_tokens: usize,
        /// What the tokenizer adds to every text.
        special_tokens: usize,
    },
    /// A text that cannot be tokenised.
    #[error("tokenizer: {0}")]
    Encode(String),
}

/// A tokenizer with the pipeline's limit.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// More than the special tokens alone.
    max_tokens: usize,
    truncation_side: TruncationSide,
    lower_case: bool,
}

/// One tokenised text. The vectors have one entry a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Indices into the vocabulary.
    pub ids: Vec<u32>,
    /// Segment ids: 0, or 1 for the second text of a pair.
    pub type_ids: Vec<u32>,
    /// As the vocabulary spells them.
    pub tokens: Vec<String>,
    /// Start and end in the text, in code points; `(0, 0)` for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// Whether the tokenizer added the token, rather than finding it in the text.
    pub special: Vec<bool>,
    /// How many tokens there were before truncation.
    pub total: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn load(json: &[u8], pipeline: &Pipeline) -> Result<Self, TokenizerError> {
        let load = |error: tokenizers::Error| TokenizerError::Load(one_line(&error));
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(load)?;
        let processor = inner.get_post_processor();
        let special_tokens = processor.map_or(0, |processor| processor.added_tokens(false));
        let max_tokens = pipeline.max_tokens as usize;
        if max_tokens <= special_tokens {
            return Err(TokenizerError::NoRoom {
                max_tokens,
                special_tokens,
            });
        }
        inner.with_padding(None);
        inner.with_truncation(None).map_err(load)?;
        Ok(Self {
            inner,
            max_tokens,
            truncation_side: pipeline.truncation_side(),
            lower_case: pipeline.lower_case,
        })
    }

    /// Tokenises a text, special tokens included, cut to the pipeline's limit.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenizerError> {
        let text = if self.lower_case {
            Cow::Owned(text.to_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        let encoding = self.inner.encode_char_offsets(text, true);
        let encoding = encoding.map_err(|error| TokenizerError::Encode(one_line(&error)))?;
        let kept = self.kept(encoding.get_special_tokens_mask());
        let special = pick(encoding.get_special_tokens_mask(), &kept);
        Ok(Tokens {
            ids: pick(encoding.get_ids(), &kept),
            type_ids: pick(encoding.get_type_ids(), &kept),
            tokens: pick(encoding.get_tokens(), &kept),
            offsets: pick(encoding.get_offsets(), &kept),
            special: special.iter().map(|mask| *mask == 1).collect(),
            total: encoding.len(),
        })
    }

    /// The ranges of tokens that stay: the special tokens around the text, and
    /// as much of the text as fits between them.
    ///
    /// tokenizers' own truncation stops tokenising once it has enough, and then
    /// nobody knows how many tokens there would have been.
    fn kept(&self, special: &[u32]) -> [Range<usize>; 2] {
        let total = special.len();
        let Some(excess) = total.checked_sub(self.max_tokens).filter(|it| *it > 0) else {
            return [0..total, total..total];
        };
        let is_special = |mask: &&u32| **mask == 1;
        let before = special.iter().take_while(is_special).count();
        let after = special.iter().rev().take_while(is_special).count();
        let cut = match self.truncation_side {
            TruncationSide::Right => (total - excess).saturating_sub(after),
            TruncationSide::Left => before,
        };
        [0..cut, cut + excess..total]
    }
}

fn pick<T: Clone>(values: &[T], ranges: &[Range<usize>; 2]) -> Vec<T> {
    let [first, second] = ranges;
    let mut picked = values[first.clone()].to_vec();
    picked.extend_from_slice(&values[second.clone()]);
    picked
}

/// The largest token id that a `tokenizer.json` can produce.
pub fn largest_id(json: &[u8]) -> Result<u32, TokenizerError> {
    let tokenizer = tokenizers::Tokenizer::from_bytes(json);
    let tokenizer = tokenizer.map_err(|error| TokenizerError::Load(one_line(&error)))?;
    let vocabulary = tokenizer.get_vocab(true);
    Ok(vocabulary.into_values().max().unwrap_or(0))
}

fn one_line(error: &tokenizers::Error) -> String {
    error.to_string().replace('\n', " ")
}
